"""Reductions over rows and columns become poolings."""

from __future__ import annotations

import numpy as np
import pytest
from support.pass_graphs import GraphBuilder, assert_same_results, kinds, prepared

from alula.engine.graph.check import check_graph
from alula.engine.graph.graph import Graph
from alula.engine.passes.driver import run_node_pass
from alula.engine.passes.reduce_to_global_pool import reduce_to_global_pool


def rewritten(builder: GraphBuilder) -> tuple[Graph, Graph]:
    """The graph before and after the pass, checked."""
    before = prepared(builder.build())
    after, _ = run_node_pass(before, reduce_to_global_pool)
    check_graph(after, after="reduce_to_global_pool")
    return before, after


@pytest.mark.parametrize(("op", "pool"), [("ReduceMean", "GlobalAveragePool"), ("ReduceMax", "GlobalMaxPool")])
@pytest.mark.parametrize("keep", [0, 1])
def test_a_reduction_of_a_picture_is_a_pooling(op: str, pool: str, keep: int) -> None:
    """Rule: the axes may be counted from the back, and go or stay."""
    b = GraphBuilder()
    b.node(op, "x", b.constant(np.array([-1, 2])), keepdims=keep)

    before, after = rewritten(b)

    assert kinds(after) == ([pool] if keep else [pool, "Flatten"])
    assert_same_results(after, before, b.feeds())


@pytest.mark.parametrize(("shape", "axes", "op"), [
    ((1, 4, 6, 6), (1, 2), "ReduceMean"),
    ((1, 4, 6, 6), (2,), "ReduceMean"),
    ((1, 4, 6), (1, 2), "ReduceMean"),
    ((1, 4, 6, 6), (2, 3), "ReduceSum"),
])  # fmt: skip
def test_other_reductions_stay(shape: tuple[int, ...], axes: tuple[int, ...], op: str) -> None:
    """Rule: other axes, ranks and kinds are no poolings."""
    b = GraphBuilder(shape=shape)
    b.node(op, "x", b.constant(np.array(axes)))

    _, after = rewritten(b)

    assert kinds(after) == [op]


def test_the_maximum_of_nothing_is_known_before_the_run() -> None:
    """Rule: no pool is written for maps without pixels; the result is a constant."""
    b = GraphBuilder(shape=(1, 4, 0, 6))
    b.node("ReduceMax", "x", b.constant(np.array([2, 3])))

    before, after = rewritten(b)

    assert kinds(after) == ["Identity"]
    assert_same_results(after, before, b.feeds())


def test_all_axes_are_no_pooling() -> None:
    """Rule: left-out axes are all of them."""
    b = GraphBuilder()
    b.node("ReduceMean", "x")

    assert kinds(rewritten(b)[1]) == ["ReduceMean"]
