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
from alula.engine.graph.numpy_dtypes import EXTENDED, numpy_dtype

# numpy refuses more dimensions, and arrays whose non-zero dimensions multiply to more bytes than an address holds.
_MOST_DIMS = 64
_MOST_BYTES = 1 << 62
# Elements in a byte of a file; in memory each has a byte of its own.
_PER_BYTE = {DType.INT4: 2, DType.UINT4: 2, DType.FLOAT4E2M1: 2, DType.INT2: 4, DType.UINT2: 4}
PACKED = frozenset(_PER_BYTE)


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


def stored_size(dtype: DType, shape: tuple[int, ...]) -> int:
    """Bytes that elements take in a file, where those of less than 8 bits are packed and the last byte may have room.

    Raises:
        ValueError: strings, which have no size of their own.
    """
    if dtype is DType.STRING:
        msg = "strings have no size"
        raise ValueError(msg)
    per_byte = _PER_BYTE.get(dtype)
    count = math.prod(shape)
    return -(-count // per_byte) if per_byte else count * dtype.itemsize


def view_array(where: str, data: memoryview, dtype: DType, shape: tuple[int, ...]) -> Array:
    """A read-only array over exactly these bytes, little-endian, row-major; not copied, and keeps the buffer alive.

    Elements of less than 8 bits, which lie packed in a file, are unpacked into an array of their own.

    Raises:
        ModelFileError: the bytes are not as many as dtype and shape need, or are no such elements.
    """
    needed = stored_size(dtype, shape)
    if len(data) != needed:
        raise ModelFileError(where, f"{dtype} {list(shape)} needs {needed} bytes", f"found {len(data)}")
    if dtype in _PER_BYTE:
        return unpacked(_elements(data, "u1"), dtype, math.prod(shape)).reshape(shape)
    kind = numpy_dtype(dtype)
    array = _elements(data, f"<u{dtype.itemsize}" if dtype in EXTENDED else kind.newbyteorder("<").str)
    if dtype is DType.BOOL and array.size and array.view(np.uint8).max() > 1:
        raise ModelFileError(where, "bool needs bytes of 0 or 1", f"found {array.view(np.uint8).max()}")
    return array.view(kind).reshape(shape)


def unpacked(data: Array, dtype: DType, count: int) -> Array:
    """The first `count` elements of packed bytes, one a byte: the lowest bits hold the first (onnx.proto, raw_data)."""
    per_byte = _PER_BYTE[dtype]
    bits = 8 // per_byte
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    apart = (data[:, None] >> shifts) & np.uint8((1 << bits) - 1)
    return frozen(apart.reshape(-1)[:count].view(numpy_dtype(dtype)))


def stored_bytes(array: Array, dtype: DType) -> bytes:
    """The elements as a file has them, the way back from `view_array`."""
    flat = np.ascontiguousarray(array).reshape(-1)
    per_byte = _PER_BYTE.get(dtype)
    if per_byte:
        bits = 8 // per_byte
        padded = np.zeros((-(-flat.size // per_byte), per_byte), np.uint8)
        padded.reshape(-1)[: flat.size] = flat.view(np.uint8) & np.uint8((1 << bits) - 1)
        return bytes(np.bitwise_or.reduce(padded << np.arange(0, 8, bits, dtype=np.uint8), axis=1))
    raw = flat.view(f"u{dtype.itemsize}") if dtype in EXTENDED else flat
    return raw.astype(raw.dtype.newbyteorder("<")).tobytes()


def frozen(array: Array) -> Array:
    """The same array, no longer writable."""
    array.setflags(write=False)
    return array


def _elements(data: memoryview, code: str) -> Array:
    if not data:
        return frozen(np.empty(0, np.dtype(code).newbyteorder("=")))
    array = np.frombuffer(data.toreadonly(), code)
    return array if sys.byteorder == "little" else frozen(array.astype(array.dtype.newbyteorder("=")))
