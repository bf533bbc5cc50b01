"""FunctionProto -> Function: the functions of a model, which the importer writes out where they are called.

In: spans of a model file. Out: functions by domain, name and overload.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from alula.base.errors import LimitError
from alula.engine.graph.nodes import INTERNAL, Attribute, Node
from alula.engine.importers.files import shown
from alula.engine.importers.onnx_attributes import Parameter, read_attribute
from alula.engine.importers.onnx_graph import Overloaded, read_graph, read_nodes
from alula.engine.importers.onnx_messages import FUNCTION, OPSET
from alula.engine.importers.order import order_nodes
from alula.engine.importers.place import Place
from alula.engine.importers.records import Record, read_record
from alula.engine.importers.wire import Span

# Domain, name and overload.
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Function:
    """A function of a model.

    Attributes:
        nodes: in an order in which every value is made before it is used; attributes may be `Parameter`.
        defaults: values of attributes that a call may leave out.
        opsets: operator-set version by domain, for the nodes of this function.
    """

    key: Key
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    defaults: Mapping[str, Attribute]
    opsets: Mapping[str, int]

    @property
    def label(self) -> str:
        """The name to show in messages."""
        domain, name, overload = map(shown, self.key)
        return f"function {domain}.{name}" + (f":{overload}" if overload else "")


def key_of(node: Node) -> Key:
    """The function that a node would call."""
    return node.domain, node.op, node.overload if isinstance(node, Overloaded) else ""


def read_functions(place: Place, spans: Sequence[Span]) -> Mapping[Key, Function]:
    """All functions of a model.

    Raises:
        ModelFileError: two have the same key, or a message is malformed.
        GraphError: the nodes of one form a cycle.
        LimitError: together they have too many nodes.
    """
    inside = replace(place, function=True)
    functions: dict[Key, Function] = {}
    for span in spans:
        function = _function(inside, span)
        if function.key in functions:
            raise place.wire.damaged(span[0], "needs functions with distinct names", f"found {function.label} twice")
        functions[function.key] = function
    return MappingProxyType(functions)


def read_opsets(record: Record) -> dict[str, int]:
    """Operator-set versions by domain; ONNX's own domain is the empty string, alula's is left out.

    Raises:
        ModelFileError: a domain has two versions.
    """
    opsets: dict[str, int] = {}
    for span in record.spans("opset_import"):
        entry = read_record(record.wire, span, OPSET)
        domain, version = _domain(entry), entry.integer("version")
        if opsets.get(domain, version) != version:
            raise entry.damaged("one version a domain", f"{opsets[domain]} and {version}")
        opsets[domain] = version
    opsets.pop(INTERNAL, None)
    return opsets


def _function(place: Place, span: Span) -> Function:
    record = read_record(place.wire, span, FUNCTION)
    place.usage.nodes += len(record.spans("node"))
    if place.usage.nodes > place.limits.nodes:
        raise LimitError(place.wire.name, f"needs at most {place.limits.nodes} nodes", "graphs and functions have more")
    key = _domain(record), record.text("name"), record.text("overload")
    if not key[1]:
        raise record.damaged("a name", "none")
    outer = replace(place, function=False)
    defaults = [read_attribute(outer, at, key[1], read_graph) for at in record.spans("attribute_proto")]
    function = Function(
        key,
        record.texts("input"),
        record.texts("output"),
        order_nodes(read_nodes(place, record), f"{place.wire.name}, function {shown(key[1])}"),
        MappingProxyType(dict(defaults)),
        MappingProxyType(read_opsets(record)),
    )
    if len(set(function.inputs)) < len(function.inputs) or len(dict(defaults)) < len(defaults):
        raise record.damaged("inputs and attributes with distinct names", "one twice")
    return function


def _domain(record: Record) -> str:
    domain = record.text("domain")
    return "" if domain == "ai.onnx" else domain


def bound_attributes(node: Node, values: Mapping[str, Attribute]) -> Mapping[str, Attribute]:
    """The attributes of a node in a function, with the call's values; what the call leaves out is left out."""
    if not any(isinstance(value, Parameter) for value in node.attributes.values()):
        return node.attributes
    bound = {
        name: values.get(value.name) if isinstance(value, Parameter) else value
        for name, value in node.attributes.items()
    }
    return MappingProxyType({name: value for name, value in bound.items() if value is not None})
