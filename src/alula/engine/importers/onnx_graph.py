"""GraphProto -> Graph: nodes, attributes, values; nested graphs the same way, made self-contained.

In: a span of a model file. Out: an ordered Graph, not yet checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from alula.base.errors import ModelFileError, UnsupportedError
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import INTERNAL, INTERNAL_ATTRIBUTES, Array, Attribute, Node, Value
from alula.engine.graph.numpy_dtypes import dtype_of
from alula.engine.importers.captures import with_captures
from alula.engine.importers.files import shown
from alula.engine.importers.onnx_attributes import read_attribute
from alula.engine.importers.onnx_messages import GRAPH, NODE
from alula.engine.importers.onnx_sparse import read_sparse
from alula.engine.importers.onnx_tensor import read_tensor
from alula.engine.importers.onnx_types import read_value
from alula.engine.importers.order import order_nodes
from alula.engine.importers.place import Place
from alula.engine.importers.records import Record, read_record
from alula.engine.importers.wire import Span


@dataclass(frozen=True)
class Overloaded(Node):
    """A call of a function of which the model has several of one name; it is gone once functions are inlined."""

    overload: str = ""


def read_graph(place: Place, span: Span, name: str = "") -> Graph:
    """The graph at `span`, its nodes in topological order; intermediate shapes are left to inference.

    Graphs inside its nodes are self-contained: what they read of the graph around them stands among their own inputs
    and, at the end, among those of the node (see `with_captures`).

    Raises:
        ModelFileError: a message is malformed or contradicts itself.
        UnsupportedError: a dtype, attribute or tensor form that alula does not have.
        GraphError: the nodes form a cycle.
        LimitError: there are too many nodes, or graphs are nested too deep.
    """
    record = read_record(place.wire, span, GRAPH, {"node": place.limits.nodes - place.usage.nodes})
    place.usage.nodes += len(record.spans("node"))
    constants = _initializers(place, record)
    inputs = [read_value(place.wire, at) for at in record.spans("input")]
    outputs = [read_value(place.wire, at)[0] for at in record.spans("output")]
    values = {value.name: value for value in outputs if value.shape is not None or value.kind}
    values |= {key: Value(key, dtype_of(array), tuple(array.shape)) for key, array in constants.items()}
    formal = [(value, typed) for value, typed in inputs if value.name not in constants]
    untyped = [value.name for value, typed in formal if not typed]
    if untyped and not place.depth:
        where = f"{place.wire.name}, input {shown(untyped[0])}"
        raise ModelFileError(where, "needs a type", "the file gives none", "export it with input shapes")
    return Graph(
        name=name or record.text("name"),
        nodes=order_nodes(read_nodes(place, record), place.wire.name),
        inputs=tuple(value for value, _ in formal),
        outputs=tuple(value.name for value in outputs),
        constants=MappingProxyType(constants),
        values=MappingProxyType(values | {value.name: value for value, _ in formal}),
    )


def read_nodes(place: Place, record: Record) -> list[Node]:
    """The nodes of a graph or function, in file order."""
    return [_node(place, at) for at in record.spans("node")]


def _initializers(place: Place, record: Record) -> dict[str, Array]:
    constants: dict[str, Array] = {}
    pairs = [read_tensor(place.wire, span, place.files) for span in record.spans("initializer")]
    pairs += [read_sparse(place, span) for span in record.spans("sparse_initializer")]
    for name, array in pairs:
        if not name or name in constants:
            raise record.damaged(
                "initializers with distinct names", f"'{shown(name)}' twice" if name else "one without"
            )
        constants[name] = array
    return constants


def _check_foreign(place: Place, label: str, domain: str, attributes: Mapping[str, Attribute]) -> None:
    """Refuse what only passes may write: they rely on it, so that nothing checks it for strangers."""
    where = f"{place.wire.name}, node {shown(label)}"
    if domain == INTERNAL:
        raise UnsupportedError(where, "needs operators that a model may hold", f"domain {INTERNAL} is alula's own")
    own = INTERNAL_ATTRIBUTES.intersection(attributes)
    if own and not domain:
        raise UnsupportedError(where, "needs attributes that ONNX has", f"{min(own)} is alula's own")


def _node(place: Place, span: Span) -> Node:
    record = read_record(place.wire, span, NODE)
    op, domain, name = record.text("op_type"), record.text("domain"), record.text("name")
    if not op:
        raise record.damaged("an op_type", "none")
    outputs = record.texts("output")
    label = name or next(filter(None, outputs), op)
    attributes: dict[str, Attribute] = {}
    for at in record.spans("attribute"):
        key, value = read_attribute(place, at, label, read_graph)
        if key in attributes:
            raise record.damaged("attributes with distinct names", f"'{shown(key)}' twice")
        attributes[key] = value
    domain = "" if domain == "ai.onnx" else domain
    _check_foreign(place, label, domain, attributes)
    node = Node(op, record.texts("input"), outputs, MappingProxyType(attributes), name, domain)
    overload = record.text("overload")
    if overload:
        node = Overloaded(node.op, node.inputs, outputs, node.attributes, name, domain, overload)
    return with_captures(node)
