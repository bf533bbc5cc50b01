"""What of a model would run natively, what by reference, what not at all: told without running it.

In: a model file. Out: a `Survey` with a verdict for every node.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from alula.engine.graph.dims import is_static
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Node, Value
from alula.engine.operators.table import operator_of
from alula.engine.passes.upgrade_operators import refused_nodes
from alula.engine.plan.records import HostStep
from alula.engine.sessions.compiler import CompileOptions, import_model, optimise_model, plan_model
from alula.engine.sessions.staging import cut, prepare

How = Literal["native", "reference", "not at all", "unknown"]

# What stands for a symbolic dimension that nobody has bound: the first one of an input, and the others.
_BATCH = 1
_SIZE = 64


@dataclass(frozen=True)
class Verdict:
    """What becomes of one node.

    Attributes:
        version: of the operator: the newest one at or below what the file names.
        dtype: of the first input that is there, else of the output; empty where nothing is known.
        how: `native` includes what is folded, fused or only a view; `unknown` depends on what cannot run.
        reason: why it is not native.
    """

    node: str
    op: str
    domain: str
    version: int
    dtype: str
    how: How
    reason: str = ""


@dataclass(frozen=True)
class Survey:
    """All verdicts in the model's order, and the numbers that were taken for symbolic dimensions."""

    verdicts: tuple[Verdict, ...]
    shapes: Mapping[str, tuple[int, ...]]

    def count(self, how: How) -> int:
        """How many nodes have a verdict."""
        return sum(verdict.how == how for verdict in self.verdicts)

    @property
    def runs(self) -> bool:
        """Whether every node can be run one way or the other."""
        return not self.count("not at all")


def survey(path: str | os.PathLike[str], options: CompileOptions) -> Survey:
    """Look at all nodes of a model, those in nested graphs included.

    Args:
        path: an ONNX model.
        options: `shapes` bind symbolic dimensions; others are taken as 1 (the first) and 64.

    Raises:
        AlulaError: the file cannot be read, or its shapes do not fit.
    """
    graph = import_model(path, options.limits)
    refused = {id(one.node): one.reason for one in refused_nodes(graph)}
    shapes = {value.name: options.shapes.get(value.name) or _stand_in(value) for value in graph.inputs if value.shape}
    taken = {value.name: shapes[value.name] for value in graph.inputs if not is_static(value.shape or ())}
    if refused:
        verdicts = [_verdict(graph, node, *judged) for node, judged in _partly(graph, refused)]
        return Survey(tuple(verdicts), MappingProxyType(taken))
    known, reasons = _host_reasons(graph, replace(options, shapes=taken))
    verdicts = [
        _verdict(known, node, "reference" if node.label in reasons else "native", reasons.get(node.label, ""))
        for node in _all_nodes(graph)
    ]
    return Survey(tuple(verdicts), MappingProxyType(taken))


def _stand_in(value: Value) -> tuple[int, ...]:
    dims = value.shape or ()
    return tuple(dim if isinstance(dim, int) else _SIZE if axis else _BATCH for axis, dim in enumerate(dims))


def _all_nodes(graph: Graph) -> Iterator[Node]:
    for node in graph.nodes:
        yield node
        for attribute in node.attributes.values():
            if isinstance(attribute, Graph):
                yield from _all_nodes(attribute)


def _partly(graph: Graph, refused: Mapping[int, str]) -> Iterator[tuple[Node, tuple[How, str]]]:
    """All nodes with their verdicts, where the model as a whole cannot run, and so has no plan to ask."""
    lost: set[str] = set()
    for node in graph.nodes:
        held = [inner for value in node.attributes.values() if isinstance(value, Graph) for inner in _all_nodes(value)]
        judged = _judged(node, held, refused, lost)
        if judged[0] in {"not at all", "unknown"}:
            lost.update(filter(None, node.outputs))
        yield node, judged
        for inner in held:
            reason = refused.get(id(inner))
            yield inner, ("reference", f"inside of {node.label}") if reason is None else ("not at all", reason)


def _judged(node: Node, held: Sequence[Node], refused: Mapping[int, str], lost: set[str]) -> tuple[How, str]:
    """The verdict on one node; `held` are those of its graphs, `lost` the values that cannot be computed."""
    if id(node) in refused:
        return "not at all", refused[id(node)]
    if any(id(inner) in refused for inner in held):
        return "not at all", "holds what cannot run"
    if not lost.isdisjoint(node.inputs):
        return "unknown", "depends on what cannot run"
    operator = operator_of(node)
    able = operator is not None and (operator.select is not None or operator.lower is not None or operator.view)
    return ("native", "") if able else ("reference", f"{node.op} has no kernel of its own")


def _host_reasons(graph: Graph, options: CompileOptions) -> tuple[Graph, dict[str, str]]:
    """The graph with all values inferred, and why nodes run by reference, by label; no code is generated."""
    prepared = prepare(graph, options.shapes)
    stage = cut(prepared)
    reasons = {one.node.label: one.reason for one in stage.host}
    for one in stage.host:
        for attribute in one.node.attributes.values():
            if isinstance(attribute, Graph):
                reasons |= {node.label: f"inside of {one.node.label}" for node in _all_nodes(attribute)}
    if stage.rest is not None:
        reasons |= {node.label: "waits for a size that depends on data" for node in _all_nodes(stage.rest)}
    if stage.native is not None:
        part = graph if not stage.host else stage.native
        optimised, _ = optimise_model(part, options if part is graph else replace(options, shapes={}))
        plan = plan_model(optimised, options)
        reasons |= {step.label: step.reason for step in plan.steps if isinstance(step, HostStep)}
    return replace(graph, values={**graph.values, **prepared.values}), reasons


def _verdict(graph: Graph, node: Node, how: How, reason: str) -> Verdict:
    operator = operator_of(node)
    named = graph.opsets.get(node.domain, 0)
    version = max((since for since in operator.since if since <= named), default=named) if operator else named
    names = [name for name in (*node.inputs, *node.outputs) if name in graph.values]
    dtype = str(graph.values[names[0]].dtype) if names else ""
    return Verdict(node.label, node.op, node.domain or "ai.onnx", version, dtype, how, reason)
