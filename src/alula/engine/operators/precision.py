"""The type that a reference computes in: float32 for elements that are shorter, their own for all others.

In: an array, a numpy dtype or a reference. Out: the array in the type it is computed in, the reference for all types.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from alula.engine.graph.nodes import Array


def is_real(dtype: np.dtype[Any]) -> bool:
    """Whether elements are floating-point numbers; numpy counts those of ml_dtypes among the void types."""
    return dtype.kind == "f" or dtype.name.startswith(("bfloat", "float"))


def widened(x: Array) -> Array:
    """The array in the type that it is computed in; itself where that is its own."""
    short = is_real(x.dtype) and x.dtype.itemsize < 4  # noqa: PLR2004  bytes of a float32
    return x.astype(np.float32) if short else x


def literal(x: Array, value: float) -> Array:
    """A number in the dtype of an array, so that it does not widen what it meets."""
    return np.asarray(value, x.dtype)


def in_float32(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function on widened arrays; float32 results are rounded once, to the first argument's short type.

    One rounding at the end is what compiled code does, and what the standard leaves open.
    """

    @wraps(function)
    def reference(*arrays: Any, **attributes: Any) -> Any:
        results = function(*(widened(x) if isinstance(x, np.ndarray) else x for x in arrays), **attributes)
        dtype = arrays[0].dtype
        if not is_real(dtype) or dtype.itemsize >= 4:  # noqa: PLR2004  bytes of a float32
            return results
        return tuple(_narrow(y, dtype) for y in results) if isinstance(results, tuple) else _narrow(results, dtype)

    return reference


def _narrow(result: Any, dtype: Any) -> Array:
    array = np.asarray(result)
    return array.astype(dtype) if array.dtype == np.float32 else array
