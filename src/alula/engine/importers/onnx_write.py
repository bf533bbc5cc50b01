"""Writing graphs as ONNX files: for models that alula builds itself, and for round trips in tests.

In: Graph. Out: the bytes of a ModelProto, or a file that appears whole or not at all.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from alula.base.errors import UnsupportedError
from alula.base.tensors import DType
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Array, Attribute, Node, Several, Value, ValueType
from alula.engine.graph.numpy_dtypes import dtype_of
from alula.engine.graph.onnx_dtypes import ONNX_NUMBERS
from alula.engine.importers.arrays import stored_bytes
from alula.engine.importers.captures import without_captures
from alula.engine.importers.onnx_messages import (
    ATTRIBUTE,
    DIMENSION,
    ELEMENT_TYPE,
    ENTRY,
    GRAPH,
    MODEL,
    NODE,
    OPSET,
    SHAPE,
    TENSOR,
    TENSOR_TYPE,
    TYPE,
    VALUE_INFO,
)
from alula.engine.importers.records import MessageType
from alula.engine.importers.wire import FIXED32, LENGTH, VARINT

_IR_VERSION = 8  # read by every runtime since 2021; nothing newer is needed
_FLOAT, _INT, _STRING, _TENSOR, _GRAPH = range(1, 6)
_FLOATS, _INTS, _STRINGS, _TENSORS, _GRAPHS, _, _, _TYPE, _TYPES = range(6, 15)
_PRODUCER_NAME = 2

Content = int | str | bytes | np.float32


def write_onnx(graph: Graph, path: Path, opset: int) -> None:
    """Write `graph` to `path`, replacing what is there only when all bytes are written.

    Args:
        graph: what to write; outputs should be described in its values.
        path: the file; its folder must exist.
        opset: the version of ONNX's own operators that the nodes follow.

    Raises:
        UnsupportedError: an attribute that ONNX has no form for.
    """
    data = onnx_bytes(graph, opset)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        whole = Path(folder) / path.name
        whole.write_bytes(data)
        whole.replace(path)


def onnx_bytes(graph: Graph, opset: int) -> bytes:
    """The graph as a serialized ModelProto; see `write_onnx`."""
    domains = {node.domain for node in graph.nodes} - {""}
    opsets = {"": opset} | {domain: graph.opsets.get(domain, 1) for domain in sorted(domains)}
    return b"".join(
        (
            _field(MODEL, "ir_version", _IR_VERSION),
            _tagged(_PRODUCER_NAME, "alula"),
            _field(MODEL, "graph", _graph(graph)),
            *(_field(MODEL, "opset_import", _opset(*pair)) for pair in opsets.items()),
            *(_field(MODEL, "metadata_props", _entry(*pair)) for pair in graph.metadata.items()),
        ),
    )


def _graph(graph: Graph) -> bytes:
    return b"".join(
        (
            *(_field(GRAPH, "node", _node(node)) for node in graph.nodes),
            _tagged(2, graph.name or "graph"),
            *(_field(GRAPH, "initializer", _tensor(name, array)) for name, array in graph.constants.items()),
            *(_field(GRAPH, "input", _value(value)) for value in graph.inputs),
            *(_field(GRAPH, "output", _value(graph.value(name))) for name in graph.outputs),
        ),
    )


def _opset(domain: str, version: int) -> bytes:
    return _field(OPSET, "domain", domain) + _field(OPSET, "version", version)


def _entry(key: str, value: str) -> bytes:
    return _field(ENTRY, "key", key) + _field(ENTRY, "value", value)


def _node(closed: Node) -> bytes:
    node = without_captures(closed)
    return b"".join(
        (
            _repeated(NODE, "input", node.inputs),
            _repeated(NODE, "output", node.outputs),
            _field(NODE, "name", node.name),
            _field(NODE, "op_type", node.op),
            _field(NODE, "domain", node.domain),
            *(_field(NODE, "attribute", _attribute(node, *pair)) for pair in node.attributes.items()),
        ),
    )


def _attribute(node: Node, name: str, value: Attribute) -> bytes:
    kind, body = _attribute_value(value)
    if not kind:
        found = f"attribute {name} holds a {type(value).__name__}"
        raise UnsupportedError(node.label, "needs attributes that ONNX has a form for", found)
    return _field(ATTRIBUTE, "name", name) + body + _field(ATTRIBUTE, "type", kind)


def _attribute_value(value: Attribute) -> tuple[int, bytes]:
    """The type number of an attribute's value and its field; zero for a value without a form."""
    match value:
        case int():
            found = _INT, _field(ATTRIBUTE, "i", value)
        case float():
            found = _FLOAT, _field(ATTRIBUTE, "f", np.float32(value))
        case str() | bytes():
            found = _STRING, _field(ATTRIBUTE, "s", value)
        case np.ndarray():
            found = _TENSOR, _field(ATTRIBUTE, "t", _tensor("", value))
        case Graph():
            found = _GRAPH, _field(ATTRIBUTE, "g", _graph(value))
        case ValueType():
            found = _TYPE, _field(ATTRIBUTE, "tp", _type(value))
        case tuple():
            found = _attribute_list(value)
        case _:
            found = 0, b""
    return found


