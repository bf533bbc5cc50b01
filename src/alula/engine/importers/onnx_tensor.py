"""TensorProto -> numpy array: raw bytes and external data as views, typed fields decoded.

In: a span of a model file. Out: a read-only array.
"""

from __future__ import annotations

import math

import numpy as np

from alula.base.errors import ModelFileError, UnsupportedError
from alula.base.tensors import DType
from alula.engine.graph.nodes import Array
from alula.engine.graph.onnx_dtypes import ONNX_DTYPES
from alula.engine.importers.arrays import checked_shape, from_bfloat16, frozen, view_array
from alula.engine.importers.external import ExternalFiles
from alula.engine.importers.files import shown
from alula.engine.importers.onnx_messages import ENTRY, TENSOR
from alula.engine.importers.records import Record, read_record
from alula.engine.importers.wire import Span, Wire

_OTHER_DTYPES = {
    8: "string", 14: "complex64", 15: "complex128", 17: "float8e4m3fn", 18: "float8e4m3fnuz", 19: "float8e5m2",
    20: "float8e5m2fnuz", 21: "uint4", 22: "int4", 23: "float4e2m1", 24: "float8e8m0", 25: "uint2", 26: "int2",
}  # fmt: skip

# The typed field that holds each dtype; the others stand in int32_data.
_FIELDS = {
    DType.FLOAT32: "float_data",
    DType.FLOAT64: "double_data",
    DType.INT64: "int64_data",
    DType.UINT32: "uint64_data",
    DType.UINT64: "uint64_data",
}
_TYPED = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")
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
    shape = checked_shape(where, record.integers("dims").tolist(), dtype.itemsize)
    holders = [field for field in ("raw_data", *_TYPED) if record.has(field)]
    if record.integer("data_location") == _EXTERNAL:
        if holders:
            raise ModelFileError(where, "needs its data outside the file", f"it also has {holders[0]}")
        return name, view_array(where, _external(record, files, where, math.prod(shape) * dtype.itemsize), dtype, shape)
    if len(holders) > 1:
        raise ModelFileError(where, "needs its data in one field", f"found {' and '.join(holders)}")
    if holders == ["raw_data"]:
        return name, view_array(where, wire.bytes(record.spans("raw_data")[-1]), dtype, shape)
    return name, _typed(record, where, dtype, shape)


def _typed(record: Record, where: str, dtype: DType, shape: tuple[int, ...]) -> Array:
    field = _FIELDS.get(dtype, "int32_data")
    for other in _TYPED:
        if other != field and record.has(other):
            raise ModelFileError(where, f"{dtype} needs its data in {field}", f"found {other}")
    if dtype in {DType.FLOAT32, DType.FLOAT64}:
        numbers = record.reals(field, "<f4" if dtype is DType.FLOAT32 else "<f8")
    else:
        numbers = record.integers(field)
    if numbers.size != math.prod(shape):
        raise ModelFileError(where, f"{dtype} {list(shape)} needs {math.prod(shape)} elements", f"found {numbers.size}")
    return frozen(_narrowed(numbers, where, dtype).reshape(shape))


def _narrowed(numbers: Array, where: str, dtype: DType) -> Array:
    """Elements of a typed field as `dtype`; half precision stands there as its bits."""
    if dtype in {DType.FLOAT32, DType.FLOAT64, DType.INT64}:
        return numbers
    if dtype is DType.UINT64:
        return numbers.view(np.uint64)
    half = dtype in {DType.FLOAT16, DType.BFLOAT16}
    narrow = numbers.astype(np.uint16 if half else dtype.value)
    if not np.array_equal(narrow.astype(np.int64), numbers):
        raise ModelFileError(where, f"needs elements that fit {dtype}", "one is out of range")
    if dtype is DType.BFLOAT16:
        return from_bfloat16(narrow)
    return narrow.view(np.float16) if half else narrow


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
