"""Every pass on every form of every operator: nothing may break, and nothing may change."""

from __future__ import annotations

import numpy as np
import pytest
from support.operator_problems import PROBLEMS
from support.pass_graphs import prepared
from support.problem import Problem

from alula.base.errors import AlulaError
from alula.engine.graph.check import check_graph
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Node, Value
from alula.engine.graph.numpy_dtypes import EXTENDED, dtype_of
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.passes.order import PASSES, PassOptions
from alula.engine.passes.upgrade_operators import upgrade_operators

_OPTIONAL = tuple(step for step in PASSES if not step.required)


def _graph(problem: Problem) -> Graph:
    """The node alone, all of its inputs fed."""
    names = tuple("" if array is None else f"x{index}" for index, array in enumerate(problem.inputs))
    inputs = tuple(
        Value(name, dtype_of(array), array.shape)
        for name, array in zip(names, problem.inputs, strict=True)
        if array is not None
    )
    outputs = tuple(f"y{index}" for index in range(problem.outputs))
    node = Node(problem.op, names, outputs, dict(problem.attributes), "node")
    return Graph("one", (node,), inputs, outputs, {}, {value.name: value for value in inputs}, {"": problem.opset})


def _with_constants(graph: Graph, problem: Problem) -> Graph:
    """All but the first input constant, as weights and axes are."""
    arrays = {f"x{i}": array for i, array in enumerate(problem.inputs) if array is not None}
    first = graph.inputs[0].name if graph.inputs else ""
    constants = {name: array for name, array in arrays.items() if name != first}
    return Graph(graph.name, graph.nodes, graph.inputs[:1], graph.outputs, constants, graph.values, graph.opsets)


def _unknown(graph: Graph) -> Graph:
    """Nothing known of any value."""
    return Graph(
        graph.name, graph.nodes, graph.inputs, graph.outputs, graph.constants,
        {value.name: Value(value.name, value.dtype, None) for value in graph.inputs}, graph.opsets,
    )  # fmt: skip


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_no_pass_breaks_or_changes_a_node(problem: Problem) -> None:
    """Passes meet integers, empty tensors, scalars and values of unknown shape: they let them be, or are right."""
    feeds = {f"x{i}": array for i, array in enumerate(problem.inputs) if array is not None}
    whole = _graph(problem)
    try:
        newest = upgrade_operators(whole)
        truth = evaluate_graph(newest, feeds)
    except AlulaError:
        pytest.skip("a form that is refused")

    for graph in (prepared(whole), prepared(_with_constants(whole, problem)), _unknown(newest)):
        known = set(graph.constants) | {value.name for value in graph.inputs}
        found = graph
        for step in _OPTIONAL:
            found, _ = step.run(found, PassOptions())
            check_graph(found, step.name)
        results = evaluate_graph(found, {name: array for name, array in feeds.items() if name in known})
        for name, array in truth.items():
            _assert_close(results[name], array)


def _assert_close(found: object, wanted: object) -> None:
    if isinstance(wanted, np.ndarray) and (wanted.dtype.kind == "f" or dtype_of(wanted) in EXTENDED):
        wide = (np.asarray(found, np.float64), np.asarray(wanted, np.float64))
        np.testing.assert_allclose(*wide, rtol=1e-4, atol=1e-5)
    else:
        np.testing.assert_array_equal(np.asarray(found), np.asarray(wanted))
