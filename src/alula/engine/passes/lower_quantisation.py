"""Quantising and dequantising become formulas.

    x -> QuantizeLinear(#0.5, #3)     becomes   x -> Elementwise <cast(clamp(round(r0 / 0.5) + 3, 0, 255), uint8)>
    q -> DequantizeLinear(#s, #z)     becomes   q -> Elementwise(#s, #z) <(cast(r0, float32) - cast(r2)) * r1>
    x -> DynamicQuantizeLinear        becomes   ReduceMin and ReduceMax of x, and formulas of them

In: integers of 8 and 16 bits (of 32 to dequantise), static shapes. Out: Elementwise nodes; scales along an axis or in
blocks are operands that broadcast.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from alula.base.tensors import DType
from alula.engine.graph.dims import static
from alula.engine.graph.formula import FormulaBuilder, Operand
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node
from alula.engine.graph.onnx_dtypes import ONNX_DTYPES
from alula.engine.graph.primitives import SINGLE
from alula.engine.passes.known import static_shape
from alula.engine.passes.sketch import Sketch
from alula.engine.passes.write_formula import as_single, elementwise

STORED = frozenset({DType.UINT8, DType.INT8, DType.UINT16, DType.INT16})
_OPERATORS = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"})


def lower_quantisation(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Rewrite one node."""
    if node.domain or node.op not in _OPERATORS:
        return None
    if any(static_shape(editor, name) is None for name in (*node.inputs, *node.outputs) if name):
        return None
    if node.op == "DynamicQuantizeLinear":
        return _dynamic(editor, node)
    source, result = editor.value(node.inputs[0]).dtype, editor.value(node.output).dtype
    if node.op == "QuantizeLinear":
        fits = result in STORED and source in SINGLE | {DType.INT32}
    else:
        fits = source in STORED | {DType.INT32} and result in SINGLE
    return _by_factors(editor, node) if fits and editor.value(node.inputs[1]).dtype in SINGLE else None


def _by_factors(editor: GraphEditor, node: Node) -> Rewrite | None:
    """The formula over x, scale and zero point, x in the shape in which the others broadcast against it."""
    sketch, shape = Sketch(editor, node), static(editor.value(node.inputs[0]).shape or ())
    views = _views(editor, node, shape)
    if node.input(2) and math.prod(sketch.shape(node.input(2))) not in {1, math.prod(sketch.shape(node.inputs[1]))}:
        return None
    if views is None or editor.constant(node.inputs[0]) is not None:
        return None
    whole, factor = views
    x = sketch.reshape(node.inputs[0], whole)
    scale, zero = (_factor(editor, sketch, node.input(index), factor) for index in (1, 2))
    result = editor.value(node.output).dtype
    named = node.integer("precision")
    precision = ONNX_DTYPES[named] if named else editor.value(node.inputs[1]).dtype

    def write(b: FormulaBuilder, operands: Sequence[Operand | None]) -> Operand:
        r, s, z = operands
        assert r is not None and s is not None  # noqa: S101, PT018  both are required inputs
        if node.op == "QuantizeLinear":
            return write_quantised(b, _quotient(b, r, s, precision), z, result)
        return write_dequantised(b, r, s, z, result)

    y = elementwise(sketch, (x, scale, zero), whole, write)
    return sketch.finish(sketch.reshape(y, shape))


def _factor(editor: GraphEditor, sketch: Sketch, name: str, shape: tuple[int, ...]) -> str:
    """Scale or zero point with the axes in which it broadcasts; numbers stay what they are."""
    if not name or len(sketch.shape(name)) == 0 or sketch.shape(name) == (1,) * len(shape):
        return name
    array = editor.constant(name)
    if array is not None and array.size == 1:
        return name
    return sketch.reshape(name, shape if sketch.shape(name) != (1,) else (1,) * len(shape))


def _views(editor: GraphEditor, node: Node, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """The shapes of x and of its factors in which they broadcast; None where the last block is not whole."""
    factor = static(editor.value(node.inputs[1]).shape or ())
    block = node.integer("block_size")
    if not block and factor in ((), (1,)):
        return shape, (1,) * len(shape)
    axis = node.integer("axis", 1) % len(shape)
    before, extent, after = shape[:axis], shape[axis], shape[axis + 1 :]
    if not block:
        return shape, (extent, *(1,) * len(after))
    if extent % block:
        return None
    return (*before, extent // block, block, *after), (*before, extent // block, 1, *after)


def _quotient(b: FormulaBuilder, x: Operand, scale: Operand, precision: DType) -> Operand:
    """X / scale, rounded as the precision has it."""
    if precision is DType.FLOAT32:
        return b.div(as_single(b, x), as_single(b, scale))
    short = [b.cast(b.cast(operand, precision), DType.FLOAT32) for operand in (as_single(b, x), as_single(b, scale))]
    return b.cast(b.cast(b.div(*short), precision), DType.FLOAT32)


def write_quantised(b: FormulaBuilder, quotient: Operand, zero: Operand | None, result: DType) -> Operand:
    """saturate(round(quotient) + zero), as `operators.quantise` has it."""
    whole = b.round(quotient)
    return b.saturate(whole if zero is None or zero == 0 else b.add(whole, as_single(b, zero)), result)


def write_dequantised(b: FormulaBuilder, x: Operand, scale: Operand, zero: Operand | None, result: DType) -> Operand:
    """(x - zero) scale; the difference of integers of 32 bits is one of integers."""
    some = zero is not None and zero != 0
    if some and b.type_of(x) is DType.INT32:
        x, some = b.sub(x, zero or 0), False
    x = as_single(b, x)
    if some:
        x = b.sub(x, as_single(b, zero or 0))
    y = b.mul(x, as_single(b, scale))
    return y if result is DType.FLOAT32 else b.cast(y, result)


def _dynamic(editor: GraphEditor, node: Node) -> Rewrite | None:
    x, names = node.inputs[0], node.outputs
    if editor.value(x).dtype is not DType.FLOAT32 or editor.constant(x) is not None:
        return None
    sketch = Sketch(editor, node)
    least, most = (sketch.node(op, (x,), (), keepdims=0) for op in ("ReduceMin", "ReduceMax"))
    scale = elementwise(sketch, (least, most), (), _write_scale)
    zero = elementwise(sketch, (least, scale), (), _write_zero)
    y = elementwise(sketch, (x, scale, zero), sketch.shape(x), _write_dynamic)
    others = dict(zip(names[1:], (scale, zero), strict=False))
    return replace(sketch.finish(y), rename={old: new for old, new in others.items() if old})


def _write_scale(b: FormulaBuilder, operands: Sequence[Operand | None]) -> Operand:
    """(max(x, 0) - min(x, 0)) / 255, or 1 for a range of nothing."""
    least, most = (operand or 0.0 for operand in operands)
    extent = b.sub(b.max(most, 0.0), b.min(least, 0.0))
    return b.select(b.lt(0.0, extent), b.div(extent, 255.0), 1.0)


def _write_zero(b: FormulaBuilder, operands: Sequence[Operand | None]) -> Operand:
    least, scale = (operand or 0.0 for operand in operands)
    return b.saturate(b.round(b.div(b.neg(b.min(least, 0.0)), scale)), DType.UINT8)


def _write_dynamic(b: FormulaBuilder, operands: Sequence[Operand | None]) -> Operand:
    x, scale, zero = operands
    return write_quantised(b, b.div(x or 0.0, scale or 1.0), zero, DType.UINT8)
