"""Products and convolutions of 8-bit integers become float products whose sums are exact.

    MatMulInteger(a, #b, az)   becomes   Elementwise <a - az> -> MatMul(#(b - bz)) -> Elementwise <cast(r0, int32)>
    QLinearConv(x, ..., #w)    becomes   Elementwise <x - xz> -> Conv(#(w - wz), #bias) -> Elementwise <quantised>

A sum of integers in float32 is exact as long as no partial sum can pass 2**24, in whatever order it is made. The bound
is the largest |a - az| times the largest sum of |b - bz| behind one result. Longer products are cut into parts that
keep to it, which are added as int32.

In: 8-bit operands of static shape. Out: float nodes between formulas, which no later pass works into the weights, as it
would Mul and Sub: those would be integers no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import static
from alula.engine.graph.formula import FormulaBuilder, Operand
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Array, Node
from alula.engine.operators.quantise import RANGES
from alula.engine.passes.known import static_shape
from alula.engine.passes.lower_quantisation import write_quantised
from alula.engine.passes.sketch import Sketch
from alula.engine.passes.write_formula import as_single, elementwise

# float32 has a 24-bit significand: all integers up to here, and no further.
_EXACT = 1 << 24
# More parts than this would be slower than the reference, and their sum a formula of too many inputs.
_MOST_PARTS = 6
_MATRIX = 2
_BYTES = frozenset({DType.INT8, DType.UINT8})
# Where a node has its left and right operand, and their zero points.
_PLACES = {
    "MatMulInteger": (0, 1, 2, 3),
    "ConvInteger": (0, 1, 2, 3),
    "QLinearMatMul": (0, 3, 2, 5),
    "QLinearConv": (0, 3, 2, 5),
}


@dataclass(frozen=True)
class _Weights:
    """The right-hand side in float32, less its zero points.

    Attributes:
        name: the value, where it is computed.
        array: the same, where it is constant.
        most: the largest magnitude that an element may have.
    """

    name: str
    array: Array | None
    most: int


def lower_integer_products(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Rewrite one product."""
    if node.domain or node.op not in _PLACES:
        return None
    if any(static_shape(editor, name) is None for name in (*node.inputs, node.output) if name):
        return None
    left, right, *_ = (node.inputs[place] for place in _PLACES[node.op][:2])
    if any(editor.value(name).dtype not in _BYTES for name in (left, right)) or editor.constant(left) is not None:
        return None
    if node.op.startswith("QLinear") and not _has_plain_scales(editor, node):
        return None
    return (_lower_conv if "Conv" in node.op else _lower_matmul)(editor, node)


def _has_plain_scales(editor: GraphEditor, node: Node) -> bool:
    """Whether the scales are float32, only the weights' more than a number, the zero point one, the bias stored."""
    scales = [editor.value(node.inputs[place]) for place in (1, 4, 6)]
    numbers = (scales[0], scales[2], editor.value(node.inputs[7]))
    if any(scale.dtype is not DType.FLOAT32 for scale in scales) or any(n.shape not in {(), (1,)} for n in numbers):
        return False
    if len(scales[1].shape or ()) > 1:
        return False
    return not node.input(8) or editor.constant(node.input(8)) is not None


