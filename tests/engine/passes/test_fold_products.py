"""Tests of fold_columns and fold_factor: what stands before and behind products, worked into their weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from support.pass_graphs import GraphBuilder, assert_same_results, kinds, prepared

from alula.engine.graph.graph import Graph
from alula.engine.passes.driver import PassOptions, run_node_pass
from alula.engine.passes.fold_columns import fold_columns
from alula.engine.passes.fold_factor import fold_factor
from alula.engine.passes.fuse_matmul import fuse_matmul
from alula.engine.passes.order import optimise

Write = Callable[[GraphBuilder], str]
_TOKENS = (2, 5, 6)
_PICTURE = (2, 6, 5, 4)


def _after(graph: Graph) -> Graph:
    for visit in (fuse_matmul, fold_columns, fold_factor):
        graph, _ = run_node_pass(graph, visit, repeat=True)
    return graph


def _of(write: Write, shape: tuple[int, ...], *shown: str) -> tuple[Graph, Graph]:
    """Before and after; results must be the same."""
    b = GraphBuilder(shape=shape)
    last = write(b)
    before = prepared(b.build(*shown, last))
    after = _after(before)
    assert_same_results(after, before, b.feeds())
    return before, after


def _linear(b: GraphBuilder, x: str = "x", inputs: int = 6, outputs: int = 8, *, bias: bool = True) -> str:
    y = b.node("MatMul", x, b.normal(inputs, outputs))
    return b.node("Add", y, b.normal(outputs)) if bias else y


_BEHIND: dict[str, Write] = {
    "layer scale": lambda b: b.node("Mul", _linear(b), b.positive(8)),
    "layer scale first": lambda b: b.node("Mul", b.positive(1, 1, 8), _linear(b)),
    "number": lambda b: b.node("Div", _linear(b, bias=False), b.constant(3)),
    "row of divisors": lambda b: b.node("Div", _linear(b), b.positive(8)),
    "term behind a bias": lambda b: b.node("Add", _linear(b), b.normal(8)),
    "difference": lambda b: b.node("Sub", b.normal(8), b.node("Sub", _linear(b), b.constant(2))),
    "both": lambda b: b.node("Add", b.node("Mul", _linear(b), b.positive(8)), b.normal(8)),
}
_BEFORE: dict[str, Write] = {
    "row": lambda b: _linear(b, b.node("Mul", "x", b.positive(6))),
    "row first": lambda b: _linear(b, b.node("Mul", b.positive(1, 6), "x")),
    "number": lambda b: _linear(b, b.node("Div", "x", b.constant(8)), bias=False),
    "two": lambda b: _linear(b, b.node("Mul", b.node("Div", "x", b.positive(6)), b.constant(2))),
}
_GEMMS: dict[str, Write] = {
    "transposed weights": lambda b: b.node("Gemm", b.node("Mul", "x", b.positive(6)), b.normal(8, 6), transB=1),
    "scaled columns": lambda b: b.node(
        "Mul", b.node("Gemm", "x", b.normal(8, 6), b.normal(8), transB=1), b.positive(8)
    ),
    "scaled bias": lambda b: b.node("Mul", b.node("Gemm", "x", b.normal(6, 8), b.normal(8), beta=0.5), b.positive(8)),
}


@pytest.mark.parametrize("form", sorted(_BEHIND))
def test_what_follows_by_column_goes_into_weights_and_bias(form: str) -> None:
    """Rule: a product and constants behind it are one product."""
    _, after = _of(_BEHIND[form], _TOKENS)

    assert kinds(after) == ["FusedMatMul"]


@pytest.mark.parametrize("form", sorted(_BEFORE))
def test_factors_of_what_is_read_go_into_the_rows_of_weights(form: str) -> None:
    """Rule: a product of a scaled row is a product with scaled weights."""
    _, after = _of(_BEFORE[form], _TOKENS)

    assert kinds(after) == ["FusedMatMul"]


@pytest.mark.parametrize("form", sorted(_GEMMS))
def test_weights_may_be_stored_the_other_way_round(form: str) -> None:
    """Rule: rows of a transposed matrix are its columns."""
    _, after = _of(_GEMMS[form], (5, 6))

    assert kinds(after) == ["FusedMatMul"]


@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (1, 1, 1, 1)])
@pytest.mark.parametrize("group", [1, 2, 6])
@pytest.mark.parametrize("shape", [(1, 6, 1, 1), (6, 1, 1), ()], ids=str)
def test_factors_before_a_convolution_go_into_its_weights(
    shape: tuple[int, ...], group: int, pads: tuple[int, ...]
) -> None:
    """Rule: by channel or one for all, under any grouping; padding is 0 with and without the factor."""

    def write(b: GraphBuilder) -> str:
        scaled = b.node("Mul", "x", b.positive(*shape))
        return b.conv(scaled, 6, 12, 3, group=group, pads=pads)

    _, after = _of(write, _PICTURE)

    assert kinds(after) == ["Conv"]


@pytest.mark.parametrize(
    ("write", "shape"),
    [
        (lambda b: b.node("Mul", _linear(b), b.positive(5, 1)), _TOKENS),
        (lambda b: b.node("Mul", _linear(b, outputs=1), b.positive(4)), _TOKENS),
        (lambda b: b.node("Div", b.positive(8), b.node("Exp", _linear(b))), _TOKENS),
        (lambda b: b.node("Div", b.constant(1), _linear(b, bias=False)), _TOKENS),
        (lambda b: _linear(b, b.node("Mul", "x", b.positive(5, 1))), _TOKENS),
        (lambda b: _linear(b, b.node("Div", b.constant(1), b.node("Exp", "x"))), _TOKENS),
        (lambda b: b.conv(b.node("Mul", "x", b.positive(5, 4)), 6, 8), _PICTURE),
        (lambda b: b.conv(b.node("Add", "x", b.normal(6, 1, 1)), 6, 8), _PICTURE),
        (lambda b: b.node("Conv", b.node("Mul", "x", b.constant(2)), b.node("Exp", b.node(
            "Reshape", b.node("Slice", "x", *(b.constant(np.array([n])) for n in (0, 1, 0))),
            b.constant(np.array([4, 6, 5, 1]))))), _PICTURE),
    ],
    ids=["a factor by row", "more columns", "not the product", "a reciprocal", "read by row", "a quotient", "by pixel",
         "a term before padding", "computed weights"],
)  # fmt: skip
def test_what_varies_otherwise_stays(write: Write, shape: tuple[int, ...]) -> None:
    """Rule: only factors along what is summed over, or along what comes out, are the weights'."""
    b = GraphBuilder(shape=shape)
    last = write(b)
    before = prepared(b.build(last))
    fused, _ = run_node_pass(before, fuse_matmul, repeat=True)

    after = _after(before)

    assert kinds(after) == kinds(fused)
    assert_same_results(after, before, b.feeds())


