"""Element types, tensor descriptions, and tensors that view memory someone else owns.

In: names, shapes and buffers. Out: `DType`, `TensorSpec`, `Tensor`. No numpy here: the short road uses this file.
"""

from __future__ import annotations

import enum
import math
import struct
from dataclasses import dataclass
from typing import Any

from alula.base.errors import InputError
from alula.base.short_numbers import decode_short


class DType(enum.Enum):
    """An element type; the value is the name that numpy (or ml_dtypes, for what numpy lacks) has for it.

    Types of less than 8 bits take a byte an element in memory. Strings have no fixed size: they exist in graphs and
    references only, never in a plan.
    """

    FLOAT32 = "float32"
    FLOAT64 = "float64"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    INT8 = "int8"
    INT16 = "int16"
    INT32 = "int32"
    INT64 = "int64"
    UINT8 = "uint8"
    UINT16 = "uint16"
    UINT32 = "uint32"
    UINT64 = "uint64"
    BOOL = "bool"
    FLOAT8E4M3FN = "float8_e4m3fn"
    FLOAT8E4M3FNUZ = "float8_e4m3fnuz"
    FLOAT8E5M2 = "float8_e5m2"
    FLOAT8E5M2FNUZ = "float8_e5m2fnuz"
    FLOAT8E8M0 = "float8_e8m0fnu"
    FLOAT4E2M1 = "float4_e2m1fn"
    INT4 = "int4"
    UINT4 = "uint4"
    INT2 = "int2"
    UINT2 = "uint2"
    STRING = "object"

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return _LAYOUT[self][1]

    @property
    def format(self) -> str:
        """The format character of the buffer protocol (PEP 3118); what it lacks shows as unsigned integers."""
        return _LAYOUT[self][0]

    def __str__(self) -> str:
        """Print as users write it: `float32`."""
        return "string" if self is DType.STRING else self.value


_LAYOUT = {
    DType.FLOAT32: ("f", 4),
    DType.FLOAT64: ("d", 8),
    DType.FLOAT16: ("e", 2),
    DType.BFLOAT16: ("H", 2),
    DType.INT8: ("b", 1),
    DType.INT16: ("h", 2),
    DType.INT32: ("i", 4),
    DType.INT64: ("q", 8),
    DType.UINT8: ("B", 1),
    DType.UINT16: ("H", 2),
    DType.UINT32: ("I", 4),
    DType.UINT64: ("Q", 8),
    DType.BOOL: ("?", 1),
    DType.FLOAT8E4M3FN: ("B", 1),
    DType.FLOAT8E4M3FNUZ: ("B", 1),
    DType.FLOAT8E5M2: ("B", 1),
    DType.FLOAT8E5M2FNUZ: ("B", 1),
    DType.FLOAT8E8M0: ("B", 1),
    DType.FLOAT4E2M1: ("B", 1),
    DType.INT4: ("B", 1),
    DType.UINT4: ("B", 1),
    DType.INT2: ("B", 1),
    DType.UINT2: ("B", 1),
    DType.STRING: ("P", 0),
}

# Types that neither Python's buffers nor numpy's array interface can name: they travel as unsigned integers. Those of
# less than 8 bits stand in the lowest bits of their byte.
BITS = frozenset(
    {DType.BFLOAT16, DType.FLOAT8E4M3FN, DType.FLOAT8E4M3FNUZ, DType.FLOAT8E5M2, DType.FLOAT8E5M2FNUZ}
    | {DType.FLOAT8E8M0, DType.FLOAT4E2M1, DType.INT4, DType.UINT4, DType.INT2, DType.UINT2}
)


@dataclass(frozen=True)
class TensorSpec:
    """What a model wants or gives at one of its ends.

    `shape` holds an int for a fixed dimension and a name for a symbolic one.
    """

    name: str
    dtype: DType
    shape: tuple[int | str, ...]

    def __str__(self) -> str:
        """For example `input float32 [1, 3, 224, 224]`."""
        return f"{self.name} {self.dtype} [{', '.join(map(str, self.shape))}]"


