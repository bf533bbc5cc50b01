"""Every node in its operator's newest form; what alula cannot run is refused, all of it in one error.

    Clip(x) {min=0, max=6}, opset 9   becomes   Clip(x, #min, #max), newest opset

In: a graph as a file has it. Out: the graph that all other passes understand.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from alula.base.errors import AlulaError, LimitError, UnsupportedError
from alula.base.tensors import DType
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import INTERNAL, Array, Node, Value
from alula.engine.operators.attributes import attributes_of
from alula.engine.operators.infer import check_inputs
from alula.engine.operators.table import NEWEST_OPSET, operator_of
from alula.engine.operators.upgrade import upgrade_node

MOST_NODES = 1_000_000
_MOST_LINES = 50
_MOST_KINDS = 10
# What the exporters of PyTorch, Keras and Paddle all write, and what has every operator of vision models.
_ADVISED_OPSET = 18
_ONE_MACHINE = "ONNX Runtime wrote it for one processor; save its optimised model at the level ORT_ENABLE_EXTENDED"


@dataclass(frozen=True)
class Refused:
    """A node that alula cannot run: the version of its domain that the file names, and why not."""

    node: Node
    version: int
    reason: str

    def __str__(self) -> str:
        """For example `ai.onnx.Foo version 18, node foo_1: alula has no such operator`."""
        name = f"{self.node.domain or 'ai.onnx'}.{self.node.op}"
        return f"{name} version {self.version}, node {self.node.label}: {self.reason}"


def refused_nodes(graph: Graph) -> tuple[Refused, ...]:
    """The nodes for which `upgrade_operators` would raise, those in nested graphs included."""
    work = _Work(graph)
    work.run()
    return tuple(work.refused)


def upgrade_operators(graph: Graph) -> Graph:
    """Check and upgrade every node.

    Raises:
        LimitError: the graph has more than `MOST_NODES` nodes.
        UnsupportedError: some nodes cannot be run; the detail has a line for each.
    """
    if len(graph.nodes) > MOST_NODES:
        raise LimitError(f"model {graph.name}", f"needs at most {MOST_NODES} nodes", f"it has {len(graph.nodes)}")
    work = _Work(graph)
    upgraded = work.run()
    if work.refused:
        raise _refusal(graph, work.refused)
    return upgraded


@dataclass
class _Work:
    """New constants and refused nodes; owned by one run of the pass. Graphs inside nodes share the refused ones."""

    graph: Graph
    constants: dict[str, Array] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)

    def run(self) -> Graph:
        """The graph in its newest form; without the refused nodes."""
        nodes = tuple(node for old in self.graph.nodes for node in self.upgraded(old))
        return replace(
            self.graph,
            nodes=nodes,
            constants={**self.graph.constants, **self.constants},
            values={**self.graph.values, **self.values},
            opsets=MappingProxyType({**self.graph.opsets, "": NEWEST_OPSET}),
        )

    def upgraded(self, node: Node) -> tuple[Node, ...]:
        """The newest form, behind nodes that it needs; nothing, and a line among the refused, where there is none."""
        version = self.graph.opsets.get(node.domain, NEWEST_OPSET if node.domain == INTERNAL else 0)
        newest = self._newest(node, version)
        if isinstance(newest, tuple):
            return newest
        self.refused.append(Refused(node, version, newest))
        return ()

    def _newest(self, node: Node, version: int) -> tuple[Node, ...] | str:
        """The newest form, or the reason why there is none."""
        operator = operator_of(node)
        if operator is None:
            return _ONE_MACHINE if node.domain == "com.microsoft.nchwc" else "alula has no such operator"
        if not version:
            return "the file names no version of this domain"
        node = self._with_newest_graphs(node)
        try:
            newest = upgrade_node(node, version, self._constant)
            attributes_of(operator_of(newest[-1]) or operator, newest[-1])  # Upsample becomes Resize
            check_inputs(newest[-1], [bool(name) for name in newest[-1].inputs])
        except AlulaError as error:
            return f"{error.needed}, {error.found}"
        return (node,) if _is_unchanged(node, newest[-1]) else newest

    def _with_newest_graphs(self, node: Node) -> Node:
        """The node with upgraded graphs among its attributes; they use the versions that the model names."""
        graphs = {name: graph for name, graph in node.attributes.items() if isinstance(graph, Graph)}
        if not graphs:
            return node
        works = {
            name: _Work(replace(graph, opsets=self.graph.opsets), refused=self.refused)
            for name, graph in graphs.items()
        }
        return node.with_attributes(**{name: work.run() for name, work in works.items()})

    def _constant(self, array: Array) -> str:
        name = f"constant.{len(self.constants)}"
        while name in self.graph.values or name in self.graph.constants or name in self.graph.producers:
            name += "_"
        self.constants[name] = array
        self.values[name] = Value(name, DType(array.dtype.name), array.shape)
        return name


def _is_unchanged(node: Node, newest: Node) -> bool:
    """Whether an upgrade had nothing to do; by identity of attributes, since arrays have no plain equality."""
    if (node.kind, node.inputs, node.outputs) != (newest.kind, newest.inputs, newest.outputs):
        return False
    same = node.attributes.keys() == newest.attributes.keys()
    return same and all(value is newest.attributes[name] for name, value in node.attributes.items())


def _refusal(graph: Graph, refused: list[Refused]) -> UnsupportedError:
    kinds = Counter(one.node.op for one in refused)
    shown = list(map(str, refused[:_MOST_LINES]))
    if len(refused) > len(shown):
        shown.append(f"and {len(refused) - len(shown)} more")
    return UnsupportedError(
        f"model {graph.name}",
        "needs operators that alula has",
        f"{len(refused)} of {len(graph.nodes)} nodes cannot be run ({_counted(kinds)})",
        f"export the model again with opset {_ADVISED_OPSET} and standard operators",
        "\n".join(shown),
    )


def _counted(kinds: Counter[str]) -> str:
    """The operators, the most frequent first."""
    shown = [f"{count} {op}" for op, count in kinds.most_common(_MOST_KINDS)]
    return ", ".join(shown) + (f", {len(kinds) - len(shown)} more" if len(kinds) > len(shown) else "")
