"""Forms of products, convolutions and windows that few models have run in generated code too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from contract.test_operator_problems import as_graph
from support.planned import planned, results_of
from support.problem import Problem, problem, reals
from support.problems_products import PROBLEMS

from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.plan.records import HostStep
from alula.engine.sessions.reference import prepare_reference


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_every_form_has_a_kernel(problem: Problem) -> None:
    """Rule: no step of them runs through its reference."""
    graph, _ = as_graph(problem)

    plan = planned(graph)

    assert [step.reason for step in plan.steps if isinstance(step, HostStep)] == []


def test_a_nan_is_the_largest_of_its_window(tmp_path: Path) -> None:
    """Rule: as in numpy and in the kernel of blocks; its place is told."""
    x = np.where(reals(1, 2, 5, 6) > 2, np.nan, reals(1, 2, 5, 6)).astype(np.float32)
    graph, feeds = as_graph(problem("MaxPool", x, kernel_shape=(2, 2), outputs=2))

    found = results_of(planned(graph), tmp_path, feeds)

    for name, array in evaluate_graph(prepare_reference(graph), feeds).items():
        np.testing.assert_array_equal(found[name], array)
