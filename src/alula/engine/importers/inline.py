"""Calls of a model's own functions, written out: no later stage knows functions.

    y = f(x) {a=2}, f(u) {a} = Mul(u, Constant {a})   becomes   y = Mul(x, f/c), f/c = Constant {2}

In: a graph and functions. Out: a graph of plain operators; names of values inside are made of the call's name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from alula.base.errors import GraphError, LimitError, UnsupportedError
from alula.engine.graph.graph import Graph, nested_graphs
from alula.engine.graph.nodes import Attribute, Node
from alula.engine.importers.captures import CAPTURES
from alula.engine.importers.files import shown
from alula.engine.importers.onnx_functions import Function, Key, bound_attributes, key_of
from alula.engine.importers.place import ImportLimits

_LONGEST_PART = 80  # of a name made of two: names in a file may be of any length, and calls multiply them


def inline_functions(graph: Graph, functions: Mapping[Key, Function], limits: ImportLimits) -> Graph:
    """The graph with the bodies of functions in the places of their calls, recursively, in nested graphs too.

    A function of the model goes before an operator of the same name. Each body takes the attributes of its call.

    Raises:
        GraphError: a function calls itself, or a call does not fit its function.
        UnsupportedError: a function is written for other operator sets than the model.
        LimitError: the graph would grow beyond the limit.
    """
    sizes = _Sizes(functions, limits, graph.name)
    if functions:
        sizes.of_nodes(graph.nodes, ())
    opsets = dict(graph.opsets)
    for key in sizes.reached:
        _join_opsets(functions, functions[key], opsets)
    if not sizes.changes(graph):
        return graph
    return replace(_Inliner(functions, graph.name).graph(graph), opsets=MappingProxyType(opsets))


class _Sizes:
    """How many nodes bodies have once they are written out, found before anything is."""

    def __init__(self, functions: Mapping[Key, Function], limits: ImportLimits, model: str) -> None:
        self._functions = functions
        self._limits = limits
        self._model = model
        self._known: dict[Key, tuple[int, int]] = {}

    @property
    def reached(self) -> Sequence[Key]:
        """The functions that are called."""
        return tuple(self._known)

    def changes(self, graph: Graph) -> bool:
        """Whether the graph calls anything, or wants to."""
        return bool(self._known) or any(
            key_of(node)[2] or any(map(self.changes, nested_graphs(node))) for node in graph.nodes
        )

    def of_nodes(self, nodes: Sequence[Node], trail: tuple[Key, ...]) -> tuple[int, int]:
        """The number of nodes, and how deep functions call one another; `trail` is the calls that lead here."""
        count, depth = 0, 0
        for node in nodes:
            parts = [self.of_nodes(inner.nodes, trail) for inner in nested_graphs(node)]
            if key_of(node) in self._functions:
                parts.append(self._of_function(key_of(node), trail))
            count += 1 + sum(part[0] for part in parts)
            depth = max([depth, *(part[1] for part in parts)])
            if count > self._limits.nodes:
                needed = f"needs at most {self._limits.nodes} nodes"
                raise LimitError(self._model, needed, "it has more when its functions are written out")
        return count, depth

    def _of_function(self, key: Key, trail: tuple[Key, ...]) -> tuple[int, int]:
        known = self._known.get(key)
        if known is None:
            if key in trail:
                raise GraphError(self._model, "needs functions that end", f"{self._functions[key].label} calls itself")
            if len(trail) >= self._limits.nesting:
                raise LimitError(
                    self._model, f"functions may call one another {self._limits.nesting} deep", "found more"
                )
            count, depth = self.of_nodes(self._functions[key].nodes, (*trail, key))
            known = self._known[key] = count, depth + 1
        if len(trail) + known[1] > self._limits.nesting:
            raise LimitError(self._model, f"functions may call one another {self._limits.nesting} deep", "found more")
        return known


def _join_opsets(functions: Mapping[Key, Function], function: Function, opsets: dict[str, int]) -> None:
    """Take over the versions of domains that only the function uses; refuse other versions than the model's."""
    used = {node.domain for node in _all_nodes(function.nodes) if key_of(node) not in functions}
    for domain, version in function.opsets.items():
        if domain in used and opsets.setdefault(domain, version) != version:
            found = f"it is written for {domain or 'ai.onnx'} {version}, the model for {opsets[domain]}"
            hint = "convert the model to one version, or inline its functions: onnx.inliner.inline_local_functions"
            raise UnsupportedError(function.label, "needs the operator sets of the model", found, hint)


def _all_nodes(nodes: Sequence[Node]) -> list[Node]:
    found = list(nodes)
    for node in nodes:
        for graph in nested_graphs(node):
            found += _all_nodes(graph.nodes)
    return found


@dataclass
class _Names:
    """The names that values of one graph have; owned by one graph's inlining."""

    taken: set[str]
    count: int = 0

    def fresh(self, call: str, inner: str) -> str:
        """A new name for the value `inner` of a call."""
        stem = name = f"{call[-_LONGEST_PART:]}/{inner[-_LONGEST_PART:]}"
        while name in self.taken:
            self.count += 1
            name = f"{stem}.{self.count}"
        self.taken.add(name)
        return name


