"""Graphs inside nodes as JSON and back, for the steps of a plan that run them on the host.

In: a self-contained graph. Out: values that `json` writes without loss, and the graph again. What only passes need (the
records of values inside, symbolic dimensions, metadata) is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.check import check_graph
from alula.engine.graph.dims import Shape, is_static
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Array, Attribute, Node, Value, ValueType

Json = Any
Encode = Callable[[object], Json]
Decode = Callable[[Json], Any]

_KINDS = frozenset({"", "sequence", "optional"})


def encode_graph(graph: Graph, encode: Encode) -> Json:
    """The graph as JSON; `encode` writes attributes and constants."""
    return {
        "name": graph.name,
        "inputs": [_encode_value(value) for value in graph.inputs],
        "outputs": list(graph.outputs),
        "constants": {name: encode(array) for name, array in graph.constants.items()},
        "nodes": [_encode_node(node, encode) for node in graph.nodes],
    }


def decode_graph(content: Json, decode: Decode) -> Graph:
    """The graph that `encode_graph` was given, not yet checked.

    Raises:
        TypeError, ValueError, KeyError, AttributeError: the value is no encoded graph.
    """
    constants = {_text(name): decode(array) for name, array in content["constants"].items()}
    if not all(isinstance(array, np.ndarray) for array in constants.values()):
        msg = "constants are arrays"
        raise TypeError(msg)
    inputs = tuple(_decode_value(value) for value in _list(content["inputs"]))
    return Graph(
        name=_text(content["name"]),
        nodes=tuple(_decode_node(node, decode) for node in _list(content["nodes"])),
        inputs=inputs,
        outputs=_texts(content["outputs"]),
        constants=MappingProxyType(constants),
        values=MappingProxyType({value.name: value for value in inputs}),
    )


def check_nested(attributes: Mapping[str, Attribute]) -> None:
    """Verify the graphs among a node's attributes.

    Raises:
        GraphError: one breaks the rules of graphs.
    """
    for value in attributes.values():
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, Graph):
                check_graph(item)


def encode_type(kind: ValueType) -> Json:
    """A type as JSON."""
    dtype = None if kind.dtype is None else kind.dtype.value
    return [kind.kind, dtype, _encode_shape(kind.shape), None if kind.of is None else encode_type(kind.of)]


def decode_type(content: Json) -> ValueType:
    """The type that `encode_type` was given.

    Raises:
        TypeError, ValueError: the value is no encoded type.
    """
    kind, dtype, shape, of = content
    held = None if of is None else decode_type(of)
    return ValueType(_text(kind), None if dtype is None else DType(dtype), _decode_shape(shape), held)


def encode_strings(array: Array) -> Json:
    """An array of strings as JSON."""
    return {"shape": list(array.shape), "items": [str(item) for item in array.reshape(-1)]}


def decode_strings(content: Json) -> Array:
    """The array that `encode_strings` was given.

    Raises:
        TypeError, ValueError, KeyError: the value is no encoded array.
    """
    items = _texts(content["items"])
    array = np.empty(len(items), object)
    array[:] = items
    return array.reshape(_decode_shape(content["shape"]) or ())


def _encode_value(value: Value) -> Json:
    return [value.name, value.dtype.value, _encode_shape(value.shape), value.kind]


def _encode_shape(shape: Shape | None) -> Json:
    return list(shape) if shape is not None and is_static(shape) else None


def _decode_shape(content: Json) -> Shape | None:
    if content is None:
        return None
    if not all(type(dim) is int and dim >= 0 for dim in _list(content)):
        msg = f"shape {content}"
        raise ValueError(msg)
    return tuple(content)


def _decode_value(content: Json) -> Value:
    name, dtype, shape, kind = content
    if kind not in _KINDS:
        msg = f"kind {kind!r}"
        raise ValueError(msg)
    return Value(_text(name), DType(dtype), _decode_shape(shape), kind=kind)


def _encode_node(node: Node, encode: Encode) -> Json:
    attributes = {name: encode(value) for name, value in node.attributes.items()}
    return [node.op, node.domain, node.name, list(node.inputs), list(node.outputs), attributes]


def _decode_node(content: Json, decode: Decode) -> Node:
    op, domain, name, inputs, outputs, encoded = content
    attributes: Mapping[str, Attribute] = {_text(key): decode(value) for key, value in encoded.items()}
    return Node(_text(op), _texts(inputs), _texts(outputs), MappingProxyType(attributes), _text(name), _text(domain))


def _list(content: Json) -> list[Any]:
    if not isinstance(content, list):
        msg = f"a {type(content).__name__} is no list"
        raise TypeError(msg)
    return content


def _text(content: Json) -> str:
    if not isinstance(content, str):
        msg = f"a {type(content).__name__} is no text"
        raise TypeError(msg)
    return content


def _texts(content: Json) -> tuple[str, ...]:
    return tuple(map(_text, _list(content)))
