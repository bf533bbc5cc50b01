"""Broadcasting that the next node does itself goes.

    Mul(x [2, 8, 6, 5], Expand(gate [2, 8, 1, 1]))   becomes   Mul(x, gate)

In: an elementwise operator of several inputs. Out: the same on what was expanded, where the result keeps its shape.
"""

from __future__ import annotations

from dataclasses import replace

from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node
from alula.engine.operators.common import broadcast_shapes
from alula.engine.passes.known import static_shape

# Elementwise operators whose inputs broadcast in both directions.
_BROADCAST = frozenset(
    {"Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Where", "Equal", "Less", "Greater", "LessOrEqual",
     "GreaterOrEqual", "And", "Or", "Xor", "Sum", "Mean", "Mod"}
)  # fmt: skip


def drop_expand(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Read one expanded input where it is small."""
    if node.domain or node.op not in _BROADCAST:
        return None
    whole = static_shape(editor, node.output)
    for index, name in enumerate(node.inputs):
        expand = editor.producer_of(name)
        if expand is None or expand.kind != ("", "Expand"):
            continue
        inputs = (*node.inputs[:index], expand.inputs[0], *node.inputs[index + 1 :])
        shapes = [static_shape(editor, other) for other in inputs]
        if whole is None or any(shape is None for shape in shapes):
            continue
        if broadcast_shapes(*(shape for shape in shapes if shape is not None)) == whole:
            drop = (expand, node) if editor.uses_of(name) == 1 else (node,)
            return Rewrite(drop=drop, add=(replace(node, inputs=inputs),))
    return None
