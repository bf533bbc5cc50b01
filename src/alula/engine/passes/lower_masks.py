"""A mask of integers becomes numbers to add to scores, by a formula.

    mask [2, 5] -> AttentionBias {filtered=-1e4}   becomes   Reshape [2, 1, 1, 5] -> Elementwise <0 or -1e4>

In: masks of static shape that are given key by key. Out: a view and a formula; lengths stay with the reference.
"""

from __future__ import annotations

from collections.abc import Sequence

from alula.base.tensors import DType
from alula.engine.graph.dims import is_static
from alula.engine.graph.formula import FormulaBuilder, Operand
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import INTERNAL, Node
from alula.engine.graph.primitives import BITS
from alula.engine.passes.sketch import Sketch
from alula.engine.passes.write_formula import elementwise

_LENGTHS = 1


def lower_masks(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Rewrite one AttentionBias."""
    if node.kind != (INTERNAL, "AttentionBias"):
        return None
    mask, bias = editor.values.get(node.inputs[0]), editor.values.get(node.output)
    if mask is None or bias is None or not mask.shape or not bias.shape or not is_static(mask.shape):
        return None
    fits = mask.dtype in BITS and bias.dtype is DType.FLOAT32 and 0 not in mask.shape
    if len(mask.shape) == _LENGTHS or not fits or editor.constant(mask.name) is not None:
        return None
    shape = [1 if not isinstance(dim, int) else dim for dim in bias.shape]
    sketch, filtered = Sketch(editor, node), node.real("filtered")

    def write(b: FormulaBuilder, operands: Sequence[Operand | None]) -> Operand:
        (seen,) = operands
        hidden = b.eq(seen or 0, 0)
        return b.select(hidden, filtered, 0.0)

    return sketch.finish(elementwise(sketch, editor, (sketch.reshape(mask.name, shape),), shape, write))
