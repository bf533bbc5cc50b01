"""Nodes that must run in generated code from end to end.

In: an operator with arrays. Out: its plan without host steps, and results compared with the reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Array, Node, Value
from alula.engine.graph.numpy_dtypes import dtype_of
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.operators.table import NEWEST_OPSET
from alula.engine.passes.order import optimise
from alula.engine.plan.records import HostStep
from support.pass_graphs import prepared
from support.planned import assert_close, planned, results_of


@dataclass(frozen=True)
class Form:
    """One node: its inputs, None where one is left out, its attributes, and how many of its inputs are fed."""

    op: str
    inputs: Sequence[Array | None]
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: Sequence[str] = ("y",)
    fed: int = 1 << 10
    domain: str = ""

    def graph(self) -> Graph:
        """The node alone; inputs that are not fed are constant."""
        arrays = {f"x{index}": array for index, array in enumerate(self.inputs) if array is not None}
        names = tuple(f"x{index}" if array is not None else "" for index, array in enumerate(self.inputs))
        given = [Value(name, dtype_of(arrays[name]), arrays[name].shape) for name in names[: self.fed] if name]
        constants = {name: array for name, array in arrays.items() if name in names[self.fed :]}
        node = Node(self.op, names, tuple(self.outputs), self.attributes, "node", self.domain)
        shown = tuple(name for name in self.outputs if name)
        values = {value.name: value for value in given}
        versions = {self.domain: 1, "": NEWEST_OPSET}
        return Graph("model", (node,), tuple(given), shown, constants, values, versions)

    def feeds(self) -> dict[str, Array]:
        """What is fed, by name."""
        return {value.name: np.asarray(self.inputs[int(value.name[1:])]) for value in self.graph().inputs}


def host_operators(graph: Graph) -> list[str]:
    """The operators of a model that are left to their references, by the names they have in the plan."""
    return [step.node.op for step in planned(optimise(graph)[0]).steps if isinstance(step, HostStep)]


def assert_lowered(form: Form, folder: Path) -> None:
    """The form runs without its reference, with the same results."""
    graph, feeds = form.graph(), form.feeds()
    assert host_operators(graph) == []
    found = results_of(planned(optimise(graph)[0]), folder, feeds)
    assert_close(found, evaluate_graph(prepared(graph), feeds))
