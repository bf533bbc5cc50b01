"""Tests of drop_dead_nodes and drop_identity, which share their problems."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.pass_graphs import GraphBuilder, assert_same_results, kinds, prepared

from alula.engine.graph.check import check_graph
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Node
from alula.engine.passes.driver import run_node_pass
from alula.engine.passes.drop_dead_nodes import drop_dead_nodes
from alula.engine.passes.drop_identity import drop_identity


def _dropped(graph: Graph) -> Graph:
    changed, _ = run_node_pass(graph, drop_identity)
    check_graph(changed)
    return changed


def test_nodes_that_no_output_needs_go_with_their_constants() -> None:
    """What is never read must not cost time, and its weights must not be written into the plan."""
    builder = GraphBuilder()
    y = builder.node("Relu", "x")
    builder.node("Neg", builder.conv(y, 4, 4))

    graph = drop_dead_nodes(builder.build(y))

    assert kinds(graph) == ["Relu"]
    assert not graph.constants


def test_optional_outputs_that_nobody_reads_are_left_out() -> None:
    """MaxPool without positions has a fast kernel, with them it has none."""
    builder = GraphBuilder()
    graph = builder.build("y")
    pool = Node("MaxPool", ("x",), ("y", "positions"), {"kernel_shape": (2, 2)})

    (kept,) = drop_dead_nodes(replace(graph, nodes=(pool,))).nodes

    assert kept.outputs == ("y",)


def test_a_first_output_that_nobody_reads_keeps_its_place() -> None:
    """Outputs are told apart by position."""
    graph = GraphBuilder().build("positions")
    pool = Node("MaxPool", ("x",), ("y", "positions"), {"kernel_shape": (2, 2)})

    (kept,) = drop_dead_nodes(replace(graph, nodes=(pool,))).nodes

    assert kept.outputs == ("", "positions")


def test_operators_that_change_nothing_go() -> None:
    """Exporters leave them everywhere; each would cost a copy."""
    builder = GraphBuilder()
    y = builder.node("Dropout", builder.node("Identity", builder.node("Relu", "x")))
    y = builder.node("Cast", y, to=1)
    y = builder.node("Transpose", y, perm=(0, 1, 2, 3))
    y = builder.node("Reshape", y, builder.constant(np.array([0, -1, 6, 6], np.int64)))
    y = builder.node("Pad", y, builder.constant(np.zeros(8, np.int64)))
    y = builder.node("Concat", y, axis=1)
    builder.node("Neg", builder.node("Sum", y))
    source = prepared(builder.build())

    graph = _dropped(source)

    assert kinds(graph) == ["Relu", "Neg"]
    assert_same_results(graph, source, builder.feeds())


def test_operators_that_keep_the_shape_but_not_the_elements_stay() -> None:
    """An equal shape does not make an equal value."""
    builder = GraphBuilder()
    y = builder.node("Transpose", "x", perm=(0, 1, 3, 2))
    y = builder.node("Pad", y, builder.constant(np.array([0, 0, 1, 0, 0, 0, -1, 0], np.int64)))
    ends = [builder.constant(np.array([value], np.int64)) for value in (-1, -7, 3, -1)]
    y = builder.node("Slice", y, *ends)
    y = builder.node("Cast", builder.node("Cast", y, to=7), to=1)
    source = prepared(builder.build())

    graph = _dropped(source)

    assert kinds(graph) == ["Transpose", "Pad", "Slice", "Cast", "Cast"]


def test_a_dropout_that_trains_stays_to_be_refused() -> None:
    """Dropping it would hide that the model asks for something that alula does not do."""
    builder = GraphBuilder()
    training = builder.constant(np.array(True))  # noqa: FBT003  a constant of the model
    builder.node("Neg", builder.node("Dropout", "x", "", training))

    assert kinds(_dropped(prepared(builder.build()))) == ["Dropout", "Neg"]


def test_names_of_outputs_outlive_the_nodes_that_made_them() -> None:
    """Callers ask for outputs by the names that the file gives."""
    builder = GraphBuilder()
    y = builder.node("Identity", builder.node("Relu", "x"))
    source = prepared(builder.build(y))

    graph = _dropped(source)

    assert kinds(graph) == ["Relu"]
    assert graph.outputs == (y,)
    assert graph.nodes[0].output == y


@pytest.mark.parametrize("inner", ["Relu", None])
def test_an_identity_stays_where_an_output_would_have_no_node(inner: str | None) -> None:
    """Two outputs cannot be one value, and an input of the model cannot be its output."""
    builder = GraphBuilder()
    outputs = [builder.node(inner, "x")] if inner else []
    outputs.append(builder.node("Identity", outputs[0] if inner else "x"))
    source = prepared(builder.build(*outputs))

    changed, rewrites = run_node_pass(source, drop_identity)

    assert (changed, rewrites) == (source, 0)