class _Inliner:
    """Writes calls out; owned by one import."""

    def __init__(self, functions: Mapping[Key, Function], model: str) -> None:
        self._functions = functions
        self._model = model

    def graph(self, graph: Graph) -> Graph:
        """A graph without calls."""
        taken = {value.name for value in graph.inputs} | set(graph.constants) | set(graph.outputs)
        taken.update(name for node in graph.nodes for name in (*node.inputs, *node.outputs))
        names = _Names(taken)
        return replace(graph, nodes=tuple(each for node in graph.nodes for each in self._expanded(node, names)))

    def _expanded(self, node: Node, names: _Names) -> list[Node]:
        """The nodes that a node becomes: itself, if it calls no function of the model."""
        function = self._functions.get(key_of(node))
        if function is not None:
            body = self._body(node, function, names)
            return [each for inner in body for each in self._expanded(inner, names)]
        if key_of(node)[2]:
            where = f"{shown(node.label)} ({shown(node.op)})"
            raise GraphError(where, f"needs the overload {shown(key_of(node)[2])}", "the model has no such function")
        if not nested_graphs(node):
            return [node]
        attributes = {name: self._without_calls(value) for name, value in node.attributes.items()}
        return [replace(node, attributes=MappingProxyType(attributes))]

    def _without_calls(self, value: Attribute) -> Attribute:
        if isinstance(value, Graph):
            return self.graph(value)
        if isinstance(value, tuple) and any(isinstance(item, Graph) for item in value):
            return tuple(self.graph(item) for item in value if isinstance(item, Graph))
        return value

    def _body(self, call: Node, function: Function, names: _Names) -> list[Node]:
        """The nodes of a function as one call makes them."""
        _check_call(call, function)
        given = dict(zip(function.inputs, (*call.inputs, *[""] * len(function.inputs)), strict=False))
        made = {name for node in function.nodes for name in node.outputs if name}
        wanted = dict(zip(function.outputs, call.outputs, strict=False))
        names_of = {name: wanted.get(name) or names.fresh(call.label, name) for name in sorted(made)}
        names_of = {**given, **names_of, "": ""}
        values = {**function.defaults, **call.attributes}
        body = [_renamed(node, names_of, values, call, function) for node in function.nodes]
        for name, out in zip(function.outputs, call.outputs, strict=False):
            if out and names_of.get(name) != out:  # an input handed through, or one value as two outputs
                if not names_of.get(name):
                    raise _misfit(call, function, f"output {shown(name)} made", "nothing makes it")
                body.append(Node("Identity", (names_of[name],), (out,), name=f"{call.label[:_LONGEST_PART]}/{name}"))
        return body


def _check_call(call: Node, function: Function) -> None:
    if CAPTURES in call.attributes:
        where = f"{shown(call.label)} ({shown(call.op)})"
        raise UnsupportedError(where, "a call may hold no graph that reads values around it", "found one")
    if len(call.inputs) > len(function.inputs) or len(call.outputs) > len(function.outputs):
        needed = f"at most {len(function.inputs)} inputs and {len(function.outputs)} outputs"
        raise _misfit(call, function, needed, f"{len(call.inputs)} and {len(call.outputs)}")
    made = [*function.inputs, *(name for node in function.nodes for name in node.outputs if name)]
    if len(set(made)) < len(made):
        raise _misfit(call, function, "every value to be made once", "one is made twice")


def _renamed(
    node: Node, names: Mapping[str, str], values: Mapping[str, Attribute], call: Node, function: Function
) -> Node:
    """A node of a function with the names and attributes of one call."""
    unknown = next((name for name in node.inputs if name not in names), None)
    if unknown is not None:
        raise _misfit(call, function, f"value {shown(unknown)} made in it", "nothing makes it")
    label = f"{call.label[-_LONGEST_PART:]}/{node.label[-_LONGEST_PART:]}"
    return replace(
        node,
        inputs=tuple(names[name] for name in node.inputs),
        outputs=tuple(names[name] for name in node.outputs),
        attributes=_bound(node, values),
        name=label,
    )


def _bound(node: Node, values: Mapping[str, Attribute]) -> Mapping[str, Attribute]:
    """The attributes of a node with a call's values, those of nodes in its graphs too."""
    attributes = bound_attributes(node, values)
    if not nested_graphs(node):
        return attributes
    return MappingProxyType({name: _bound_value(value, values) for name, value in attributes.items()})


def _bound_value(value: Attribute, values: Mapping[str, Attribute]) -> Attribute:
    if isinstance(value, Graph):
        return replace(value, nodes=tuple(replace(node, attributes=_bound(node, values)) for node in value.nodes))
    if isinstance(value, tuple) and any(isinstance(item, Graph) for item in value):
        graphs = [_bound_value(item, values) for item in value if isinstance(item, Graph)]
        return tuple(graph for graph in graphs if isinstance(graph, Graph))
    return value


def _misfit(call: Node, function: Function, needed: str, found: str) -> GraphError:
    return GraphError(f"{shown(call.label)} ({shown(call.op)})", f"{function.label} needs {needed}", f"found {found}")
