from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.pass_graphs import GraphBuilder, assert_same_results, chains, kinds, networks, prepared

from alula.base.errors import RequestError
from alula.engine.graph.check import check_graph
from alula.engine.passes.driver import run_pass
from alula.engine.passes.order import PASSES, PassOptions, optimise


@settings(max_examples=250, deadline=None)
@given(networks(), st.data())
def test_no_pass_changes_what_a_network_computes(builder: GraphBuilder, data: st.DataObject) -> None:
    """A pass makes a graph cheaper, never different; outputs keep their names, also in the middle of the graph."""
    names = [node.output for node in builder.nodes]
    shown = data.draw(st.lists(st.sampled_from(names), unique=True, max_size=2))
    source = builder.build(*dict.fromkeys([*shown, names[-1]]))
    feeds, truth, graph = builder.feeds(), prepared(source), source

    for step in PASSES:
        graph, _ = run_pass(graph, step, PassOptions(check=True))

        assert_same_results(graph, truth, feeds, after=step.name)


@settings(max_examples=80, deadline=None)
@given(chains(), st.lists(st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0]), min_size=24, max_size=24))
def test_nan_and_infinity_go_through_fused_chains_as_through_single_steps(
    builder: GraphBuilder, numbers: list[float]
) -> None:
    """Fusing must not turn a NaN into a number that looks right."""
    source = builder.build()
    feeds = {"x": np.array(numbers, np.float32).reshape(2, 3, 4)}

    graph, _ = optimise(source, PassOptions(check=True))

    assert_same_results(graph, prepared(source), feeds)


def test_shapes_and_dtypes_of_all_values_are_known_after_all_passes() -> None:
    """Layouts and plans read them; a pass that forgets to record one breaks both."""
    builder = GraphBuilder()
    y = builder.batch_norm(builder.conv("x", 4, 8), 8)
    builder.node("Softmax", builder.node("Flatten", builder.node("Relu", builder.batch_norm(y, 8))))

    graph, _ = optimise(builder.build())

    mentioned = {name for node in graph.nodes for name in (*node.inputs, *node.outputs)}
    assert all(graph.values[name].shape is not None for name in mentioned)
    assert all(graph.values[name].shape == array.shape for name, array in graph.constants.items())


@pytest.mark.parametrize("name", [step.name for step in PASSES if not step.required])
def test_a_disabled_pass_does_not_run_and_the_rest_stays_right(name: str) -> None:
    """Leaving a pass out is how one finds which of them is to blame."""
    builder = GraphBuilder()
    y = builder.node("Relu", builder.batch_norm(builder.conv("x", 4, 4), 4))
    z = builder.node("Identity", builder.node("MaxPool", y, kernel_shape=(2, 2), auto_pad="SAME_UPPER"))
    builder.node("Add", z, builder.constant(1.0))
    source = builder.build()

    graph, reports = optimise(source, PassOptions(disable=frozenset({name}), check=True))

    assert [report.name for report in reports] == [step.name for step in PASSES if step.name != name]
    assert_same_results(graph, prepared(source), builder.feeds())


@pytest.mark.parametrize("name", ["fold_batchnorm", "fold_constants"])
def test_passes_that_do_not_exist_or_that_others_build_on_cannot_be_disabled(name: str) -> None:
    """A misspelt name must not silently disable nothing."""
    with pytest.raises(RequestError, match="fold_batch_norm"):
        optimise(GraphBuilder().build("x"), PassOptions(disable=frozenset({name})))


def test_reports_count_the_rewrites_of_each_pass() -> None:
    """The report is how one sees that a pass found something to do."""
    builder = GraphBuilder()
    builder.node("Relu", builder.batch_norm(builder.conv("x", 4, 4), 4))

    _, reports = optimise(builder.build())

    found = {report.name: report.rewrites for report in reports if report.rewrites}
    assert found == {"fold_batch_norm": 1, "fuse_convolution": 1, "fuse_elementwise": 1, "fuse_epilogue": 1}


def test_a_chain_of_thousands_of_nodes_is_fused_in_steps_of_limited_length() -> None:
    """A generated model may be long: no pass may copy what it has merged so far again and again."""
    builder = GraphBuilder(shape=(4,))
    x = "x"
    for index in range(3000):
        x = builder.node(("Add", "Mul")[index % 2], x, builder.constant(1.0 + index % 2 * 1e-3))
    source = builder.build()

    graph, _ = optimise(source)

    check_graph(graph)
    assert len(graph.nodes) == -(-3000 // 32)
    assert_same_results(graph, prepared(source), builder.feeds())


def test_optimising_twice_changes_nothing_more() -> None:
    """Passes find everything in one run; what they write, they leave alone."""
    builder = GraphBuilder()
    y = builder.conv("x", 4, 4)
    builder.node("Relu", builder.node("Add", builder.batch_norm(y, 4), y))
    once, _ = optimise(builder.build())

    twice, reports = optimise(once)

    assert kinds(twice) == kinds(once)
    assert not any(report.rewrites for report in reports)
