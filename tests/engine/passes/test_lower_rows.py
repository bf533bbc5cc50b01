"""Einsum, rare normalisations and known conditions: what they become, and what stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.pass_graphs import GraphBuilder, assert_same_results, kinds, prepared

from alula.engine.graph.check import check_graph
from alula.engine.graph.graph import Graph
from alula.engine.passes.driver import NodePass, run_node_pass
from alula.engine.passes.lower_einsum import lower_einsum
from alula.engine.passes.lower_norms import lower_norms
from alula.engine.passes.lower_picks import lower_picks


def after(builder: GraphBuilder, visit: NodePass) -> Graph:
    """The graph after the pass, checked, with the same results."""
    before = prepared(builder.build())
    graph, _ = run_node_pass(before, visit)
    check_graph(graph, visit.__name__)
    assert_same_results(graph, before, builder.feeds())
    return graph


@pytest.mark.parametrize(("shape", "equation", "others", "wanted"), [
    ((2, 3, 5, 4), "bhqd,bhkd->bhqk", [(2, 3, 7, 4)], ["Transpose", "MatMul"]),
    ((3, 4), "ij,jk->ik", [(4, 5)], ["MatMul"]),
    ((3, 4), "ij,jk,kl->il", [(4, 5), (5, 2)], ["MatMul", "MatMul"]),
    ((3, 4), "ij,ij->ij", [(3, 4)], ["Mul"]),
    ((3, 4), "ij->ji", [], ["Transpose"]),
    ((3, 4), "ij->j", [], ["ReduceSum"]),
    ((3, 4), "ij->ij", [], ["Identity"]),
    ((3, 3), "ii->i", [], ["Reshape", "Gather"]),
    ((3,), "i,j->ij", [(4,)], ["Reshape", "Mul"]),
])  # fmt: skip
def test_an_equation_costs_no_more_than_it_has_to(
    shape: tuple[int, ...], equation: str, others: list[tuple[int, ...]], wanted: list[str]
) -> None:
    """Rule: no transposition that changes nothing, no product where there is nothing to sum."""
    b = GraphBuilder(shape=shape)
    b.node("Einsum", "x", *(b.normal(*other) for other in others), equation=equation)

    assert kinds(after(b, lower_einsum)) == wanted


def test_labels_are_summed_before_they_are_multiplied() -> None:
    """Rule: a label that one side alone has, and nobody wants, is gone before the product."""
    b = GraphBuilder(shape=(3, 4))
    b.node("Einsum", "x", b.normal(5, 6), equation="ij,kl->jk")

    assert kinds(after(b, lower_einsum)).count("ReduceSum") == 2


@pytest.mark.parametrize(("columns", "wanted"), [(2, ["Reshape", "Transpose", "Reshape", "Mul", "ReduceSum"]),
                                                (1 << 19, ["Einsum"])], ids=["few", "many"])  # fmt: skip
def test_sums_over_other_numbers_are_written_out(columns: int, wanted: list[str]) -> None:
    """Rule: products of matrices have kernels for float32 only; others store each product, if those are not many."""
    b = GraphBuilder(shape=(3, 4))
    b.node("Einsum", b.node("Cast", "x", to=7), b.constant(np.ones((4, columns), np.int64)), equation="ij,jk->ik")

    assert kinds(after(b, lower_einsum)) == ["Cast", *wanted]


@pytest.mark.parametrize(("op", "attributes", "wanted"), [
    ("MeanVarianceNormalization", {}, ["ReduceMean", "Sub", "Mul", "ReduceMean", "Sqrt", "Add", "Div"]),
    ("LpNormalization", {"p": 1, "axis": 1}, ["ReduceL1", "Max", "Div"]),
    ("LpNormalization", {}, ["ReduceL2", "Max", "Div"]),
])  # fmt: skip
def test_a_normalisation_is_reductions_and_formulas(op: str, attributes: dict[str, Any], wanted: list[str]) -> None:
    """Rule: the steps of the definition."""
    b = GraphBuilder()
    b.node(op, "x", **attributes)

    assert kinds(after(b, lower_norms)) == wanted


def test_the_winner_of_an_axis_is_one_hot() -> None:
    """Rule: the place first, then a row with one place on."""
    b = GraphBuilder()
    b.node("Hardmax", "x", axis=1)

    assert kinds(after(b, lower_picks)) == ["ArgMax", "OneHot"]


def test_a_condition_that_is_known_is_a_gather() -> None:
    """Rule: without an axis, of all elements in one row."""
    b = GraphBuilder()
    condition = b.constant(np.array([False, True, True]))
    b.node("Compress", b.node("Compress", "x", condition, axis=-1), condition)

    assert kinds(after(b, lower_picks)) == ["Gather", "Reshape", "Gather"]


def test_a_computed_condition_stays() -> None:
    """Rule: it gives a size that depends on data."""
    b = GraphBuilder(shape=(4,))
    b.node("Compress", "x", b.node("Greater", "x", b.constant(0)), axis=0)

    assert kinds(after(b, lower_picks))[-1] == "Compress"


def test_a_condition_that_keeps_nothing_leaves_nothing_to_do() -> None:
    """Rule: what has no elements is known before the run."""
    b = GraphBuilder(shape=(4,))
    y = b.node("Compress", "x", b.constant(np.zeros(4, bool)), axis=0)

    graph = after(b, lower_picks)

    assert (kinds(graph), graph.value(y).shape) == (["Identity"], (0,))
