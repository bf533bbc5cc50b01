"""A mask of integers becomes numbers to add to scores, by a formula.

    mask [2, 5] -> AttentionBias {filtered=-1e4}   becomes   Reshape [2, 1, 1, 5] -> Elementwise <0 or -1e4>

In: masks of static shape, stored, or given key by key. Out: a constant, or a view and a formula; lengths that only the
run tells stay with the reference.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import is_static, static
from alula.engine.graph.formula import FormulaBuilder, Operand
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import INTERNAL, Array, Node, Value
from alula.engine.graph.numpy_dtypes import numpy_dtype
from alula.engine.graph.primitives import BITS
from alula.engine.operators.evaluate import evaluate
from alula.engine.passes.sketch import Sketch
from alula.engine.passes.write_formula import elementwise

_LENGTHS, _MATRIX = 1, 2


def lower_masks(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Rewrite one AttentionBias."""
    if node.kind != (INTERNAL, "AttentionBias"):
        return None
    mask, like = editor.values.get(node.inputs[0]), editor.values.get(node.inputs[1])
    if mask is None or like is None or not mask.shape or not is_static(mask.shape) or 0 in mask.shape:
        return None
    given = editor.constant(mask.name)
    if given is not None:
        return _folded(editor, node, given, like)
    if len(mask.shape) == _LENGTHS or mask.dtype not in BITS or like.dtype is not DType.FLOAT32:
        return None
    return _as_formula(editor, node, static(mask.shape))


def _folded(editor: GraphEditor, node: Node, mask: Array, like: Value) -> Rewrite | None:
    """What a stored mask adds is stored too: of the other input, the sizes are enough."""
    if like.shape is None or not is_static(like.shape):
        return None
    stand_in = np.broadcast_to(np.zeros((), numpy_dtype(like.dtype)), static(like.shape))
    (bias,) = evaluate(node, (mask, stand_in))
    name = editor.fresh(node.output)
    value = Value(name, like.dtype, bias.shape)
    return Rewrite(drop=(node,), constants={name: bias}, values=(value,), rename={node.output: name})


def _as_formula(editor: GraphEditor, node: Node, shape: tuple[int, ...]) -> Rewrite:
    sketch, filtered = Sketch(editor, node), node.real("filtered")
    whole = (shape[0], 1, *((1,) if len(shape) == _MATRIX else ()), *shape[1:])

    def write(b: FormulaBuilder, operands: Sequence[Operand | None]) -> Operand:
        (seen,) = operands
        return b.select(b.eq(seen or 0, 0), filtered, 0.0)

    return sketch.finish(elementwise(sketch, (sketch.reshape(node.inputs[0], whole),), whole, write))
