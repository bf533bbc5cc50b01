"""Numbers of every element type on which arithmetic goes wrong.

In: an element type. Out: an array; comparisons that know where NaN is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.numpy_dtypes import numpy_dtype
from alula.engine.graph.primitives import REALS, bounds_of

Array = np.ndarray[Any, Any]


def numbers(dtype: DType) -> Array:
    """What goes wrong: the ends of the type, zeros of both signs, ties, numbers beside powers of two, NaN."""
    if dtype is DType.BOOL:
        return np.array([False, True])
    if dtype not in REALS:
        low, high = bounds_of(dtype)
        bits = 8 * dtype.itemsize
        few = {low, low + 1, -100, -7, -2, -1, 0, 1, 2, 3, 7, bits - 1, bits, bits + 1, 100, high // 2, high - 1, high}
        return np.array(sorted(n for n in few if low <= n <= high), numpy_dtype(dtype))
    reals = [np.inf, 3e38, 4e9, 3e9, 2147483648.0, 65520.0, 65519.0, 300.0, 100.25, 7.0, 3.5, 2.5, 2.0, 1.5, 1.0, 0.75,
           0.5, 0.25, 1e-3, 6e-8, 1e-6, 0.0]  # fmt: skip
    largest = 65504.0 if dtype is DType.FLOAT16 else np.inf
    kept = [n for n in reals if n <= largest or np.isinf(n)]
    return np.array([*kept, *(-n for n in kept), np.nan]).astype(numpy_dtype(dtype))


def same(got: Array, want: Array, about: str = "") -> None:
    """The same numbers, NaN in the same places; numpy does not know where NaN of bfloat16 is."""
    assert got.dtype == want.dtype
    brain = got.dtype == numpy_dtype(DType.BFLOAT16)
    pair = [array.astype(np.float32) if brain else array for array in (got, want)]
    np.testing.assert_array_equal(pair[0], pair[1], err_msg=about)
