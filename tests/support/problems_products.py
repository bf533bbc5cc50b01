"""Problems: products and convolutions of every number, windows and picks of types that few models have.

In: nothing. Out: `PROBLEMS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from support.problem import Problem, problem, reals


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


PROBLEMS: Sequence[Problem] = (*_products(), *_windows())
