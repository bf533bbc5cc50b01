"""GraphProto -> Graph: nodes, attributes, values; nested graphs the same way.

In: a span of a model file. Out: an ordered Graph, not yet checked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from alula.base.errors import LimitError, ModelFileError, UnsupportedError
from alula.base.tensors import DType
from alula.engine.graph.dims import Dim, Shape, symbol
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Array, Attribute, Node, Value
from alula.engine.importers.external import ExternalFiles
from alula.engine.importers.files import shown
from alula.engine.importers.onnx_messages import (
    ATTRIBUTE,
    DIMENSION,
    GRAPH,
    NODE,
    SHAPE,
    TENSOR_TYPE,
    TYPE,
    VALUE_INFO,
)
from alula.engine.importers.onnx_tensor import onnx_dtype, read_tensor
from alula.engine.importers.order import order_nodes
from alula.engine.importers.records import Record, read_record
from alula.engine.importers.wire import Span, Wire

_DEEPEST = 16  # graphs inside graphs; exporters stay below 5

# AttributeProto.AttributeType of onnx.proto: number -> (name, the field that holds it).
_ATTRIBUTE_TYPES = {
    1: ("float", "f"),
    2: ("int", "i"),
    3: ("string", "s"),
    4: ("tensor", "t"),
    5: ("graph", "g"),
    6: ("floats", "floats"),
    7: ("ints", "ints"),
    8: ("strings", "strings"),
    9: ("tensors", "tensors"),
    10: ("graphs", "graphs"),
    11: ("sparse tensor", "sparse_tensor"),
    12: ("sparse tensors", "sparse_tensors"),
    13: ("type", "tp"),
    14: ("types", "type_protos"),
}
_HOLDERS = tuple(field for _, field in _ATTRIBUTE_TYPES.values())


@dataclass(frozen=True)
class Place:
    """Where a graph is read: the file, its external files, and how deep the graph is nested."""

    wire: Wire
    files: ExternalFiles
    depth: int = 0


def read_graph(place: Place, span: Span, name: str) -> Graph:
    """The graph at `span`, its nodes in topological order; intermediate shapes are left to inference.

    Raises:
        ModelFileError: a message is malformed or contradicts itself.
        UnsupportedError: a dtype, attribute or tensor form that alula does not have.
        GraphError: the nodes form a cycle.
        LimitError: graphs are nested too deep.
    """
    if place.depth > _DEEPEST:
        raise LimitError(place.wire.name, f"graphs may be nested {_DEEPEST} deep", "found more")
    record = read_record(place.wire, span, GRAPH)
    if record.has("sparse_initializer"):
        raise UnsupportedError(place.wire.name, "needs dense initializers", "found a sparse one")
    constants = _initializers(place, record)
    inputs = [_value(place, at) for at in record.spans("input")]
    outputs = [_value(place, at) for at in record.spans("output")]
    values = {value.name: value for value in outputs if value.shape is not None}
    values |= {key: Value(key, DType(array.dtype.name), tuple(array.shape)) for key, array in constants.items()}
    inputs = [value for value in inputs if value.name not in constants]
    nodes = [_node(place, at) for at in record.spans("node")]
    return Graph(
        name=name or record.text("name"),
        nodes=order_nodes(nodes, place.wire.name),
        inputs=tuple(inputs),
        outputs=tuple(value.name for value in outputs),
        constants=MappingProxyType(constants),
        values=MappingProxyType(values | {value.name: value for value in inputs}),
    )


def _initializers(place: Place, record: Record) -> dict[str, Array]:
    constants: dict[str, Array] = {}
    for span in record.spans("initializer"):
        name, array = read_tensor(place.wire, span, place.files)
        if not name or name in constants:
            raise record.damaged(
                "initializers with distinct names", f"'{shown(name)}' twice" if name else "one without"
            )
        constants[name] = array
    return constants


def _value(place: Place, span: Span) -> Value:
    """The ValueInfoProto at `span`: dtype and dimensions, or no shape where the file gives none."""
    record = read_record(place.wire, span, VALUE_INFO)
    name = record.text("name")
    if not name:
        raise record.damaged("a name", "none")
    where = f"{place.wire.name}, value {shown(name)}"
    at = record.one("type")
    if at is None:
        return Value(name, DType.FLOAT32, None)
    kind = read_record(place.wire, at, TYPE)
    tensor = kind.one("tensor_type")
    if tensor is None:
        found = next(iter(kind.values), "no type").removesuffix("_type")
        raise UnsupportedError(where, "needs a tensor", f"found {found}")
    info = read_record(place.wire, tensor, TENSOR_TYPE)
    dtype = onnx_dtype(where, info.integer("elem_type"))
    shape = info.one("shape")
    return Value(name, dtype, None if shape is None else _shape(place, shape, name))


def _shape(place: Place, span: Span, name: str) -> Shape:
    record = read_record(place.wire, span, SHAPE)
    return tuple(_dim(place, at, f"{name}_{axis}") for axis, at in enumerate(record.spans("dim")))


def _dim(place: Place, span: Span, fresh: str) -> Dim:
    """One dimension; -1, `?` and nothing at all are how exporters write an unknown one."""
    record = read_record(place.wire, span, DIMENSION)
    param = record.text("dim_param")
    size = record.integer("dim_value", -1)
    if param and param != "?":
        return symbol(param)
    if param or size == -1:
        return symbol(fresh)
    if size < 0:
        raise record.damaged("a size of 0 or more", str(size))
    return size


def _node(place: Place, span: Span) -> Node:
    record = read_record(place.wire, span, NODE)
    op, domain = record.text("op_type"), record.text("domain")
    if not op:
        raise record.damaged("an op_type", "none")
    outputs = record.texts("output")
    label = record.text("name") or next(filter(None, outputs), op)
    if record.has("overload") and record.text("overload"):
        raise UnsupportedError(f"{place.wire.name}, node {shown(label)}", "needs an operator", "found a function call")
    attributes: dict[str, Attribute] = {}
    for at in record.spans("attribute"):
        name, value = _attribute(place, at, label)
        if name in attributes:
            raise record.damaged("attributes with distinct names", f"'{shown(name)}' twice")
        attributes[name] = value
    return Node(
        op=op,
        inputs=record.texts("input"),
        outputs=outputs,
        attributes=MappingProxyType(attributes),
        name=record.text("name"),
        domain="" if domain == "ai.onnx" else domain,
    )


def _attribute(place: Place, span: Span, node: str) -> tuple[str, Attribute]:
    """The name and value of the AttributeProto at `span`; its type and its value must agree."""
    record = read_record(place.wire, span, ATTRIBUTE)
    name = record.text("name")
    where = f"{place.wire.name}, node {shown(node)}, attribute {shown(name)}"
    if not name:
        raise ModelFileError(where, "an attribute needs a name", "it has none")
    if record.has("ref_attr_name"):
        raise UnsupportedError(where, "needs a value", "it refers to a function's attribute")
    number = record.integer("type")
    if number not in _ATTRIBUTE_TYPES:
        raise ModelFileError(where, "needs an attribute type", f"found number {number}")
    kind, field = _ATTRIBUTE_TYPES[number]
    reader = _READERS.get(field)
    if reader is None:
        raise UnsupportedError(where, "needs a number, text, tensor or graph", f"found {kind}")
    stray = [holder for holder in _HOLDERS if holder != field and record.has(holder)]
    if stray:
        raise ModelFileError(where, f"its type says {kind}", f"it holds {stray[0]}")
    return name, reader(place, record, where)


def _float(_place: Place, record: Record, _where: str) -> float:
    reals = record.reals("f", "<f4")
    return float(reals[-1]) if reals.size else 0.0


def _int(_place: Place, record: Record, _where: str) -> int:
    return record.integer("i")


def _string(place: Place, record: Record, _where: str) -> str | bytes:
    """Text where the bytes are UTF-8: ONNX stores both text and blobs here."""
    spans = record.spans("s")
    raw = bytes(place.wire.bytes(spans[-1])) if spans else b""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _tensor(place: Place, record: Record, where: str) -> Array:
    span = record.one("t")
    if span is None:
        raise ModelFileError(where, "its type says tensor", "it holds nothing")
    return read_tensor(place.wire, span, place.files, record.text("name"))[1]


def _graph(place: Place, record: Record, where: str) -> Graph:
    span = record.one("g")
    if span is None:
        raise ModelFileError(where, "its type says graph", "it holds nothing")
    return read_graph(Place(place.wire, place.files, place.depth + 1), span, "")


def _floats(_place: Place, record: Record, _where: str) -> tuple[float, ...]:
    return tuple(record.reals("floats", "<f4").tolist())


def _ints(_place: Place, record: Record, _where: str) -> tuple[int, ...]:
    return tuple(record.integers("ints").tolist())


def _strings(_place: Place, record: Record, _where: str) -> tuple[str, ...]:
    return record.texts("strings")


_READERS: Mapping[str, Callable[[Place, Record, str], Attribute]] = {
    "f": _float,
    "i": _int,
    "s": _string,
    "t": _tensor,
    "g": _graph,
    "floats": _floats,
    "ints": _ints,
    "strings": _strings,
}
