"""The type that a reference computes in: float32 for elements that are shorter, their own for all others.

In: an array or a numpy dtype. Out: the array in the type that it is computed in.
"""

from __future__ import annotations

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
