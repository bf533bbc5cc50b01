"""Element types as numpy knows them; ml_dtypes adds those that numpy lacks.

In: a DType or an array. Out: the numpy dtype, the DType.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.nodes import Array

# Element types that numpy alone does not have.
EXTENDED = frozenset(dtype for dtype in DType if hasattr(ml_dtypes, dtype.value))


def numpy_dtype(dtype: DType) -> np.dtype[Any]:
    """The numpy dtype of arrays of `dtype`; strings are Python objects."""
    return np.dtype(getattr(ml_dtypes, dtype.value) if dtype in EXTENDED else dtype.value)


def largest(dtype: DType) -> float:
    """The largest finite number of a floating-point type."""
    return float(ml_dtypes.finfo(numpy_dtype(dtype)).max)  # type: ignore[no-untyped-call]


def dtype_of(array: Array) -> DType:
    """The element type of an array.

    Raises:
        ValueError: alula has no such element type.
    """
    return DType.STRING if array.dtype.kind in "OSU" else DType(array.dtype.name)
