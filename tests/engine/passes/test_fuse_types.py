"""Tests of fusion over element types: what becomes one formula, and what has to stay apart."""

from __future__ import annotations

import math

import numpy as np
import pytest
from support.fragments import after
from support.pass_graphs import GraphBuilder, assert_same_results, kinds, prepared

from alula.engine.graph.graph import Graph
from alula.engine.passes.driver import NodePass
from alula.engine.passes.fuse_chain import fuse_chain
from alula.engine.passes.fuse_convolution import fuse_convolution
from alula.engine.passes.fuse_elementwise import fuse_elementwise
from alula.engine.passes.fuse_epilogue import fuse_epilogue
from alula.engine.passes.resolve_cast_like import resolve_cast_like

_ALL = (fuse_convolution, fuse_elementwise, fuse_chain, fuse_epilogue)


def _after(builder: GraphBuilder, visits: tuple[NodePass, ...]) -> Graph:
    """The graph after some passes, checked, with the same results."""
    source = prepared(builder.build())
    graph = after(source, visits)
    assert_same_results(graph, source, builder.feeds())
    return graph


def _formulas(graph: Graph) -> list[str]:
    return [str(node.formula("formula")) for node in graph.nodes if node.op == "Elementwise"]


@pytest.mark.parametrize("op", ["Exp", "Tanh", "Sin"])
def test_what_no_formula_expresses_stays(op: str) -> None:
    """There is no primitive for functions of float64; the reference computes them then."""
    builder = GraphBuilder()
    builder.node(op, builder.node("Cast", "x", to=11))

    assert kinds(_after(builder, (fuse_elementwise,))) == ["Elementwise", op]


def test_integers_are_computed_as_integers() -> None:
    """In float32 an index above 2^24 would come out wrong."""
    builder = GraphBuilder()
    index = builder.node("ArgMax", "x", axis=1)
    builder.node("Add", index, builder.constant(np.array(2**40 + 1, np.int64)))

    graph = _after(builder, (fuse_elementwise,))

    assert kinds(graph) == ["ArgMax", "Elementwise"]
    assert _formulas(graph) == [f"r0: int64; r1 = add(r0, {2**40 + 1})"]


def test_casts_go_into_the_loop_of_what_follows() -> None:
    """Dequantisation, arithmetic and quantisation as exporters write them read bytes and write bytes, once."""
    builder = GraphBuilder()
    code = builder.node("Cast", "x", to=3)
    wide = builder.node("Mul", builder.node("Cast", code, to=1), builder.constant(0.5))
    builder.node("Cast", builder.node("Round", builder.node("Add", wide, builder.constant(3))), to=3)

    graph = _after(builder, (fuse_elementwise, fuse_chain))

    (formula,) = _formulas(graph)
    assert formula == (
        "r1 = cast(r0, int8); r2 = cast(r1, float32); r3 = mul(r2, 0.5); r4 = add(r3, 3.0); r5 = round(r4); "
        "r6 = cast(r5, int8)"
    )


@pytest.mark.parametrize("number", [math.nan, -0.0])
def test_numbers_that_do_not_compare_stay_inputs(number: float) -> None:
    """Formulas are keys: NaN differs from itself, and -0.0 is equal to 0.0, which is another number."""
    builder = GraphBuilder()
    builder.node("Max", "x", builder.constant(number))

    assert _after(builder, (fuse_elementwise,)).nodes[0].inputs == ("x", "c0")


def test_a_choice_between_numbers_has_their_type() -> None:
    """Masks are added to scores as 0 and a large negative number."""
    builder = GraphBuilder()
    mask = builder.node("Less", "x", builder.constant(0))
    builder.node("Where", mask, builder.constant(0), builder.constant(np.array(-1e9, np.float32)))

    graph = _after(builder, (fuse_elementwise, fuse_chain))

    assert _formulas(graph) == ["r1 = lt(r0, 0.0); r2 = select(r1, 0.0, -1000000000.0)"]


def test_the_type_of_another_value_is_named() -> None:
    """CastLike is a Cast as soon as types are known; its second input need not even have a shape that fits."""
    builder = GraphBuilder()
    builder.node("CastLike", builder.node("Neg", "x"), builder.constant(np.array([1, 2, 3], np.int64)))

    graph = _after(builder, (resolve_cast_like, fuse_elementwise, fuse_chain))

    assert kinds(graph) == ["Elementwise"]
    assert _formulas(graph) == ["r1 = neg(r0); r2 = cast(r1, int64)"]


@pytest.mark.parametrize("to", [10, 9, 6])
def test_what_leaves_float32_stays_outside_of_a_convolution(to: int) -> None:
    """Its kernel stores float32; the cast is the first step of the loop after it."""
    builder = GraphBuilder()
    builder.node("Cast", builder.node("Relu", builder.conv("x", 4, 4)), to=to)

    graph = _after(builder, _ALL)

    assert kinds(graph) == ["FusedConv", "Elementwise"]


def test_a_choice_inside_float32_goes_into_the_epilogue() -> None:
    """What is between register 0 and the result is the formula's own affair."""
    builder = GraphBuilder()
    y = builder.conv("x", 4, 4)
    builder.node("Where", builder.node("Less", y, builder.constant(0)), builder.node("Neg", y), y)

    assert kinds(_after(builder, _ALL)) == ["FusedConv"]


@pytest.mark.parametrize("op", ["Max", "Sum", "Clip"])
def test_an_operator_that_changes_nothing_is_a_copy_where_an_output_needs_it(op: str) -> None:
    """A model that gives its input back still needs memory of its own for it, and no host."""
    builder = GraphBuilder()
    builder.node(op, "x")

    assert kinds(_after(builder, (fuse_elementwise,))) == ["Elementwise"]
