"""Forms of products, convolutions and windows that few models have run in generated code too."""

from __future__ import annotations

import pytest
from contract.test_operator_problems import as_graph
from support.planned import planned
from support.problem import Problem
from support.problems_products import PROBLEMS

from alula.engine.plan.records import HostStep


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_every_form_has_a_kernel(problem: Problem) -> None:
    """Rule: no step of them runs through its reference."""
    graph, _ = as_graph(problem)

    plan = planned(graph)

    assert [step.reason for step in plan.steps if isinstance(step, HostStep)] == []
