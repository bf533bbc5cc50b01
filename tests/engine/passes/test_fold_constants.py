from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.pass_graphs import GraphBuilder, assert_same_results, kinds

from alula.base.errors import ShapeError
from alula.engine.graph.check import check_graph
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.passes.fold_constants import fold_constants


def test_weights_made_by_nodes_become_constants() -> None:
    """Some files describe their weights by one number; kernels are chosen for constant weights only."""
    builder = GraphBuilder()
    shape = builder.constant(np.array([4, 4, 1, 1], np.int64))
    weights = builder.node("ConstantOfShape", shape, value=np.array([0.5], np.float32))
    builder.node("Conv", "x", weights)

    graph = fold_constants(builder.build())

    assert kinds(graph) == ["Conv"]
    assert graph.constants[weights].shape == (4, 4, 1, 1)
    assert list(graph.constants) == [weights]


def test_arithmetic_on_shapes_is_done_before_the_run() -> None:
    """Exporters write Reshape as Shape, Gather, Concat: five steps that know their answer."""
    builder = GraphBuilder()
    batch = builder.node("Gather", builder.node("Shape", "x"), builder.constant(np.array([0], np.int64)))
    wanted = builder.node("Concat", batch, builder.constant(np.array([-1], np.int64)), axis=0)
    y = builder.node("Reshape", "x", wanted)

    graph = fold_constants(builder.build())

    assert kinds(graph) == ["Reshape"]
    assert graph.constants[wanted].tolist() == [1, -1]
    assert graph.value(y).shape == (1, 144)


def test_every_value_gets_its_dtype_and_shape() -> None:
    """Layouts, kernels and memory are decided by them."""
    builder = GraphBuilder()
    pooled = builder.node("MaxPool", "x", kernel_shape=(2, 2), strides=(2, 2))
    index = builder.node("ArgMax", pooled, axis=1, keepdims=0)

    graph = fold_constants(builder.build())

    assert str(graph.value(pooled)) == f"%{pooled} float32 [1, 4, 3, 3]"
    assert str(graph.value(index)) == f"%{index} int64 [1, 3, 3]"


def test_shapes_that_clash_name_the_node() -> None:
    """The first place that cannot be right is where the search begins."""
    builder = GraphBuilder()
    builder.node("Add", "x", builder.normal(5))

    with pytest.raises(ShapeError, match=r"add0 \(Add\)"):
        fold_constants(builder.build())


def test_an_output_that_is_constant_is_still_made_by_a_node() -> None:
    """Plans fill the caller's memory by steps; a constant has none."""
    builder = GraphBuilder()
    ones = builder.node("Neg", builder.constant(np.array([1.0, 2.0], np.float32)))
    builder.node("Add", "x", builder.node("ReduceSum", ones, keepdims=0))
    source = builder.build(ones, builder.nodes[-1].output)

    graph = fold_constants(source)

    check_graph(graph)
    assert kinds(graph) == ["Identity", "Add"]
    assert evaluate_graph(graph, builder.feeds())[ones].tolist() == [-1.0, -2.0]
    assert_same_results(graph, source, builder.feeds())


def test_what_would_grow_the_model_too_much_is_left_to_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attack: a few bytes of file that fold into gigabytes of constants."""
    monkeypatch.setattr("alula.engine.passes.fold_constants.MOST_GROWTH", 1000)
    monkeypatch.setattr("alula.engine.passes.fold_constants.MOST_INFLATED", 5000)
    builder = GraphBuilder()
    small = builder.node("ConstantOfShape", builder.constant(np.array([1000], np.int64)))
    large = builder.node("ConstantOfShape", builder.constant(np.array([2000], np.int64)))
    tiled = builder.node("Tile", builder.constant(np.ones(3, np.float32)), builder.constant(np.array([100], np.int64)))
    short = builder.node("Neg", builder.constant(np.ones(200, np.float32)))

    graph = fold_constants(builder.build(large, tiled, short, small))

    assert kinds(graph) == ["Identity", "Identity", "ConstantOfShape", "Tile"]
    assert graph.value(large).shape == (2000,)
    assert graph.value(tiled).shape == (300,)


def test_constants_of_the_file_are_not_copied() -> None:
    """Weights view the mapped file; a copy would double the memory of a large model."""
    builder = GraphBuilder()
    builder.conv("x", 4, 4)
    source = builder.build()

    graph = fold_constants(replace(source))

    assert all(graph.constants[name] is array for name, array in source.constants.items())


def test_random_numbers_are_drawn_by_the_run() -> None:
    """Drawn beforehand, every run would see the same ones."""
    builder = GraphBuilder()
    noise = builder.node("RandomNormal", shape=(1, 4, 6, 6))
    builder.node("Add", "x", noise)

    graph = fold_constants(builder.build())

    assert kinds(graph) == ["RandomNormal", "Add"]


def test_a_constant_takes_the_type_of_a_value_that_the_walk_has_met() -> None:
    """Function bodies of the standard write their numbers as CastLike of a constant and an inner value."""
    builder = GraphBuilder()
    inner = builder.node("Neg", "x")
    one = builder.node("CastLike", builder.constant(np.array(1.0)), inner)
    builder.node("Add", inner, one)

    graph = fold_constants(builder.build())

    assert kinds(graph) == ["Neg", "Add"]
    assert graph.constants[one].dtype == np.float32
