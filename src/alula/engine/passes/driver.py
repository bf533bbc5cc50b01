"""Runs passes: whole-graph passes once, node passes over an editor until nothing changes; counts and times them.

In: a Graph and passes. Out: a better Graph and a `PassReport` for each pass.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from alula.base.errors import InternalError, LimitError
from alula.engine.graph.check import check_graph
from alula.engine.graph.graph import Graph, GraphEditor, Rewrite
from alula.engine.graph.nodes import Node
from alula.engine.graph.primitives import Inexpressible
from alula.engine.operators.explain import MISFITS

NodePass = Callable[[GraphEditor, Node], Rewrite | None]
GraphPass = Callable[[Graph], Graph]


@dataclass(frozen=True)
class PassOptions:
    """What a caller may choose.

    Attributes:
        shapes: input shapes by name; they bind the symbols of these inputs.
        bindings: numbers for symbols by name.
        disable: names of passes to leave out.
        check: run `check_graph` after every pass.
    """

    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=lambda: MappingProxyType({}))
    bindings: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    disable: frozenset[str] = frozenset()
    check: bool = False


@dataclass(frozen=True)
class PassReport:
    """How many rewrites a pass made, or nodes it changed where it works on the whole graph, and in how many seconds."""

    name: str
    rewrites: int
    seconds: float


@dataclass(frozen=True)
class Pass:
    """A pass as the order holds it; `required` ones cannot be disabled, since all others build on them."""

    name: str
    run: Callable[[Graph, PassOptions], tuple[Graph, int]]
    required: bool = False


def node_pass(visit: NodePass, *, repeat: bool = False) -> Pass:
    """A pass that looks at one node at a time; `repeat` runs it until it finds nothing more."""
    return Pass(visit.__name__, lambda graph, _: run_node_pass(graph, visit, repeat=repeat))


def graph_pass(change: GraphPass, *, required: bool = False) -> Pass:
    """A pass over a whole graph."""
    return Pass(change.__name__, lambda graph, _: _counted(graph, change(graph)), required)


def configured_pass(name: str, change: Callable[[Graph, PassOptions], Graph]) -> Pass:
    """A required pass over a whole graph that reads the caller's options."""
    return Pass(name, lambda graph, options: _counted(graph, change(graph, options)), required=True)


def run_node_pass(graph: Graph, visit: NodePass, *, repeat: bool = False) -> tuple[Graph, int]:
    """Offer every node to `visit` and carry out what it wants.

    Returns:
        The rewritten graph and the number of rewrites; the same graph where there were none.
    """
    editor = GraphEditor(graph)
    total = found = _round(editor, visit)
    while repeat and found:
        found = _round(editor, visit)
        total += found
    return (editor.freeze(), total) if total else (graph, 0)


def run_pass(graph: Graph, step: Pass, options: PassOptions) -> tuple[Graph, PassReport]:
    """Run one pass, timed, and checked if asked for.

    Raises:
        GraphError: the check found that the pass broke the graph.
        LimitError: what it makes does not fit into memory.
        InternalError: it came upon something that it did not reckon with.
    """
    started = time.perf_counter()
    try:
        changed, rewrites = step.run(graph, options)
    except MISFITS as error:
        raise _unforeseen(f"model {graph.name}", step.name, error) from error
    seconds = time.perf_counter() - started
    if options.check:
        check_graph(changed, step.name)
    return changed, PassReport(step.name, rewrites, seconds)


def _round(editor: GraphEditor, visit: NodePass) -> int:
    found = 0
    for node in editor:
        try:
            rewrite = visit(editor, node)
        except Inexpressible:
            continue  # no formula computes what the pass would write: the node stays as it is
        except MISFITS as error:
            raise _unforeseen(f"{node.label} ({node.op})", visit.__name__, error) from error
        if rewrite is not None:
            editor.apply(node, rewrite)
            found += 1
    return found


def _unforeseen(where: str, name: str, error: Exception) -> LimitError | InternalError:
    """The error for what a pass let through: a model is never answered with anything but alula's own errors."""
    if isinstance(error, MemoryError):
        return LimitError(where, "needs a graph that fits into memory", f"pass {name} ran out of it")
    return InternalError(where, f"needs pass {name} to take any graph", f"{type(error).__name__}: {error}")


def _counted(before: Graph, after: Graph) -> tuple[Graph, int]:
    kept = set(map(id, after.nodes))
    return after, sum(id(node) not in kept for node in before.nodes)
