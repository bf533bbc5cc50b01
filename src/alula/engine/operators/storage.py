"""Arithmetic on element types that only store: float16, bfloat16 and the 8- and 4-bit floats.

In: a reference that computes in float32. Out: the same, which also takes those and rounds its results once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.numpy_dtypes import EXTENDED, numpy_dtype

_STORED_FLOATS = frozenset(
    numpy_dtype(dtype) for dtype in {DType.FLOAT16, *EXTENDED} if dtype.value.startswith(("float", "bfloat"))
)


def is_stored_float(array: object) -> bool:
    """Whether it is an array of floats that arithmetic first widens to float32."""
    return isinstance(array, np.ndarray) and array.dtype in _STORED_FLOATS


def in_float32(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function on float32 copies of stored floats; float32 results take the first argument's dtype again.

    One rounding at the end is what compiled code does, and what the standard leaves open.
    """

    @wraps(function)
    def widened(*arrays: Any, **attributes: Any) -> Any:
        if not any(map(is_stored_float, arrays)):
            return function(*arrays, **attributes)
        results = function(*map(_wide, arrays), **attributes)
        if not is_stored_float(arrays[0]):
            return results
        if isinstance(results, tuple):
            return tuple(_narrow(result, arrays[0].dtype) for result in results)
        return _narrow(results, arrays[0].dtype)

    return widened


def _wide(array: Any) -> Any:
    return array.astype(np.float32) if is_stored_float(array) else array


def _narrow(result: Any, dtype: Any) -> Any:
    narrow = np.asarray(result)
    return narrow.astype(dtype) if narrow.dtype == np.float32 else narrow