class Tensor:
    """A dense row-major array in memory that somebody else owns.

    The memory stays alive as long as the tensor does. Tensors that a session returns are views of its arena: they are
    valid until the session's next run. numpy reads a tensor without a copy: `numpy.asarray(tensor)`.
    """

    __slots__ = ("dtype", "shape", "view")

    def __init__(self, data: Any, dtype: DType, shape: tuple[int, ...]) -> None:  # noqa: ANN401  any buffer object
        """Wrap `data`, a contiguous row-major buffer of exactly the bytes that dtype and shape need.

        Raises:
            InputError: the object is no such buffer, or the buffer has another size.
        """
        raw = _raw_bytes(data)
        needed = math.prod(shape) * dtype.itemsize
        if raw.nbytes != needed:
            raise InputError("tensor", f"{dtype} {list(shape)} needs {needed} bytes", f"the buffer has {raw.nbytes}")
        self.dtype = dtype
        self.shape = shape
        self.view = raw

    @property
    def size(self) -> int:
        """How many elements there are."""
        return self.view.nbytes // self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.view.nbytes

    @property
    def memory(self) -> memoryview[Any]:
        """The elements as a shaped memoryview; a view, not a copy.

        A scalar and an empty tensor come as 1-D, float16 and bfloat16 as 16-bit integers: memoryview knows neither.
        """
        code: Any = self.dtype.format.replace("e", "H")
        if not self.shape or not self.size:
            return self.view.cast(code)
        return self.view.cast(code, self.shape)

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """Numpy's array interface, version 3: `numpy.asarray(tensor)` shares the memory; bfloat16 comes as uint16."""
        codes = {"?": "b", "e": "f", "f": "f", "d": "f"}
        letter = codes.get(self.dtype.format, "u" if self.dtype.format.isupper() else "i")
        typestr = f"{'|' if self.dtype.itemsize == 1 else '<'}{letter}{self.dtype.itemsize}"
        return {"version": 3, "shape": self.shape, "typestr": typestr, "data": self.view}

    def tolist(self) -> Any:  # noqa: ANN401  as deep as the tensor has dimensions
        """The elements as nested lists of Python numbers; a plain number when the tensor is a scalar."""
        return _nest(_numbers(self), self.shape)

    def tobytes(self) -> bytes:
        """A copy of the memory."""
        return self.view.tobytes()

    def __repr__(self) -> str:
        """For example `Tensor(float32 [1, 1000])`."""
        return f"Tensor({self.dtype} {list(self.shape)})"


def _raw_bytes(data: Any) -> memoryview:  # noqa: ANN401  any buffer object
    try:
        view = memoryview(data)
    except TypeError as error:
        raise InputError("tensor", "needs an object with a buffer", f"got {type(data).__name__}") from error
    if not view.c_contiguous:
        found = f"got strides {view.strides}"
        raise InputError("tensor", "needs a contiguous row-major buffer", found, "numpy.ascontiguousarray makes one")
    # memoryview refuses to cast a view that has a dimension of zero.
    return view.cast("B") if view.nbytes else memoryview(b"")


def _numbers(tensor: Tensor) -> list[Any]:
    if tensor.dtype is DType.BFLOAT16:  # the upper half of a float32
        wide = b"".join(b"\0\0" + tensor.view[at : at + 2] for at in range(0, tensor.nbytes, 2))
        return list(struct.unpack(f"<{tensor.size}f", wide))
    if tensor.dtype in BITS:
        known = {byte: decode_short(tensor.dtype.value, byte) for byte in set(tensor.view)}
        return [known[byte] for byte in tensor.view]
    return list(struct.unpack(f"<{tensor.size}{tensor.dtype.format}", tensor.view))


def _nest(numbers: list[Any], shape: tuple[int, ...]) -> Any:  # noqa: ANN401  a number or lists of them
    if not shape:
        return numbers[0]
    if len(shape) == 1:
        return numbers
    inner = math.prod(shape[1:])
    return [_nest(numbers[at * inner : (at + 1) * inner], shape[1:]) for at in range(shape[0])]
