"""AttributeProto -> attributes of nodes; their types and values must agree.

In: a span of a model file. Out: a name and a value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from alula.base.errors import ModelFileError, UnsupportedError
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Array, Attribute, Subgraph, ValueType
from alula.engine.importers.files import shown
from alula.engine.importers.onnx_messages import ATTRIBUTE
from alula.engine.importers.onnx_sparse import read_sparse
from alula.engine.importers.onnx_tensor import read_tensor
from alula.engine.importers.onnx_types import read_type
from alula.engine.importers.place import Place
from alula.engine.importers.records import Record, read_record
from alula.engine.importers.wire import Span

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

ReadGraph = Callable[[Place, Span], Graph]


@dataclass(frozen=True)
class Parameter(Subgraph):
    """An attribute that a node in a function takes over from the call; it is gone once the function is inlined."""

    name: str


@dataclass(frozen=True)
class _Holder:
    """One AttributeProto, its place, and how graphs in it are read."""

    place: Place
    record: Record
    where: str
    read_graph: ReadGraph


def read_attribute(place: Place, span: Span, node: str, read_graph: ReadGraph) -> tuple[str, Attribute]:
    """The name and value of the AttributeProto at `span`.

    Args:
        place: where the node stands.
        span: the message.
        node: what the node is called, for messages.
        read_graph: reads a nested graph, from its place.

    Raises:
        ModelFileError: its type and its value do not agree.
        AlulaError: as the readers of tensors, graphs and types do.
    """
    record = read_record(place.wire, span, ATTRIBUTE)
    name = record.text("name")
    where = f"{place.wire.name}, node {shown(node)}, attribute {shown(name)}"
    if not name:
        raise ModelFileError(where, "an attribute needs a name", "it has none")
    referred = record.text("ref_attr_name")
    if referred and not place.function:
        raise UnsupportedError(where, "needs a value", "it refers to a function's attribute")
    number = record.integer("type")
    if number not in _ATTRIBUTE_TYPES:
        raise ModelFileError(where, "needs an attribute type", f"found number {number}")
    kind, field = _ATTRIBUTE_TYPES[number]
    stray = [holder for holder in _HOLDERS if record.has(holder) and (holder != field or referred)]
    if stray:
        raise ModelFileError(where, f"its type says {kind}", f"it holds {stray[0]}")
    if referred:
        return name, Parameter(referred)
    return name, _READERS[field](_Holder(place, record, where, read_graph))


def _float(at: _Holder) -> float:
    reals = at.record.reals("f", "<f4")
    return float(reals[-1]) if reals.size else 0.0


def _int(at: _Holder) -> int:
    return at.record.integer("i")


def _string(at: _Holder) -> str | bytes:
    """Text where the bytes are UTF-8: ONNX stores both text and blobs here."""
    spans = at.record.spans("s")
    raw = bytes(at.record.wire.bytes(spans[-1])) if spans else b""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _one(at: _Holder, field: str, kind: str) -> Span:
    span = at.record.one(field)
    if span is None:
        raise ModelFileError(at.where, f"its type says {kind}", "it holds nothing")
    return span


def _tensor_at(at: _Holder, span: Span) -> Array:
    return read_tensor(at.place.wire, span, at.place.files, at.record.text("name"))[1]


def _sparse_at(at: _Holder, span: Span) -> Array:
    return read_sparse(at.place, span, at.record.text("name"))[1]


def _graph_at(at: _Holder, span: Span) -> Graph:
    return at.read_graph(at.place.deeper(), span)


def _type_at(at: _Holder, span: Span) -> ValueType:
    return read_type(at.place.wire, span, at.where)


def _listed(at: _Holder, numbers: Array) -> tuple[Any, ...]:
    """Numbers as Python's, which take some twenty times the memory of packed ones, so that these count too."""
    fields = sum(map(len, at.record.values.values()))
    at.place.wire.spend(max(numbers.size - fields, 0), at.record.span[0])
    return tuple(numbers.tolist())


_READERS: Mapping[str, Callable[[_Holder], Attribute]] = {
    "f": _float,
    "i": _int,
    "s": _string,
    "t": lambda at: _tensor_at(at, _one(at, "t", "tensor")),
    "g": lambda at: _graph_at(at, _one(at, "g", "graph")),
    "tp": lambda at: _type_at(at, _one(at, "tp", "type")),
    "sparse_tensor": lambda at: _sparse_at(at, _one(at, "sparse_tensor", "sparse tensor")),
    "floats": lambda at: _listed(at, at.record.reals("floats", "<f4")),
    "ints": lambda at: _listed(at, at.record.integers("ints")),
    "strings": lambda at: at.record.texts("strings"),
    "tensors": lambda at: tuple(_tensor_at(at, span) for span in at.record.spans("tensors")),
    "sparse_tensors": lambda at: tuple(_sparse_at(at, span) for span in at.record.spans("sparse_tensors")),
    "graphs": lambda at: tuple(_graph_at(at, span) for span in at.record.spans("graphs")),
    "type_protos": lambda at: tuple(_type_at(at, span) for span in at.record.spans("type_protos")),
}
