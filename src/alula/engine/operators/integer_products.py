"""Matrix products and convolutions of quantised numbers, exact in integers.

In: elements of 8 bits with their zero points. Out: sums in int32, or with scales elements of 8 bits again.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import Shape
from alula.engine.graph.nodes import Array
from alula.engine.graph.numpy_dtypes import dtype_of
from alula.engine.operators.common import Mismatch, agree, show
from alula.engine.operators.conv import CONV_ATTRIBUTES, conv_geometry, convolve
from alula.engine.operators.convert import convert
from alula.engine.operators.matmul import matmul_shape
from alula.engine.operators.quantise import RANGES, saturated
from alula.engine.operators.record import Inference, Inferred, Operator


def integer_matmul(a: Array, b: Array, a_zero: Array | None = None, b_zero: Array | None = None) -> Array:
    """(a - a_zero)(b - b_zero) in int32, which wraps around.

    A zero point of a is a number or one a row, of b a number or one a column, as far as it is not given with its axes.
    """
    product: Array = np.matmul(_centred(a, _by_row(a_zero)), _centred(b, b_zero))
    return _wrapped(product)


def integer_conv(
    x: Array, w: Array, x_zero: Array | None = None, w_zero: Array | None = None, **attributes: Any
) -> Array:
    """The convolution of x - x_zero with w - w_zero in int32, which wraps around; the border is x_zero."""
    return _wrapped(convolve(_centred(x, x_zero), _centred(w, _by_kernel(w_zero, w.ndim)), **attributes))


def _wrapped(product: Array) -> Array:
    """Float64 holds every sum of products of 8 bits exactly, up to 2**37 of them."""
    return np.asarray(product).astype(np.int64).astype(np.int32)


def _centred(x: Array, zero: Array | None) -> Array:
    wide = x.astype(np.float64)
    return wide if zero is None else wide - zero.astype(np.float64)


def _by_row(zero: Array | None) -> Array | None:
    return zero.reshape(-1, 1) if zero is not None and zero.ndim == 1 and zero.size > 1 else zero


def _by_kernel(zero: Array | None, rank: int) -> Array | None:
    return None if zero is None else zero.reshape(-1, *(1,) * (rank - 1))


def requantised(exact: Array, factor: Array, zero: Array) -> Array:
    """Sums times a factor in float32, rounded, halves to even, shifted and kept inside the zero point's type."""
    scaled = exact.astype(np.float32) * factor.astype(np.float32)
    dtype = dtype_of(zero)
    if dtype not in RANGES:
        return convert(scaled + zero.astype(np.float32), dtype)
    return saturated(np.rint(scaled), zero, dtype)


def quantised_matmul(*arrays: Array) -> Array:
    """QLinearMatMul: the product of what a and b stand for, as y_scale and y_zero write it."""
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = arrays
    product = np.matmul(_centred(a, _by_row(a_zero)), _centred(b, b_zero))
    scale = np.asarray(_by_row(a_scale)).astype(np.float32) * b_scale.astype(np.float32)
    return requantised(product, scale / y_scale.astype(np.float32), y_zero)


def quantised_conv(*arrays: Array | None, **attributes: Any) -> Array:
    """QLinearConv: as ConvInteger, plus the bias in int32, times x_scale w_scale / y_scale."""
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias = (np.asarray(x) for x in arrays)
    exact = integer_conv(x, w, x_zero, w_zero, **attributes)
    column = (-1, *(1,) * (exact.ndim - 2))
    if arrays[8] is not None:
        exact = exact + bias.reshape(column)
    factor = x_scale.astype(np.float32) * w_scale.astype(np.float32) / y_scale.astype(np.float32)
    return requantised(exact, factor.reshape(column), y_zero)


def _infer_matmul(at: Inference) -> Inferred:
    return [(DType.INT32, matmul_shape(at.shape(0), at.shape(1)))]


def _infer_quantised_matmul(at: Inference) -> Inferred:
    return [(at.dtype(7), matmul_shape(at.shape(0), at.shape(3)))]


def _conv_shape(at: Inference, weight: int) -> Shape:
    attributes = dict(at.attributes)
    x = at.shape(0)
    channels, sizes = conv_geometry(x, at.shape(weight), attributes.pop("group"), attributes)
    return (x[0], channels, *sizes)


def _infer_conv(at: Inference) -> Inferred:
    return [(DType.INT32, _conv_shape(at, 1))]


def _infer_quantised_conv(at: Inference) -> Inferred:
    shape = _conv_shape(at, 3)
    if at.has(8) and (len(at.shape(8)) != 1 or not agree(at.shape(8)[0], shape[1])):
        raise Mismatch(f"bias must be [{shape[1]}]", f"it is {show(at.shape(8))}")
    return [(at.dtype(7), shape)]


MATMUL_INTEGER = Operator(
    name="MatMulInteger",
    since=(10,),
    inputs=("a", "b", "a_zero?", "b_zero?"),
    infer=_infer_matmul,
    reference=integer_matmul,
    summary="Matrix product of 8-bit integers, less their zero points, in int32.",
)

CONV_INTEGER = Operator(
    name="ConvInteger",
    since=(10,),
    inputs=("x", "w", "x_zero?", "w_zero?"),
    attributes=CONV_ATTRIBUTES,
    infer=_infer_conv,
    reference=integer_conv,
    summary="Convolution of 8-bit integers, less their zero points, in int32.",
)

QLINEAR_MATMUL = Operator(
    name="QLinearMatMul",
    since=(10, 21),
    inputs=("a", "a_scale", "a_zero", "b", "b_scale", "b_zero", "y_scale", "y_zero"),
    infer=_infer_quantised_matmul,
    reference=quantised_matmul,
    summary="Matrix product of quantised numbers, quantised again.",
)

QLINEAR_CONV = Operator(
    name="QLinearConv",
    since=(10,),
    inputs=("x", "x_scale", "x_zero", "w", "w_scale", "w_zero", "y_scale", "y_zero", "b?"),
    attributes=CONV_ATTRIBUTES,
    infer=_infer_quantised_conv,
    reference=quantised_conv,
    summary="Convolution of quantised numbers with a bias in int32, quantised again.",
)

OPERATORS = (MATMUL_INTEGER, CONV_INTEGER, QLINEAR_MATMUL, QLINEAR_CONV)
