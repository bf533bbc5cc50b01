"""Problems of quantised numbers: to and from integers, and products of integers.

In: nothing. Out: `PROBLEMS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

from alula.engine.graph.nodes import Array
from support.problem import EXTREMES, X3, X4, Problem, floats, number, problem, reals


def bytes_of(dtype: Any, *shape: int) -> Array:
    """All of the type's range, by the shape only."""
    info = np.iinfo(dtype)
    return np.random.default_rng(sum(shape)).integers(info.min, info.max, shape, dtype, endpoint=True)


_HALF, _QUARTER = number(0.5), number(0.25)
_HALVES = (np.arange(-40, 40, dtype=np.float32) / 4).reshape(4, 20)
_FOUR = floats(0.5, 0.1, 0.013, 2.0)


def _stored() -> list[Problem]:
    zeros = {np.uint8: 128, np.int8: -3, np.uint16: 32000, np.int16: 7}
    found = [
        problem("QuantizeLinear", array, _HALF, number(zero, dtype), opset=21)
        for dtype, zero in zeros.items()
        for array in (_HALVES, reals(3, 70, low=-900.0, high=900.0))
    ]
    found += [
        problem("DequantizeLinear", bytes_of(dtype, 3, 70), _QUARTER, number(zero, dtype), opset=21)
        for dtype, zero in zeros.items()
    ]
    return [
        *found,
        problem("QuantizeLinear", X4, _HALF),
        problem("QuantizeLinear", X4, floats(0.01), number(3, np.int8), opset=10, judge="ort"),
        problem("QuantizeLinear", EXTREMES[:-1], _HALF, number(3, np.int8), judge="ort"),
        problem("QuantizeLinear", X4, _FOUR, bytes_of(np.uint8, 4), opset=13),
        problem("QuantizeLinear", X4, reals(8, low=0.01), bytes_of(np.int8, 8), axis=-1, opset=13),
        problem("QuantizeLinear", reals(4, 12), reals(4, 3, low=0.01), bytes_of(np.int8, 4, 3), block_size=4, opset=21),
        problem("QuantizeLinear", reals(4, 10), reals(4, 3, low=0.01), block_size=4, opset=21, output_dtype=3),
        problem("QuantizeLinear", X4, _HALF, opset=21, output_dtype=5),
        problem("QuantizeLinear", np.arange(-30, 30, dtype=np.int32), _HALF, number(3, np.uint8), opset=23),
        problem("QuantizeLinear", X4.astype(np.float16), number(0.125, np.float16), number(3, np.uint8)),
        problem("QuantizeLinear", X4.astype(np.float16), number(0.125, np.float16), opset=23, precision=1),
        problem("QuantizeLinear", X4, number(0.1), number(1, ml_dtypes.int4), opset=21),
        problem("QuantizeLinear", X4, number(0.1), number(0, ml_dtypes.float8_e4m3fn), opset=21),
        problem("DequantizeLinear", bytes_of(np.uint8, 2, 4, 3, 5), _FOUR, bytes_of(np.uint8, 4), opset=19),
        problem("DequantizeLinear", bytes_of(np.int8, 2, 3, 4), _FOUR, axis=-1, opset=13, judge="ort"),
        problem("DequantizeLinear", bytes_of(np.int8, 4, 12), reals(4, 3), bytes_of(np.int8, 4, 3), opset=21,
                block_size=4),
        problem("DequantizeLinear", bytes_of(np.int8, 12, 4), reals(3, 4), axis=0, block_size=5, opset=21),
        problem("DequantizeLinear", bytes_of(np.int32, 5, 7), _QUARTER, opset=10, judge="ort"),
        problem("DequantizeLinear", bytes_of(np.int8, 5, 7), number(0.1, np.float16), number(3, np.int8), opset=21),
        problem("DequantizeLinear", X4.astype(ml_dtypes.int4), number(0.1), opset=21),
        problem("DynamicQuantizeLinear", X4, outputs=3),
        problem("DynamicQuantizeLinear", np.abs(X3), outputs=3),
        problem("DynamicQuantizeLinear", -np.abs(reals(5)), outputs=3),
        problem("DynamicQuantizeLinear", np.zeros((3, 4), np.float32), outputs=3, judge="ort"),
    ]  # fmt: skip


def _products() -> list[Problem]:
    a, b = bytes_of(np.uint8, 3, 40), bytes_of(np.int8, 40, 5)
    wide, tall = bytes_of(np.uint8, 2, 700), bytes_of(np.uint8, 700, 3)
    x, w = bytes_of(np.uint8, 2, 4, 9, 8), bytes_of(np.int8, 6, 4, 3, 3)
    grouped, bias = bytes_of(np.int8, 6, 2, 3, 2), np.arange(-3000, 3000, 1000, dtype=np.int32)
    u, s = number(120, np.uint8), number(-7, np.int8)
    scales = (number(0.02), u, w, number(0.03), number(0, np.int8), number(0.9), number(100, np.uint8))
    by_channel = (number(0.02), u, w, reals(6, low=0.01), np.zeros(6, np.int8), number(9.0), number(100, np.uint8))
    return [
        problem("MatMulInteger", a, b),
        problem("MatMulInteger", a, b, u, s),
        problem("MatMulInteger", bytes_of(np.uint8, 2, 3, 40), b, u, bytes_of(np.int8, 5), judge="ort"),
        problem("MatMulInteger", wide, tall, u, number(3, np.uint8)),
        problem("ConvInteger", x, w.astype(np.uint8), u, pads=(1, 1, 1, 1), judge="ort"),
        problem("ConvInteger", x, w, u, strides=(2, 1), judge="ort"),
        problem("ConvInteger", x, grouped, group=2, auto_pad="SAME_UPPER", judge="ort"),
        problem("QLinearConv", x, *scales, pads=(1, 1, 1, 1), judge="ort"),
        problem("QLinearConv", x, *scales, bias, dilations=(2, 2), judge="ort"),
        problem("QLinearConv", x, *scales, bias << 18, judge="ort"),
        problem("QLinearConv", x, *by_channel, bias, strides=(2, 2), judge="ort"),
        problem("QLinearConv", x, *scales[:2], grouped, *scales[3:], bias, group=2, judge="ort"),
        problem("QLinearMatMul", a, number(0.02), u, b, number(0.03), s, number(0.5), u, judge="ort"),
        problem("QLinearMatMul", bytes_of(np.int8, 2, 3, 40), number(0.02), s, bytes_of(np.int8, 2, 40, 5),
                number(0.03), s, number(0.5), number(12, np.int8), judge="ort"),
        problem("QLinearMatMul", a, number(0.02), u, b, reals(5, low=0.01), bytes_of(np.int8, 5), number(0.9),
                number(128, np.uint8), judge="ort"),
    ]  # fmt: skip


PROBLEMS: Sequence[Problem] = (*_stored(), *_products())
