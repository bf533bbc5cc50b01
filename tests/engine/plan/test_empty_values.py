"""Tests of values without elements: they cost no step, and what is made of them is known before the run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from support.planned import planned, results_of

from alula.base.tensors import DType
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Array, Attribute, Node, Value
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.plan.records import HostStep, Plan
from alula.engine.sessions.reference import prepare_reference

_CONSTANTS = {
    "first": np.array([0]), "one": np.array([1]), "turn": np.array([3, -1]), "border": np.array([1, 0, 2, 0]),
    "none": np.zeros((0, 3), np.float32), "w": np.ones((3, 2), np.float32), "sizes": np.array([2, 0]),
}  # fmt: skip


def _node(op: str, inputs: str, outputs: str, **attributes: Attribute) -> Node:
    return Node(op, tuple(inputs.split()), tuple(outputs.split()), attributes)


def _results(nodes: Sequence[Node], shape: tuple[int, ...], folder: Path) -> tuple[Plan, dict[str, Array]]:
    """The plan of nodes that read x, and results that agree with the references; every value made is an output."""
    x = Value("x", DType.FLOAT32, shape)
    outputs = tuple(name for node in nodes for name in node.outputs)
    read = {name for node in nodes for name in node.inputs}
    constants = {name: array for name, array in _CONSTANTS.items() if name in read}
    graph = Graph("empty", tuple(nodes), (x,), outputs, constants, {"x": x}, {"": 22})
    feeds = {"x": np.arange(np.prod(shape), dtype=np.float32).reshape(shape)}
    plan = planned(graph)
    found, wanted = results_of(plan, folder, feeds), evaluate_graph(prepare_reference(graph), feeds)
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].shape == array.shape
    return plan, found


@pytest.mark.parametrize(
    ("node", "shape"),
    [
        (_node("Relu", "x", "y"), (0, 3)),
        (_node("Conv", "x weights", "y"), (0, 3, 5, 5)),
        (_node("MatMul", "x w", "y"), (0, 3)),
        (_node("Softmax", "x", "y", axis=1), (0, 3)),
        (_node("Transpose", "x", "y"), (0, 3)),
        (_node("Slice", "x one one", "y"), (2, 3)),
        (_node("Reshape", "x turn", "y"), (0, 3)),
        (_node("Identity", "x", "y"), (0, 3)),
        (_node("CumSum", "x first", "y"), (0, 3)),
    ],
    ids=lambda value: value.op if isinstance(value, Node) else "",
)
def test_results_without_elements_cost_no_step(
    node: Node, shape: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: they exist with their shape, and nothing runs for them."""
    monkeypatch.setitem(_CONSTANTS, "weights", np.ones((4, 3, 3, 3), np.float32))

    plan, found = _results([node], shape, tmp_path)

    assert plan.steps == ()
    assert found["y"].size == 0


@pytest.mark.parametrize(
    ("node", "shape", "wanted"),
    [
        (_node("ReduceSum", "x first", "y"), (0, 3), 0.0),
        (_node("ReduceProd", "x first", "y"), (0, 3), 1.0),
        (_node("ReduceMax", "x first", "y"), (0, 3), -np.inf),
        (_node("ReduceMin", "x first", "y"), (0, 3), np.inf),
        (_node("ReduceLogSum", "x first", "y"), (0, 3), -np.inf),
        (_node("Pad", "x border", "y"), (0, 3), 0.0),
        (_node("MatMul", "x none", "y"), (2, 0), 0.0),
    ],
    ids=lambda value: value.op if isinstance(value, Node) else "",
)
def test_what_is_made_of_no_elements_is_known_before(
    node: Node, shape: tuple[int, ...], wanted: float, tmp_path: Path
) -> None:
    """Rule: a sum of nothing is 0, a product 1, an extreme infinite; the plan only copies it."""
    plan, found = _results([node], shape, tmp_path)

    assert not any(isinstance(step, HostStep) for step in plan.steps)
    assert found["y"].size
    assert (found["y"] == wanted).all()


def test_empty_parts_leave_no_trace_in_what_joins_them(tmp_path: Path) -> None:
    """An empty value may be an output and be read by nodes whose results are not empty."""
    nodes = [
        _node("Slice", "x one one", "nothing"),
        _node("Relu", "nothing", "still"),
        _node("Split", "x sizes", "all rest", axis=0),
        _node("Concat", "still x rest none", "joined", axis=0),
    ]

    plan, found = _results(nodes, (2, 3), tmp_path)

    assert not any(isinstance(step, HostStep) for step in plan.steps)
    assert found["joined"].tolist() == [[0, 1, 2], [3, 4, 5]]
