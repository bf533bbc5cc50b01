"""TensorProto -> numpy array: raw bytes and external data as views, typed fields decoded.

In: a span of a model file. Out: a read-only array.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from alula.base.errors import ModelFileError, UnsupportedError
from alula.base.tensors import DType
from alula.engine.graph.nodes import Array
from alula.engine.graph.numpy_dtypes import EXTENDED, numpy_dtype
from alula.engine.graph.onnx_dtypes import ONNX_DTYPES
from alula.engine.importers.arrays import PACKED, checked_shape, frozen, stored_size, unpacked, view_array
from alula.engine.importers.external import ExternalFiles
from alula.engine.importers.files import shown
from alula.engine.importers.onnx_messages import ENTRY, TENSOR
from alula.engine.importers.records import Record, read_record
from alula.engine.importers.wire import Span, Wire

_OTHER_DTYPES = {14: "complex64", 15: "complex128"}

# The typed field that holds each dtype; the others stand in int32_data.
_FIELDS = {
    DType.FLOAT32: "float_data",
    DType.FLOAT64: "double_data",
    DType.INT64: "int64_data",
    DType.UINT32: "uint64_data",
    DType.UINT64: "uint64_data",
}
_TYPED = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")
# Types that int32_data holds as their bits, in an integer of their size.
_AS_BITS = EXTENDED - PACKED | {DType.FLOAT16}
_EXTERNAL = 1
_LONGEST_NUMBER = 20


def onnx_dtype(where: str, number: int) -> DType:
    """The dtype behind a number of TensorProto.DataType.

    Raises:
        UnsupportedError: alula does not have it.
        ModelFileError: ONNX does not have it.
    """
    dtype = ONNX_DTYPES.get(number)
    if dtype is not None:
        return dtype
    if number in _OTHER_DTYPES:
        raise UnsupportedError(where, "needs a dtype that alula has", f"found {_OTHER_DTYPES[number]}")
    raise ModelFileError(where, "needs an element type", f"found number {number}, which ONNX does not define")


def read_tensor(wire: Wire, span: Span, files: ExternalFiles, label: str = "") -> tuple[str, Array]:
    """The name and array of the TensorProto at `span`.

    Args:
        wire: the model file.
        span: the message.
        files: where external data is looked up.
        label: what to call a nameless tensor in messages: the attribute it stands in.

    Raises:
        ModelFileError: dims, dtype and data do not fit together.
        UnsupportedError: alula does not have its dtype.
    """
    record = read_record(wire, span, TENSOR)
    name = record.text("name")
    where = f"{wire.name}, tensor {shown(name or label)}"
    if record.has("segment"):
        raise UnsupportedError(where, "needs a whole tensor", "it is split in segments")
    dtype = onnx_dtype(where, record.integer("data_type"))
    shape = checked_shape(where, record.integers("dims").tolist(), dtype.itemsize or 1)
    holders = [field for field in ("raw_data", *_TYPED) if record.has(field)]
    if dtype is DType.STRING:
        return name, _strings(record, where, shape, holders)
    if record.integer("data_location") == _EXTERNAL:
        if holders:
            raise ModelFileError(where, "needs its data outside the file", f"it also has {holders[0]}")
        return name, view_array(where, _external(record, files, where, stored_size(dtype, shape)), dtype, shape)
    if len(holders) > 1:
        raise ModelFileError(where, "needs its data in one field", f"found {' and '.join(holders)}")
    if holders == ["raw_data"]:
        return name, view_array(where, wire.bytes(record.spans("raw_data")[-1]), dtype, shape)
    return name, _typed(record, where, dtype, shape)


def _strings(record: Record, where: str, shape: tuple[int, ...], holders: list[str]) -> Array:
    """Strings, as an array of Python's; the format keeps them in string_data only."""
    if holders not in ([], ["string_data"]) or record.integer("data_location") == _EXTERNAL:
        found = "they lie outside" if not holders else f"found {' and '.join(holders)}"
        raise ModelFileError(where, "needs its strings in string_data", found)
    texts = record.texts("string_data")
    if len(texts) != math.prod(shape):
        raise ModelFileError(where, f"{list(shape)} needs {math.prod(shape)} strings", f"found {len(texts)}")
    array = np.empty(len(texts), object)
    array[:] = texts
    return frozen(array.reshape(shape))


def _typed(record: Record, where: str, dtype: DType, shape: tuple[int, ...]) -> Array:
    field = _FIELDS.get(dtype, "int32_data")
    for other in _TYPED:
        if other != field and record.has(other):
            raise ModelFileError(where, f"{dtype} needs its data in {field}", f"found {other}")
    if dtype in {DType.FLOAT32, DType.FLOAT64}:
        numbers = record.reals(field, "<f4" if dtype is DType.FLOAT32 else "<f8")
    else:
        numbers = record.integers(field)
    # A number holds one element; of packed types, as many as a byte does.
    needed = stored_size(dtype, shape) if dtype in PACKED else math.prod(shape)
    if numbers.size != needed:
        raise ModelFileError(where, f"{dtype} {list(shape)} needs {needed} numbers", f"found {numbers.size}")
    if dtype in PACKED:
        return unpacked(_fitting(numbers, where, np.dtype(np.uint8)), dtype, math.prod(shape)).reshape(shape)
    return frozen(_narrowed(numbers, where, dtype).reshape(shape))


def _narrowed(numbers: Array, where: str, dtype: DType) -> Array:
    """Elements of a typed field as `dtype`."""
    if dtype in {DType.FLOAT32, DType.FLOAT64, DType.INT64}:
        return numbers
    if dtype is DType.UINT64:
        return numbers.view(np.uint64)
    if dtype in _AS_BITS:
        return _fitting(numbers, where, np.dtype(f"u{dtype.itemsize}")).view(numpy_dtype(dtype))
    return _fitting(numbers, where, numpy_dtype(dtype))


def _fitting(numbers: Array, where: str, dtype: np.dtype[Any]) -> Array:
    """Integers as `dtype`, which must hold them all."""
    narrow = numbers.astype(dtype)
    if not np.array_equal(narrow.astype(np.int64), numbers):
        raise ModelFileError(where, f"needs elements that fit {dtype.name}", "one is out of range")
    return narrow


def _external(record: Record, files: ExternalFiles, where: str, size: int) -> memoryview:
    wire = record.wire
    entries = [read_record(wire, span, ENTRY) for span in record.spans("external_data")]
    claims = {entry.text("key"): entry.text("value") for entry in entries}
    if "location" not in claims:
        raise ModelFileError(where, "external data needs a location", "it has none")
    length = _number(where, claims.get("length", str(size)))
    if length != size:
        raise ModelFileError(where, f"needs {size} bytes of external data", f"the file claims {length}")
    return files.view(claims["location"], _number(where, claims.get("offset", "0")), size)


def _number(where: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER):
        raise ModelFileError(where, "external data needs offset and length as numbers", f"found {shown(text)}")
    return int(text)
