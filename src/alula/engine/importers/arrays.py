"""Arrays that view file bytes, and the arithmetic of sizes that a file claims.

In: buffers, dtypes, claimed shapes. Out: read-only numpy arrays, or an error before memory is taken.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

import numpy as np

from alula.base.errors import ModelFileError
from alula.base.tensors import DType
from alula.engine.graph.nodes import Array

# numpy refuses more dimensions, and arrays whose non-zero dimensions multiply to more bytes than an address holds.
_MOST_DIMS = 64
_MOST_BYTES = 1 << 62


def checked_shape(where: str, shape: Sequence[int], itemsize: int) -> tuple[int, ...]:
    """The shape, when an array of it can exist.

    Raises:
        ModelFileError: a negative dimension, too many dimensions, or more bytes than can be addressed.
    """
    dims = tuple(int(dim) for dim in shape)
    if len(dims) > _MOST_DIMS:
        raise ModelFileError(where, f"needs at most {_MOST_DIMS} dimensions", f"found {len(dims)}")
    if any(dim < 0 for dim in dims):
        raise ModelFileError(where, "needs dimensions of 0 or more", f"found {list(dims)}")
    if math.prod(max(dim, 1) for dim in dims) * itemsize >= _MOST_BYTES:
        raise ModelFileError(where, "needs a shape that fits into memory", f"found {list(dims)}")
    return dims


def view_array(where: str, data: memoryview, dtype: DType, shape: tuple[int, ...]) -> Array:
    """A read-only array over exactly these bytes, little-endian, row-major; not copied.

    bfloat16, which numpy does not have, comes as a float32 copy. The array keeps the buffer alive.

    Raises:
        ModelFileError: the bytes are not as many as dtype and shape need, or are no such elements.
    """
    needed = math.prod(shape) * dtype.itemsize
    if len(data) != needed:
        raise ModelFileError(where, f"{dtype} {list(shape)} needs {needed} bytes", f"found {len(data)}")
    if dtype is DType.BFLOAT16:
        return from_bfloat16(_elements(data, "<u2")).reshape(shape)
    array = _elements(data, np.dtype(dtype.value).newbyteorder("<").str)
    if dtype is DType.BOOL and array.size and array.view(np.uint8).max() > 1:
        raise ModelFileError(where, "bool needs bytes of 0 or 1", f"found {array.view(np.uint8).max()}")
    return array.reshape(shape)


def from_bfloat16(bits: Array) -> Array:
    """bfloat16 as float32: the same number, its lower 16 bits zero."""
    return frozen((bits.astype(np.uint32) << np.uint32(16)).view(np.float32))


def frozen(array: Array) -> Array:
    """The same array, no longer writable."""
    array.setflags(write=False)
    return array


def stored_dtype(dtype: DType) -> DType:
    """The dtype of the array that holds elements of `dtype`: bfloat16 widens to float32."""
    return DType.FLOAT32 if dtype is DType.BFLOAT16 else dtype


def _elements(data: memoryview, code: str) -> Array:
    if not data:
        return frozen(np.empty(0, np.dtype(code).newbyteorder("=")))
    array = np.frombuffer(data.toreadonly(), code)
    return array if sys.byteorder == "little" else frozen(array.astype(array.dtype.newbyteorder("=")))
