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


PROBLEMS: Sequence[Problem] = (*_products(),)
