from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from support.convnets import ConvNet, conv_nets
from support.pass_graphs import GraphBuilder, prepared

from alula.base.settings import read_settings
from alula.engine.graph.graph import Graph
from alula.engine.importers.onnx_write import write_onnx
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.operators.table import NEWEST_OPSET
from alula.engine.sessions.compiler import CompileOptions, optimise_model
from alula.workbench.check import check_model, check_steps, native_values
from alula.workbench.second_opinion import second_opinion

OPTIONS = CompileOptions(jobs=1)


def net() -> GraphBuilder:
    """Five convolutions in a row, each behind the other."""
    b = GraphBuilder(shape=(1, 3, 8, 8))
    x = b.conv("x", 3, 20)
    for _ in range(4):
        x = b.conv(b.node("Relu", x), 20, 20)
    b.node("Softmax", b.node("Flatten", b.node("GlobalAveragePool", x)), axis=-1)
    return b


def saved(graph: Graph, folder: Path) -> Path:
    """The graph as a file."""
    known = prepared(graph).values
    path = folder / "model.onnx"
    write_onnx(replace(graph, values={**{n: known[n] for n in graph.outputs}, **graph.values}), path, NEWEST_OPSET)
    return path


def test_a_right_model_has_no_wrong_step(tmp_path: Path) -> None:
    """Every step is compared, blocks and rows alike, and the outputs with the model as the file says it."""
    result = check_model(saved(net().build(), tmp_path), OPTIONS)

    assert result.first_wrong is None
    ops = [step.op for step in result.steps]
    assert ops.count("FusedConv") == 5
    assert ops[-1] == "Softmax"
    assert [step.label for step in result.outputs] == ["v11"]
    assert max(step.error for step in result.steps) > 0


@settings(max_examples=12, deadline=None)
@given(conv_nets())
def test_right_networks_are_never_accused(situation: tuple[ConvNet, Graph]) -> None:
    """A tolerance that is too tight cries wolf; the allowance follows the length of the sums."""
    made, source = situation
    graph, _ = optimise_model(source, OPTIONS)
    feeds = made.feeds()

    steps = check_steps(graph, native_values(graph, OPTIONS, feeds), evaluate_graph(prepared(source), feeds, keep=True))

    assert [step for step in steps if not step.agrees] == []
    assert len(steps) > 0


@pytest.mark.parametrize("broken", [0, 2, 4])
def test_the_first_wrong_step_is_named(broken: int) -> None:
    """Later steps, which compute rightly on wrong inputs, are not to blame.

    The plan is made of other weights than the model's, which is what a kernel that reads wrong ones would compute.
    """
    builder = net()
    graph, _ = optimise_model(builder.build(), OPTIONS)
    feeds = builder.feeds()
    node = [node for node in graph.nodes if node.op == "FusedConv"][broken]
    weights = graph.constants[node.inputs[1]].copy()
    weights[7, 1, 1, 1] += 0.5
    altered = replace(graph, constants={**graph.constants, node.inputs[1]: weights})
    truth = evaluate_graph(prepared(builder.build()), feeds, keep=True)

    steps = check_steps(graph, native_values(altered, OPTIONS, feeds), truth)

    assert [step.label for step in steps if not step.agrees] == [node.label]
    drifts = [step.drift for step in steps if step.op == "FusedConv" and step.drift is not None]
    assert all(drift < 1e-4 for drift in drifts[:broken])


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_wrong_where_the_reference_has_some(number: float) -> None:
    """A comparison with NaN is never true: it must count as a difference."""
    builder = net()
    graph, _ = optimise_model(builder.build(), OPTIONS)
    feeds = builder.feeds()
    found = dict(native_values(graph, OPTIONS, feeds))
    label = graph.nodes[-1].label
    found[graph.nodes[-1].output] = np.full_like(found[graph.nodes[-1].output], number)

    steps = check_steps(graph, found, evaluate_graph(prepared(builder.build()), feeds, keep=True))

    assert [(step.label, step.error) for step in steps if not step.agrees] == [(label, float("inf"))]


def test_another_engine_gives_a_second_opinion(tmp_path: Path) -> None:
    """Both answer to the same inputs; the number is their largest difference."""
    pytest.importorskip("onnxruntime")
    b = GraphBuilder(shape=(1, 3, 8, 8))
    b.node("Relu", b.conv("x", 3, 20))
    path = tmp_path / "model.onnx"
    known = prepared(b.build()).values
    write_onnx(replace(b.build(), values={"v1": known["v1"], **b.build().values}), path, 21)
    chosen = read_settings({"ALULA_CACHE": str(tmp_path / "cache"), "ALULA_JOBS": "1", "ALULA_THREADS": "1"})

    difference = second_opinion(path, chosen, {}, b.feeds())

    assert difference is not None
    assert 0 <= difference < 1e-4