@pytest.mark.parametrize("form", ["layer scale", "both"])
def test_a_product_that_others_read_is_left(form: str) -> None:
    """Rule: an inner value that is an output of the model is still computed."""
    b = GraphBuilder(shape=_TOKENS)
    last = _BEHIND[form](b)
    product = b.nodes[1].output
    before = prepared(b.build(product, last))

    after = _after(before)

    assert_same_results(after, before, b.feeds())
    assert kinds(after)[0] == "FusedMatMul"
    assert len(kinds(after)) > 1


@pytest.mark.parametrize("write", [_BEHIND["number"], _BEFORE["number"]])
def test_weights_that_would_overflow_are_left(write: Write) -> None:
    """Rule: no constant becomes infinite; the factor may meet small numbers only."""
    b = GraphBuilder(shape=_TOKENS)
    last = write(b)
    tiny = {name: np.float32(1e-38) * np.ones_like(array) for name, array in b.constants.items() if array.ndim == 0}
    large = {name: np.full_like(array, 1e10) for name, array in b.constants.items() if array.ndim > 1}
    b.constants.update(tiny | large)

    after = _after(prepared(b.build(last)))

    assert sorted(kinds(after)) == ["Div", "FusedMatMul"]


def test_a_convnext_block_ends_in_its_product() -> None:
    """Rule: LayerScale behind the second product of a block costs no step of its own."""
    b = GraphBuilder(shape=_TOKENS)
    hidden = b.node("Gelu", _linear(b, outputs=24))
    scaled = b.node("Mul", _linear(b, hidden, inputs=24, outputs=6), b.positive(6))
    graph = b.build(b.node("Add", "x", scaled))

    got, _ = optimise(graph, PassOptions(check=True))

    assert kinds(got) == ["FusedMatMul", "FusedMatMul"]
    assert_same_results(got, graph, b.feeds())
