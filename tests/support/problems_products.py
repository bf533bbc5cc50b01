"""Problems: products and convolutions of every number, windows and picks of types that few models have.

In: nothing. Out: `PROBLEMS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from support.problem import Problem, floats, ints, number, problem, reals


def _numbers(dtype: Any, *shape: int) -> np.ndarray[Any, Any]:
    """Small numbers of any type, of both signs where there are two."""
    return np.asarray(reals(*shape) * 3).astype(np.int8).astype(dtype)


def _products() -> list[Problem]:
    found = []
    for dtype in (np.float64, np.int32, np.int64, np.uint32, np.uint64):
        found += [
            problem("MatMul", _numbers(dtype, 5, 7), _numbers(dtype, 7, 19)),
            problem("MatMul", _numbers(dtype, 2, 1, 9, 4), _numbers(dtype, 3, 4, 33)),
            problem("MatMul", _numbers(dtype, 6), _numbers(dtype, 2, 6, 3)),
            problem("MatMul", _numbers(dtype, 2, 3, 6), _numbers(dtype, 6)),
            problem("MatMul", _numbers(dtype, 6), _numbers(dtype, 6)),
        ]
    for dtype in (np.float64, np.int32, np.int64):
        found.append(problem("Gemm", _numbers(dtype, 3, 4), _numbers(dtype, 4, 5), _numbers(dtype, 5)))
    wide = [np.asarray(reals(*shape), np.float64) for shape in ((4, 3), (5, 4), (3, 1))]
    whole = [_numbers(np.int64, *shape) for shape in ((4, 3), (5, 4), (3, 1))]
    return [
        *found,
        problem("Gemm", *wide, alpha=0.3, beta=1.7, transA=1, transB=1),
        problem("Gemm", *whole, alpha=2.0, beta=3.0, transA=1, transB=1),
        problem("MatMul", np.asarray(reals(3, 4, 0), np.float64), np.asarray(reals(0, 2), np.float64)),
    ]


def _windows() -> list[Problem]:
    whole: dict[str, Any] = {"kernel_shape": (3, 2), "strides": (2, 1), "pads": (1, 0, 1, 1)}
    found = [problem("MaxPool", _numbers(dtype, 2, 3, 7, 6), judge="ort", **whole) for dtype in (np.int8, np.uint8)]
    return [
        *found,
        problem("MaxPool", reals(2, 3, 7, 6).astype(np.float64), outputs=2, judge="ort", **whole),
        problem("MaxPool", reals(2, 3, 9), outputs=2, kernel_shape=(4,), dilations=(2,), judge="ort"),
        problem("MaxPool", reals(1, 2, 4, 5, 6), outputs=2, kernel_shape=(2, 3, 2), strides=(1, 2, 2), storage_order=1),
        problem(
            "MaxPool", _numbers(np.uint8, 1, 2, 6, 7), kernel_shape=(3, 3), strides=(2, 2), ceil_mode=1, judge="ort"
        ),
    ]


def _statistics() -> list[Problem]:
    x, w = reals(2, 3, 5, 4), reals(5, 4)
    return [
        problem("LayerNormalization", x, w, axis=-2, outputs=3),
        problem("LayerNormalization", x, w, reals(5, 4, low=-1), axis=2, epsilon=0.1, outputs=2),
    ]


def _places() -> list[Problem]:
    pooled, places = floats(5, 6, 7, 8).reshape(1, 1, 2, 2), ints(5, 7, 13, 15).reshape(1, 1, 2, 2)
    cache, new = reals(2, 3, 6, 2), reals(2, 3, 2, 2)
    return [
        problem("MaxUnpool", pooled, places, kernel_shape=(2, 2), strides=(2, 2)),
        problem("MaxUnpool", pooled, places, ints(1, 1, 5, 6), kernel_shape=(2, 2), strides=(2, 2)),
        problem("TensorScatter", cache, new, opset=24),
        problem("TensorScatter", cache, new, ints(1, 4), opset=24),
        problem("TensorScatter", cache, new, ints(5, 3), mode="circular", opset=24),
        problem("OneHot", floats(0, 2, -1, 5), number(3, np.int64), floats(2, 7)),
        problem("Hardmax", np.asarray(reals(3, 5), np.float64), axis=0),
        problem("BitCast", reals(2, 3), to=6, opset=26),
    ]


def _resizings() -> list[Problem]:
    small, part = _numbers(np.uint8, 1, 2, 5, 4), floats(0, 0, 0.2, 0.3, 1, 1, 0.7, 1.4)
    crop: dict[str, Any] = {"coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 9.0}
    wanted = ints(1, 2, 7, 9)
    found = [
        problem("Resize", small.astype(dtype), None, None, wanted, mode="nearest") for dtype in (np.uint8, np.int32)
    ]
    return [
        *found,
        *(problem("Resize", reals(1, 2, 5, 4), part, None, wanted, mode=m, **crop) for m in ("nearest", "linear")),
        problem("Resize", reals(1, 2, 5, 4), part, None, wanted, mode="cubic", **crop),
    ]


def _samples() -> list[Problem]:
    volume, grid = reals(1, 2, 4, 5, 3), reals(1, 3, 2, 2, 3) / 2
    return [
        problem("GridSample", volume, grid, mode="linear", padding_mode="reflection"),
        problem("GridSample", volume, grid, mode="nearest", padding_mode="border", align_corners=1),
        problem("GridSample", reals(2, 3, 6, 5), reals(2, 4, 3, 2) / 2, mode="cubic", padding_mode="reflection"),
    ]


PROBLEMS: Sequence[Problem] = (*_products(), *_windows(), *_statistics(), *_places(), *_resizings(), *_samples())
