"""Numbers stored as multiples of a scale: to and from integers and short floats, by one scale or several.

In: real x, a scale and a zero point. Out: q = saturate(round(x / scale) + zero); or x = (q - zero) scale from q.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import Shape
from alula.engine.graph.nodes import Array
from alula.engine.graph.numpy_dtypes import dtype_of, numpy_dtype
from alula.engine.operators.common import Mismatch, Refusal, agree, axis_of, known, show
from alula.engine.operators.convert import convert, dtype_numbered
from alula.engine.operators.record import Inference, Inferred, Operator

# The least and the largest number of each integer type that QuantizeLinear writes.
RANGES = MappingProxyType(
    {
        DType.UINT8: (0, 255), DType.INT8: (-128, 127), DType.UINT16: (0, 65535), DType.INT16: (-32768, 32767),
        DType.UINT4: (0, 15), DType.INT4: (-8, 7), DType.UINT2: (0, 3), DType.INT2: (-2, 1),
    }
)  # fmt: skip
_SHORT_FLOATS = frozenset(
    {DType.FLOAT8E4M3FN, DType.FLOAT8E4M3FNUZ, DType.FLOAT8E5M2, DType.FLOAT8E5M2FNUZ, DType.FLOAT4E2M1}
)


def spread(factor: Array, shape: tuple[int, ...], axis: int, block_size: int) -> Array:
    """A scale or zero point as an array that broadcasts against x.

    Args:
        factor: a number, one number for each index of `axis`, or of x's rank with one number a block.
        shape: of x.
        axis: along which it varies, or along which the blocks lie.
        block_size: elements a block; 0 where there are no blocks.

    Raises:
        Mismatch: it fits in none of these ways.
    """
    if factor.size == 1 and (factor.ndim <= 1 or not block_size):
        return factor.reshape(())
    axis = axis_of(axis, len(shape))
    if not block_size:
        check_factor(factor.shape, shape, axis, 0)
        return factor.reshape(factor.shape + (1,) * (len(shape) - 1 - axis))
    check_factor(factor.shape, shape, axis, block_size)
    return np.repeat(factor, block_size, axis)[(slice(None),) * axis + (slice(shape[axis]),)]


def check_factor(factor: Shape, shape: Shape, axis: int, block_size: int) -> None:
    """Check that a scale or zero point that is no number fits x.

    Raises:
        Mismatch: it does not.
    """
    if not block_size:
        if len(factor) != 1 or not agree(factor[0], shape[axis]):
            raise Mismatch(f"scale and zero point must be a number or [{shape[axis]}]", f"one is {show(factor)}")
        return
    if block_size < 0:
        raise Refusal("block_size must not be negative", f"it is {block_size}")
    wanted = (*shape[:axis], -(-known(shape[axis]) // block_size), *shape[axis + 1 :])
    if len(factor) != len(wanted) or not all(map(agree, factor, wanted)):
        raise Mismatch(f"scale and zero point in blocks must be {show(wanted)}", f"one is {show(factor)}")


def quantised_dtype(zero: DType | None, output_dtype: int) -> DType:
    """The element type that QuantizeLinear writes: the zero point's, the one that is named, or uint8.

    Raises:
        Mismatch: both say one, and they differ.
        Refusal: there is no such quantised type.
    """
    named = dtype_numbered(output_dtype) if output_dtype else None
    if zero and named and zero is not named:
        raise Mismatch(f"the zero point must be {named}, as output_dtype says", f"it is {zero}")
    dtype = zero or named or DType.UINT8
    if dtype not in RANGES and dtype not in _SHORT_FLOATS:
        raise Refusal("quantised elements must be integers of up to 16 bits, or floats of up to 8", f"they are {dtype}")
    return dtype


def quantize(x: Array, scale: Array, zero: Array | None = None, **attributes: Any) -> Array:
    """saturate(round(x / scale) + zero), halves to even; short floats are rounded by their own cast.

    The quotient is rounded to `precision`, or where it is left out to the scale's type. NaN gives 0 in integers.
    """
    axis, block = attributes["axis"], attributes["block_size"]
    dtype = quantised_dtype(None if zero is None else dtype_of(zero), attributes["output_dtype"])
    precision = attributes["precision"]
    kind = numpy_dtype(dtype_numbered(precision)) if precision else scale.dtype
    over = spread(scale, x.shape, axis, block)
    quotient = (x.astype(kind).astype(np.float32) / over.astype(kind).astype(np.float32)).astype(kind)
    wide = quotient.astype(np.float32)
    offset = None if zero is None else spread(zero, x.shape, axis, block).astype(np.float32)
    if dtype not in RANGES:
        return convert(wide if offset is None else wide + offset, dtype, saturate=attributes["saturate"])
    return saturated(np.rint(wide), offset, dtype)


def saturated(whole: Array, zero: Array | None, dtype: DType) -> Array:
    """Whole numbers in float32, shifted by the zero point, as elements of an integer type; NaN gives 0."""
    shifted = whole if zero is None else whole + zero.astype(np.float32)
    low, high = RANGES[dtype]
    kept = np.where(np.isnan(shifted), 0, np.clip(shifted, low, high))
    return kept.astype(np.int32).astype(numpy_dtype(dtype))


def dequantize(x: Array, scale: Array, zero: Array | None = None, **attributes: Any) -> Array:
    """(x - zero) scale, computed in float32 and rounded once, to `output_dtype` or the scale's type."""
    axis, block, named = attributes["axis"], attributes["block_size"], attributes["output_dtype"]
    dtype = numpy_dtype(dtype_numbered(named)) if named else scale.dtype
    factor = spread(scale, x.shape, axis, block).astype(np.float32)
    exact = np.float64 if x.dtype == np.int32 else np.float32
    whole = x.astype(exact)
    if zero is not None:
        whole = whole - spread(zero, x.shape, axis, block).astype(exact)
    return np.asarray(whole.astype(np.float32) * factor).astype(dtype)


