"""Broadcasting along an axis, written out once ranks are known.

    Align(b [3, 4], a [2, 3, 4, 5]) {axis=1}   becomes   Reshape(b, #[3, 4, 1])

In: an Align whose result has a static shape. Out: a Reshape, or the constant in that shape.
"""

from __future__ import annotations

import numpy as np

from alula.engine.graph.dims import is_static, static
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import INTERNAL, Node, Value


def resolve_align(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Write the shape out."""
    if node.kind != (INTERNAL, "Align"):
        return None
    result = editor.value(node.output)
    if result.shape is None or not is_static(result.shape):
        return None
    shape = static(result.shape)
    array = editor.constant(node.inputs[0])
    if array is not None:
        name = editor.fresh(node.output)
        value = Value(name, result.dtype, shape)
        constants = {name: array.reshape(shape)}
        return Rewrite(drop=(node,), constants=constants, values=(value,), rename={node.output: name})
    name = editor.fresh(f"{node.output}.shape")
    sizes = np.asarray(shape, np.int64)
    reshape = Node("Reshape", (node.inputs[0], name), (node.output,), name=node.name)
    return Rewrite(drop=(node,), add=(reshape,), constants={name: sizes})
