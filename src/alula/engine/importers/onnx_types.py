"""ValueInfoProto and TypeProto: the types that a model claims for its values.

In: spans of a model file. Out: `Value`, `ValueType`.
"""

from __future__ import annotations

from alula.base.errors import LimitError, UnsupportedError
from alula.base.tensors import DType
from alula.engine.graph.dims import Dim, Shape, symbol
from alula.engine.graph.nodes import Value, ValueType
from alula.engine.importers.files import shown
from alula.engine.importers.onnx_messages import (
    DIMENSION,
    ELEMENT_TYPE,
    MAP_TYPE,
    SHAPE,
    TENSOR_TYPE,
    TYPE,
    VALUE_INFO,
)
from alula.engine.importers.onnx_tensor import onnx_dtype
from alula.engine.importers.records import Record, read_record
from alula.engine.importers.wire import Span, Wire

_DEEPEST = 8  # an optional sequence of tensors has a depth of 2


def read_value(wire: Wire, span: Span) -> tuple[Value, bool]:
    """The ValueInfoProto at `span`, and whether the file gives a type.

    Raises:
        ModelFileError: a message is malformed.
        UnsupportedError: a map, or a dtype that alula does not have.
    """
    record = read_record(wire, span, VALUE_INFO)
    name = record.text("name")
    if not name:
        raise record.damaged("a name", "none")
    at = record.one("type")
    if at is None:
        return Value(name, DType.FLOAT32, None), False
    where = f"{wire.name}, value {shown(name)}"
    kind = read_type(wire, at, where, name)
    element = kind
    while element.of is not None:
        element = element.of
    if kind.kind in {"map", "sparse tensor"} or element.kind == "map":
        raise UnsupportedError(where, "needs a tensor, a sequence or an optional", f"found a {kind.kind}")
    known = element.dtype is not None
    dtype = element.dtype or DType.FLOAT32
    return Value(name, dtype, kind.shape, kind="" if kind.kind == "tensor" else kind.kind), known


def read_type(wire: Wire, span: Span, where: str, name: str = "", depth: int = 0) -> ValueType:
    """The TypeProto at `span`.

    Args:
        wire: the model file.
        span: the message.
        where: the place, for messages.
        name: the value; symbols for its unknown dimensions are made of it.
        depth: how many types stand around this one.

    Raises:
        ModelFileError: a message is malformed.
        UnsupportedError: a dtype that alula does not have, or a type of none of ONNX's kinds.
        LimitError: types are nested without sense.
    """
    if depth > _DEEPEST:
        raise LimitError(where, f"types may be nested {_DEEPEST} deep", "found more")
    record = read_record(wire, span, TYPE)
    if len(record.values) != 1:
        raise UnsupportedError(where, "needs one of ONNX's types", f"found {' and '.join(record.values) or 'none'}")
    field = next(iter(record.values))
    kind, inner = field.removesuffix("_type").replace("_", " "), record.one(field)
    assert inner is not None  # noqa: S101  the table says that these fields are messages
    if field in {"tensor_type", "sparse_tensor_type"}:
        tensor = read_record(wire, inner, TENSOR_TYPE)
        number, shape = tensor.integer("elem_type"), tensor.one("shape")
        dtype = onnx_dtype(where, number) if number else None
        return ValueType(kind, dtype, None if shape is None else _shape(wire, shape, name))
    holder: Record = read_record(wire, inner, MAP_TYPE if kind == "map" else ELEMENT_TYPE)
    at = holder.one("value_type" if kind == "map" else "elem_type")
    key = onnx_dtype(where, holder.integer("key_type")) if kind == "map" else None
    return ValueType(kind, key, None, None if at is None else read_type(wire, at, where, name, depth + 1))


def _shape(wire: Wire, span: Span, name: str) -> Shape:
    record = read_record(wire, span, SHAPE)
    return tuple(_dim(wire, at, f"{name}_{axis}") for axis, at in enumerate(record.spans("dim")))


def _dim(wire: Wire, span: Span, fresh: str) -> Dim:
    """One dimension; -1, `?` and nothing at all are how exporters write an unknown one."""
    record = read_record(wire, span, DIMENSION)
    param = record.text("dim_param")
    size = record.integer("dim_value", -1)
    if param and param != "?":
        return symbol(param)
    if param or size == -1:
        return symbol(fresh)
    if size < 0:
        raise record.damaged("a size of 0 or more", str(size))
    return size