def dynamic_quantize(x: Array) -> tuple[Array, Array, Array]:
    """Uint8 elements, scale and zero point of the range that x has, 0 in it; a range of nothing has scale 1.

    ONNX, DynamicQuantizeLinear: scale = (max(x, 0) - min(x, 0)) / 255, zero = saturate(round(0 - min / scale)). The
    standard leaves a range of nothing open; onnxruntime takes 1.
    """
    low = np.float32(min(0.0, float(x.min(initial=0.0))))
    high = np.float32(max(0.0, float(x.max(initial=0.0))))
    scale = np.float32((high - low) / np.float32(255)) if high > low else np.float32(1)
    zero = saturated(np.rint(-low / scale), None, DType.UINT8)
    quotient = np.rint(x / scale)
    return saturated(quotient, zero, DType.UINT8), np.asarray(scale), zero


def check_factors(at: Inference) -> None:
    """Check the shapes of scale and zero point.

    Raises:
        Mismatch: they do not fit x.
        UnknownShape: a shape is not known.
    """
    shape, block = at.shape(0), at.attributes["block_size"]
    for index in (1, 2):
        if not at.has(index):
            continue
        factor = at.shape(index)
        if block or (factor and factor != (1,)):
            check_factor(factor, shape, axis_of(at.attributes["axis"], len(shape)), block)


def _infer_quantize(at: Inference) -> Inferred:
    check_factors(at)
    return [(quantised_dtype(at.dtype(2) if at.has(2) else None, at.attributes["output_dtype"]), at.shape(0))]


def _infer_dequantize(at: Inference) -> Inferred:
    check_factors(at)
    named = at.attributes["output_dtype"]
    return [(dtype_numbered(named) if named else at.dtype(1), at.shape(0))]


QUANTIZE = Operator(
    name="QuantizeLinear",
    since=(10, 13, 19, 21, 23, 24, 25, 28),
    inputs=("x", "scale", "zero?"),
    attributes=MappingProxyType({"axis": 1, "block_size": 0, "output_dtype": 0, "precision": 0, "saturate": 1}),
    infer=_infer_quantize,
    reference=quantize,
    summary="saturate(round(x / scale) + zero), halves to even.",
)

DEQUANTIZE = Operator(
    name="DequantizeLinear",
    since=(10, 13, 19, 21, 23, 24, 25, 28),
    inputs=("x", "scale", "zero?"),
    attributes=MappingProxyType({"axis": 1, "block_size": 0, "output_dtype": 0}),
    infer=_infer_dequantize,
    reference=dequantize,
    summary="(x - zero) scale.",
)

DYNAMIC_QUANTIZE = Operator(
    name="DynamicQuantizeLinear",
    since=(11,),
    inputs=("x",),
    outputs=("y", "scale", "zero"),
    infer=lambda at: [(DType.UINT8, at.shape(0)), (DType.FLOAT32, ()), (DType.UINT8, ())],
    reference=dynamic_quantize,
    summary="x in uint8, by the range of its elements.",
)

OPERATORS = (QUANTIZE, DEQUANTIZE, DYNAMIC_QUANTIZE)