def _lower_matmul(editor: GraphEditor, node: Node) -> Rewrite | None:
    left, right, left_zero, right_zero = (node.input(place) for place in _PLACES[node.op])
    sketch = Sketch(editor, node)
    a, b = sketch.shape(left), sketch.shape(right)
    if min(len(a), len(b)) < _MATRIX:
        return None
    weights = _centred_weights(editor, sketch, right, right_zero, len(b))
    cuts = _cuts(weights, b[-2], axis=-2, room=_EXACT // _most(editor, left, left_zero))
    if cuts is None:
        return None
    x = _centred(sketch, left, _by_row(sketch, left_zero))
    shape = static(editor.value(node.output).shape or ())
    parts = []
    for begin, end in pairwise(cuts):
        one, other = _part(sketch, x, begin, end, -1), _weights_part(sketch, weights, begin, end, -2)
        parts.append(sketch.node("MatMul", (one, other), shape))
    return sketch.finish(_result(sketch, node, parts, "", 1))


def _lower_conv(editor: GraphEditor, node: Node) -> Rewrite | None:
    left, right, left_zero, right_zero = (node.input(place) for place in _PLACES[node.op])
    sketch = Sketch(editor, node)
    shape = static(editor.value(node.output).shape or ())
    rank = len(shape)
    weights = _centred_weights(editor, sketch, right, right_zero, rank, kernel=True)
    if weights.array is None or len(sketch.shape(left_zero) if left_zero else ()) > 1:
        return None
    bias, late = _bias(editor, node)
    spare = 0 if bias is None else int(np.abs(bias.astype(np.int64)).max())
    cuts = _cuts(weights, weights.array.shape[1], axis=1, room=(_EXACT - spare) // _most(editor, left, left_zero))
    if cuts is None or (len(cuts) > _MATRIX and node.integer("group", 1) != 1):
        return None
    x, attributes = _centred(sketch, left, left_zero), dict[str, Any](node.attributes)
    parts = []
    for begin, end in pairwise(cuts):
        inputs = [x if len(cuts) == _MATRIX else _part(sketch, x, begin, end, 1)]
        inputs.append(_weights_part(sketch, weights, begin, end, 1))
        if bias is not None and not begin:
            inputs.append(sketch.constant(bias.astype(np.float32)))
        parts.append(sketch.node("Conv", inputs, shape, **attributes))
    later = sketch.constant(late.reshape(-1, *(1,) * (rank - 2))) if late is not None else ""
    return sketch.finish(_result(sketch, node, parts, later, rank - 1))


def _bias(editor: GraphEditor, node: Node) -> tuple[Array | None, Array | None]:
    """The bias that the convolution may add in float32, and the one that has to wait for integers."""
    bias = editor.constant(node.input(8)) if node.op == "QLinearConv" and node.input(8) else None
    small = bias is not None and np.abs(bias.astype(np.int64)).max() < _EXACT // 2
    return (bias, None) if small else (None, bias)


def _cuts(weights: _Weights, extent: int, *, axis: int, room: int) -> list[int] | None:
    """Where to cut the summed axis so that no part's magnitudes sum up to more than `room`, its ends included.

    None where that takes too many parts.
    """
    for count in range(1, min(_MOST_PARTS, extent) + 1):
        cuts = [extent * part // count for part in range(count + 1)]
        if max(_largest(weights, begin, end, axis) for begin, end in pairwise(cuts)) <= room:
            return cuts
    return None


def _largest(weights: _Weights, begin: int, end: int, axis: int) -> int:
    """The largest sum of magnitudes behind one result."""
    if weights.array is None:
        return weights.most * (end - begin)
    part = np.abs(np.moveaxis(weights.array, axis, 0)[begin:end].astype(np.float64))
    # A convolution also sums over its kernel, [C, M, kernel...] here; a product over the cut axis alone.
    return int((part.sum((0, *range(2, part.ndim))) if axis == 1 else part.sum(0)).max())


def _most(editor: GraphEditor, name: str, zero: str) -> int:
    """The largest |x - zero| that there can be."""
    low, high = RANGES[editor.value(name).dtype]
    offsets = editor.constant(zero) if zero else np.zeros(1)
    if offsets is None:
        return high - low
    return int(max(high - offsets.min().astype(np.int64), offsets.max().astype(np.int64) - low))


def _centred_weights(
    editor: GraphEditor, sketch: Sketch, name: str, zero: str, rank: int, *, kernel: bool = False
) -> _Weights:
    array, offset = editor.constant(name), editor.constant(zero) if zero else np.zeros((), np.int8)
    if array is None or offset is None:
        return _Weights(_centred(sketch, name, zero), None, _most(editor, name, zero))
    wide = offset.astype(np.float32)
    if kernel and offset.size > 1:
        wide = wide.reshape(-1, *(1,) * (rank - 1))
    centred = array.astype(np.float32) - (wide.reshape(()) if wide.size == 1 else wide)
    return _Weights("", centred, int(np.abs(centred).max()))


def _by_row(sketch: Sketch, zero: str) -> str:
    """A zero point for each row of the left-hand side, as a column."""
    if not zero or len(sketch.shape(zero)) != 1 or sketch.shape(zero) == (1,):
        return zero
    return sketch.reshape(zero, (*sketch.shape(zero), 1))


def _centred(sketch: Sketch, name: str, zero: str) -> str:
    """X - zero in float32."""

    def write(b: FormulaBuilder, operands: Sequence[Operand | None]) -> Operand:
        x, offset = operands
        wide = as_single(b, x or 0.0)
        return wide if offset is None or offset == 0 else b.sub(wide, as_single(b, offset))

    return elementwise(sketch, (name, zero), sketch.shape(name), write)


def _part(sketch: Sketch, x: str, begin: int, end: int, axis: int) -> str:
    shape = list(sketch.shape(x))
    if end - begin == shape[axis]:
        return x
    shape[axis] = end - begin
    places = [sketch.constant(np.asarray([place], np.int64)) for place in (begin, end, axis % len(shape))]
    return sketch.node("Slice", (x, *places), shape)


def _weights_part(sketch: Sketch, weights: _Weights, begin: int, end: int, axis: int) -> str:
    if weights.array is None:
        return _part(sketch, weights.name, begin, end, axis)
    return sketch.constant(np.ascontiguousarray(weights.array.take(range(begin, end), axis)))


def _factor(sketch: Sketch, node: Node, rank: int) -> str:
    """What the sums are multiplied with, computed in float32 as the reference has it; empty for results in int32.

    One number a channel stands on the first of `rank` axes.
    """
    if not node.op.startswith("QLinear"):
        return ""
    names = [node.inputs[place] for place in (1, 4, 6)]
    shape = sketch.shape(names[1])
    if np.prod(shape, dtype=int) > 1:
        names[1] = sketch.reshape(names[1], shape := (*shape, *(1,) * (rank - 1)))
    x, w, y = (sketch.array(name) for name in names)
    if x is not None and w is not None and y is not None:
        return sketch.constant(np.asarray(x * w / y, np.float32))
    shape = max((sketch.shape(name) for name in names), key=lambda one: (len(one), one))

    def write(b: FormulaBuilder, operands: Sequence[Operand | None]) -> Operand:
        left, right, over = (operand or 0.0 for operand in operands)
        return b.div(b.mul(left, right), over)

    return elementwise(sketch, names, shape, write)


def _result(sketch: Sketch, node: Node, parts: Sequence[str], late: str, rank: int) -> str:
    """The parts added as int32, and for quantised results scaled, rounded and shifted."""
    factor, result = _factor(sketch, node, rank), sketch.dtype(node.output)
    names = [*parts, late, factor, node.inputs[7] if factor else ""]

    def write(b: FormulaBuilder, operands: Sequence[Operand | None]) -> Operand:
        *sums, more, scale, zero = operands
        if len(parts) == 1 and more is None and scale is not None:
            return write_quantised(b, b.mul(sums[0] or 0.0, scale), zero, result)
        total: Operand = b.cast(sums[0] or 0.0, DType.INT32)
        for part in sums[1:]:
            total = b.add(total, b.cast(part or 0.0, DType.INT32))
        total = total if more is None else b.add(total, more)
        if scale is None:
            return total
        return write_quantised(b, b.mul(b.cast(total, DType.FLOAT32), scale), zero, result)

    return elementwise(sketch, names, sketch.shape(node.output), write)
