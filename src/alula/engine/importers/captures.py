"""What nested graphs read of the graph around them, made explicit.

    If(c) {then=(Relu(y)), else=(Neg(y))}   becomes   If(c, y) {then=(y -> Relu(y)), else=(y -> Neg(y)), captures=(y)}

In: a node as a file has it. Out: a node whose graphs are self-contained, so that no pass needs to look into them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from alula.base.errors import GraphError, UnsupportedError
from alula.base.tensors import DType
from alula.engine.graph.graph import Graph, captures_of, nested_graphs
from alula.engine.graph.nodes import Attribute, Node, Value
from alula.engine.importers.files import shown

CAPTURES = "captures"


def with_captures(node: Node) -> Node:
    """The node with the values that its graphs read from outside as extra inputs at its end.

    The attribute `captures` tells the names that these inputs have inside; each graph has those that it reads as extra
    inputs behind its own. Graphs inside these graphs must have been made self-contained before.

    Raises:
        GraphError: the node has an attribute of that name already.
    """
    graphs = nested_graphs(node)
    if not graphs:
        return node
    if CAPTURES in node.attributes:
        where = f"{shown(node.label)} ({shown(node.op)})"
        raise GraphError(where, f"a node that holds graphs cannot have an attribute {CAPTURES}", "it has one")
    captures = tuple(dict.fromkeys(name for graph in graphs for name in free_names(graph)))
    if not captures:
        return node
    attributes = {name: _closed_value(value) for name, value in node.attributes.items()}
    attributes[CAPTURES] = captures
    return replace(node, inputs=(*node.inputs, *captures), attributes=MappingProxyType(attributes))


def without_captures(node: Node) -> Node:
    """The node as a file has it: its graphs read the values around them by name.

    Raises:
        UnsupportedError: a graph has another value of a name that it would read from outside.
    """
    captures = captures_of(node)
    if not captures:
        return node
    own = len(node.inputs) - len(captures)
    outside = dict(zip(captures, node.inputs[own:], strict=True))
    attributes = {name: _opened_value(node, value, outside) for name, value in node.attributes.items()}
    del attributes[CAPTURES]
    return replace(node, inputs=node.inputs[:own], attributes=MappingProxyType(attributes))


def free_names(graph: Graph) -> list[str]:
    """The values that a graph reads and does not have, in the order in which it reads them."""
    own = {value.name for value in graph.inputs} | set(graph.constants) | {""}
    own.update(name for node in graph.nodes for name in node.outputs)
    read = [name for node in graph.nodes for name in node.inputs]
    return [name for name in dict.fromkeys([*read, *graph.outputs]) if name not in own]


def _closed_value(value: Attribute) -> Attribute:
    if isinstance(value, Graph):
        return _closed(value)
    if isinstance(value, tuple) and any(isinstance(item, Graph) for item in value):
        return tuple(_closed(item) for item in value if isinstance(item, Graph))
    return value


def _closed(graph: Graph) -> Graph:
    """The graph with its free names as inputs; what is known of them stands in the graph around it."""
    fresh = tuple(Value(name, DType.FLOAT32, None) for name in free_names(graph))
    return replace(graph, inputs=(*graph.inputs, *fresh)) if fresh else graph


def _opened_value(node: Node, value: Attribute, outside: Mapping[str, str]) -> Attribute:
    if isinstance(value, Graph):
        return _opened(node, value, outside)
    if isinstance(value, tuple) and any(isinstance(item, Graph) for item in value):
        return tuple(_opened(node, item, outside) for item in value if isinstance(item, Graph))
    return value


def _opened(holder: Node, graph: Graph, outside: Mapping[str, str]) -> Graph:
    inputs = tuple(value for value in graph.inputs if value.name not in outside)
    own = {value.name for value in inputs} | set(graph.constants)
    own.update(name for node in graph.nodes for name in node.outputs)
    clash = own.intersection(outside.values())
    if clash:
        needed = "a graph inside cannot have a value of the name of one that it reads from outside"
        raise UnsupportedError(holder.label, needed, f"found {min(clash)}")
    nodes = tuple(replace(node, inputs=tuple(outside.get(name, name) for name in node.inputs)) for node in graph.nodes)
    outputs = tuple(outside.get(name, name) for name in graph.outputs)
    return replace(graph, inputs=inputs, nodes=nodes, outputs=outputs)
