"""The engine from end to end: random networks through all stages, on every target that this processor has."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from support.convnets import ConvNet, conv_nets
from support.pass_graphs import prepared
from support.planned import assert_close, planned, results_of
from support.plans import RUNNABLE

from alula.engine.graph.graph import Graph
from alula.engine.kernels.target import Target
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.plan.planner import PlanOptions


@pytest.mark.parametrize("target", RUNNABLE, ids=lambda target: target.name)
@settings(max_examples=25, deadline=None)
@given(situation=conv_nets())
def test_any_network_computes_what_its_references_compute(situation: tuple[ConvNet, Graph], target: Target) -> None:
    """Rule: within rounding of the references; the same bits on each run, with any number of threads."""
    net, source = situation
    feeds = net.feeds()
    plan = planned(source, target)

    with tempfile.TemporaryDirectory() as folder:
        found = results_of(plan, Path(folder), feeds, threads=1)
        shared = results_of(plan, Path(folder), feeds, threads=2)

    assert_close(found, evaluate_graph(prepared(source), feeds))
    assert {name: array.tobytes() for name, array in shared.items()} == {n: a.tobytes() for n, a in found.items()}


@settings(max_examples=10, deadline=None)
@given(conv_nets())
def test_sharing_memory_changes_no_bit(situation: tuple[ConvNet, Graph]) -> None:
    """Rule: where values lie in memory is nobody's business but the planner's."""
    net, source = situation
    feeds = net.feeds()

    with tempfile.TemporaryDirectory() as folder:
        shared = results_of(planned(source), Path(folder), feeds)
        apart = results_of(planned(source, options=PlanOptions(reuse=False)), Path(folder), feeds)

    assert {name: array.tobytes() for name, array in shared.items()} == {n: a.tobytes() for n, a in apart.items()}