def _attribute_list(values: Several) -> tuple[int, bytes]:
    kinds = {type(value) for value in values}
    for kind, (number, name, write) in _LISTS.items():
        if all(issubclass(each, kind) for each in kinds):
            return number, _repeated(ATTRIBUTE, name, map(write, values))
    return 0, b""


def _tensor(name: str, array: Array) -> bytes:
    dtype = dtype_of(array)
    return b"".join(
        (
            _repeated(TENSOR, "dims", array.shape),
            _field(TENSOR, "data_type", ONNX_NUMBERS[dtype]),
            _field(TENSOR, "name", name),
            _repeated(TENSOR, "string_data", map(str, array.reshape(-1)))
            if dtype is DType.STRING
            else _field(TENSOR, "raw_data", stored_bytes(array, dtype)),
        ),
    )


def _value(value: Value) -> bytes:
    kind = ValueType("tensor", value.dtype, value.shape)
    if value.kind:
        kind = ValueType(value.kind, of=kind)
    return _field(VALUE_INFO, "name", value.name) + _field(VALUE_INFO, "type", _type(kind))


def _type(kind: ValueType) -> bytes:
    if kind.kind in {"sequence", "optional"}:
        held = b"" if kind.of is None else _field(ELEMENT_TYPE, "elem_type", _type(kind.of))
        return _field(TYPE, f"{kind.kind}_type", held)
    if kind.kind == "map" or kind.dtype is None:
        raise UnsupportedError(f"type {kind}", "needs tensors, sequences or optionals of a known dtype", "found others")
    info = _field(TENSOR_TYPE, "elem_type", ONNX_NUMBERS[kind.dtype])
    if kind.shape is not None:
        dims = (
            _field(DIMENSION, "dim_value", dim) if isinstance(dim, int) else _field(DIMENSION, "dim_param", str(dim))
            for dim in kind.shape
        )
        info += _field(TENSOR_TYPE, "shape", _repeated(SHAPE, "dim", dims))
    return _field(TYPE, f"{kind.kind.replace(' ', '_')}_type", info)


def _repeated(message: MessageType, name: str, contents: Iterable[Content]) -> bytes:
    return b"".join(_field(message, name, content) for content in contents)


def _field(message: MessageType, name: str, content: Content) -> bytes:
    return _tagged(_field_numbers(message)[name], content)


def _field_numbers(message: MessageType) -> Mapping[str, int]:
    return {row.name: number for number, row in message.fields.items()}


def _tagged(number: int, content: Content) -> bytes:
    """One field: a varint for integers, four bytes for floats, else a length and the bytes."""
    if isinstance(content, np.float32):
        return _varint(number << 3 | FIXED32) + struct.pack("<f", content)
    if isinstance(content, int):
        return _varint(number << 3 | VARINT) + _varint(content)
    data = content.encode() if isinstance(content, str) else content
    return _varint(number << 3 | LENGTH) + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    rest = number & ((1 << 64) - 1)
    out = bytearray()
    while rest > 0x7F:  # noqa: PLR2004  the continuation bit
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


# Lists by what they hold: the type number of the attribute, its field, and how an element is written.
_LISTS: Mapping[type, tuple[int, str, Callable[[Any], Content]]] = {
    int: (_INTS, "ints", int),
    str: (_STRINGS, "strings", str),
    np.ndarray: (_TENSORS, "tensors", lambda array: _tensor("", array)),
    Graph: (_GRAPHS, "graphs", _graph),
    ValueType: (_TYPES, "type_protos", _type),
    object: (_FLOATS, "floats", np.float32),
}
