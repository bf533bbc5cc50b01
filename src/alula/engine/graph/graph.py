"""The graph: nodes in order, constants, and what is known of every value.

In: nodes and values. Out: a frozen `Graph`; `GraphEditor` is its mutable twin, used inside one pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType

from alula.base.tensors import DType
from alula.engine.graph.nodes import Array, Node, Subgraph, Value
from alula.engine.graph.readers import OutputNames, Readers

_EMPTY: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Graph(Subgraph):
    """A model: `nodes` stand in an order in which every value is made before it is used.

    Attributes:
        inputs: what the caller hands in, constants excluded.
        outputs: names of the values that the caller gets.
        constants: arrays by value name; they may view a mapped file and must never be written.
        values: what is known (dtype, shape, layout) of values by name; inputs and constants included.
        opsets: operator-set version by domain, as the file said.
        metadata: free text from the model file.
        external: files that hold some of the constants, relative to the model file's folder.
    """

    name: str
    nodes: tuple[Node, ...]
    inputs: tuple[Value, ...]
    outputs: tuple[str, ...]
    constants: Mapping[str, Array]
    values: Mapping[str, Value]
    opsets: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    metadata: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    external: tuple[str, ...] = ()

    @cached_property
    def producers(self) -> Mapping[str, Node]:
        """The node that makes each value."""
        return {name: node for node in self.nodes for name in node.outputs if name}

    @cached_property
    def consumers(self) -> Mapping[str, tuple[Node, ...]]:
        """The nodes that read each value, once a reading."""
        uses: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in node.inputs:
                if name:
                    uses.setdefault(name, []).append(node)
        return {name: tuple(nodes) for name, nodes in uses.items()}

    def with_(self, *, nodes: Sequence[Node] | None = None, values: Mapping[str, Value] | None = None) -> Graph:
        """A copy with other nodes or values."""
        return replace(
            self,
            nodes=self.nodes if nodes is None else tuple(nodes),
            values=self.values if values is None else values,
        )

    def value(self, name: str) -> Value:
        """What is known of a value; an unknown one comes as float32 of unknown shape."""
        return self.values.get(name) or Value(name, DType.FLOAT32, None)


def without_unmentioned(graph: Graph) -> Graph:
    """The graph without the constants, and the records of values, that no node, input or output mentions."""
    mentioned = {name for node in graph.nodes for name in (*node.inputs, *node.outputs)}
    mentioned.update(graph.outputs)
    mentioned.update(value.name for value in graph.inputs)
    return replace(
        graph,
        constants={name: array for name, array in graph.constants.items() if name in mentioned},
        values={name: value for name, value in graph.values.items() if name in mentioned},
    )


def nested_graphs(node: Node) -> tuple[Graph, ...]:
    """The graphs that a node holds, in the order of its attributes."""
    graphs: list[Graph] = []
    for value in node.attributes.values():
        graphs += [item for item in (value if isinstance(value, tuple) else (value,)) if isinstance(item, Graph)]
    return tuple(graphs)


def captures_of(node: Node) -> tuple[str, ...]:
    """The names that the last inputs of a node have in the graphs that it holds; empty for nodes without graphs."""
    names = node.attributes.get("captures", ())
    texts = isinstance(names, tuple) and all(isinstance(name, str) for name in names)
    return tuple(map(str, names)) if texts and isinstance(names, tuple) and nested_graphs(node) else ()


@dataclass(frozen=True)
class Rewrite:
    """What a pass wants done at a node: `drop` goes, `add` comes in at the place of the node that was looked at.

    `constants` are new arrays, `values` what is known of new values, `rename` redirects readers from one value to
    another (the model's outputs included; `add` excluded: it already says what it reads). Where `at` stays, `add`
    stands before it, or behind it if it reads what `at` makes.
    """

    drop: tuple[Node, ...] = ()
    add: tuple[Node, ...] = ()
    constants: Mapping[str, Array] = field(default_factory=lambda: MappingProxyType({}))
    values: tuple[Value, ...] = ()
    rename: Mapping[str, str] = field(default_factory=lambda: _EMPTY)


class GraphEditor:
    """A graph being rewritten, owned by one pass and one thread; every edit costs its own size, not the graph's."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.constants: dict[str, Array] = dict(graph.constants)
        self.values: dict[str, Value] = dict(graph.values)
        self.outputs = OutputNames(graph.outputs)
        self._slots: list[list[Node]] = [[node] for node in graph.nodes]
        self._slot_of: dict[int, int] = {id(node): index for index, node in enumerate(graph.nodes)}
        self._producers: dict[str, Node] = dict(graph.producers)
        self._readers = Readers(graph.nodes)
        self._fresh = 0

    def __iter__(self) -> Iterator[Node]:
        """Nodes in order, each as it is when its turn comes; nodes that a rewrite brings in wait for the next round."""
        for slot in self._slots:
            for node in tuple(slot):
                if self.holds(node):
                    yield node

    def holds(self, node: Node) -> bool:
        """Whether the node is still part of the graph."""
        return id(node) in self._slot_of

    def position_of(self, node: Node) -> int:
        """A number that grows with the order of nodes; those that stand where one node stood may share it."""
        return self._slot_of[id(node)]

    def producer_of(self, name: str) -> Node | None:
        """The node that makes a value; None for inputs and constants."""
        return self._producers.get(name)

    def consumers_of(self, name: str) -> tuple[Node, ...]:
        """The nodes that read a value, once a reading."""
        return self._readers.of(name)

    def uses_of(self, name: str) -> int:
        """How often a value is read; being an output of the model counts as one."""
        return self._readers.count(name) + self.outputs.count(name)

    def constant(self, name: str) -> Array | None:
        """The array behind a constant value."""
        return self.constants.get(name)

    def value(self, name: str) -> Value:
        """What is known of a value; an unknown one comes as float32 of unknown shape."""
        return self.values.get(name) or Value(name, DType.FLOAT32, None)

    def fresh(self, stem: str) -> str:
        """A value name that nobody has."""
        while True:
            self._fresh += 1
            name = f"{stem}.{self._fresh}"
            if name not in self.values and name not in self._producers and name not in self.constants:
                return name

    def apply(self, at: Node, rewrite: Rewrite) -> None:
        """Carry out a rewrite that was decided at node `at`, which the graph must hold."""
        slot = self._slot_of[id(at)]
        position = self._position_for(at, slot, rewrite)
        for node in rewrite.drop:
            self._remove(node)
        for old, new in rewrite.rename.items():
            self._rename(old, new)
        for offset, node in enumerate(rewrite.add):
            self._insert(node, slot, position + offset)
        self.constants.update(rewrite.constants)
        self.values.update({value.name: value for value in rewrite.values})

    def freeze(self) -> Graph:
        """The rewritten graph; constants and values that nothing mentions any more are left out.

        The names of the model's outputs belong to its users and stay: a value that has taken an output's place takes
        its name. Where it cannot (it is an input, a constant or another output), an `Identity` makes the output.
        """
        names = frozenset(self.graph.outputs)
        for index, public in enumerate(self.graph.outputs):
            if self.outputs[index] != public:
                self._publish(index, public, names)
        nodes = tuple(node for slot in self._slots for node in slot)
        whole = replace(
            self.graph, nodes=nodes, outputs=tuple(self.outputs), constants=self.constants, values=self.values
        )
        return without_unmentioned(whole)

    def _publish(self, index: int, public: str, names: frozenset[str]) -> None:
        """Let output `index` be called `public` again."""
        if public in self._producers:
            self._call(public, self.fresh(public))
        name = self.outputs[index]
        if name in self._producers and self.outputs.count(name) == 1 and name not in names:
            self._call(name, public)
            return
        self.outputs.put(index, public)
        self.values[public] = replace(self.value(name), name=public)
        self._slots.append([])
        self._insert(Node("Identity", (name,), (public,)), len(self._slots) - 1, 0)

    def _call(self, old: str, new: str) -> None:
        """Give a value another name, at the node that makes it and at all that read it."""
        producer = self._producers[old]
        outputs = tuple(new if name == old else name for name in producer.outputs)
        changed = replace(producer, outputs=outputs)
        self._readers.exchange(producer, changed)
        self._exchange(producer, changed)
        self._rename(old, new)
        if old in self.values:
            self.values[new] = replace(self.values.pop(old), name=new)

    def _position_for(self, at: Node, slot: int, rewrite: Rewrite) -> int:
        """Where in its slot `add` goes, counted without the dropped nodes."""
        gone = set(map(id, rewrite.drop))
        nodes = self._slots[slot]
        before = nodes[: next(index for index, node in enumerate(nodes) if node is at)]
        position = sum(id(node) not in gone for node in before)
        reads = {name for node in rewrite.add for name in node.inputs}
        return position + (id(at) not in gone and not reads.isdisjoint(at.outputs))

    def _remove(self, node: Node) -> None:
        slot = self._slots[self._slot_of.pop(id(node))]
        slot[:] = [other for other in slot if other is not node]
        for name in node.outputs:
            if self._producers.get(name) is node:
                del self._producers[name]
        self._readers.remove(node)

    def _insert(self, node: Node, slot: int, position: int) -> None:
        self._slots[slot].insert(position, node)
        self._slot_of[id(node)] = slot
        self._producers.update({name: node for name in node.outputs if name})
        self._readers.add(node)

    def _rename(self, old: str, new: str) -> None:
        self.outputs.move(old, new)
        for node, changed in self._readers.move(old, new):
            self._exchange(node, changed)

    def _exchange(self, old: Node, new: Node) -> None:
        """Let a node stand in the place of another; who reads what is told apart from this."""
        place = self._slot_of.pop(id(old))
        slot = self._slots[place]
        slot[next(index for index, node in enumerate(slot) if node is old)] = new
        self._slot_of[id(new)] = place
        for name in old.outputs:
            if self._producers.get(name) is old:
                del self._producers[name]
        self._producers.update({name: new for name in new.outputs if name})
