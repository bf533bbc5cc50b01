"""Shapes with symbols through the arithmetic that exporters write before Reshape, Expand and Resize."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from support.pass_graphs import GraphBuilder

from alula.base.tensors import DType
from alula.engine.graph.dims import Shape, is_static, substitute_shape, symbol
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Value
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.passes.fold_constants import fold_constants
from alula.engine.sessions.staging import output_specs

N, H, W = map(symbol, "NHW")
_SYMBOLIC = (N, 6, H, W)
_BINDINGS = {"N": 3, "H": 4, "W": 10}
Write = Callable[[GraphBuilder], str]


def _ints(b: GraphBuilder, *numbers: int) -> str:
    return b.constant(np.array(numbers, np.int64))


def _index(b: GraphBuilder, number: int) -> str:
    return b.constant(np.array(number, np.int64))


def _dim(b: GraphBuilder, axis: int) -> str:
    """One dimension of x as [1], as PyTorch writes `x.size(axis)`."""
    return b.node("Unsqueeze", b.node("Gather", b.node("Shape", "x"), _index(b, axis)), _ints(b, 0))


def _half(b: GraphBuilder, axis: int) -> str:
    return b.node("Div", _dim(b, axis), _ints(b, 2))


def _sum(b: GraphBuilder) -> str:
    """Height and width together, from a part of a Slice each."""
    tail = b.node("Slice", b.node("Shape", "x"), _ints(b, 2), _ints(b, 4))
    return b.node("Add", *(b.node("Gather", tail, _ints(b, index)) for index in (0, -1)))


def _concat(b: GraphBuilder, *parts: str) -> str:
    return b.node("Concat", *parts, axis=0)


def _filled(b: GraphBuilder, shape: str) -> str:
    return b.node("ConstantOfShape", shape, value=np.zeros(1, np.float32))


def _tokens(b: GraphBuilder) -> str:
    pixels = b.node("Mul", _dim(b, 2), _dim(b, 3))
    return b.node("Reshape", "x", _concat(b, _dim(b, 0), _ints(b, 2), pixels, _ints(b, 3)))


def _resized(b: GraphBuilder) -> str:
    twice = b.node("Mul", b.node("Slice", b.node("Shape", "x"), _ints(b, 2), _ints(b, 4)), _ints(b, 2))
    both = _concat(b, b.node("Slice", b.node("Shape", "x"), _ints(b, 0), _ints(b, 2)), twice)
    return b.node("Resize", "x", "", "", b.node("Cast", both, to=7), mode="nearest")


_FORMS: dict[str, tuple[Write, Shape]] = {
    "flattened": (lambda b: b.node("Reshape", "x", _concat(b, _dim(b, 0), _ints(b, -1))), (N, H * W * 6)),
    "a part of the shape": (lambda b: b.node("Reshape", "x", _concat(b, b.node("Shape", "x", end=2), _ints(b, -1))),
                            (N, 6, H * W)),
    "tokens": (_tokens, (N, 2, H * W, 3)),
    "halves": (lambda b: _filled(b, _concat(b, _dim(b, 0), _half(b, 2), _half(b, 3))), (N, H // 2, W // 2)),
    "sums": (lambda b: _filled(b, _concat(b, _sum(b), b.node("Sub", _dim(b, 3), _ints(b, 1)))), (H + W, W - 1)),
    "number of elements": (lambda b: b.node("Reshape", "x", b.node("Unsqueeze", b.node("Size", "x"), _ints(b, 0))),
                           (N * H * W * 6,)),
    "expanded": (lambda b: b.node("Expand", b.normal(1, 7), _concat(b, _dim(b, 0), _ints(b, 7))), (N, 7)),
    "tiled": (lambda b: b.node("Tile", b.normal(1, 7), _concat(b, _dim(b, 0), _ints(b, 1))), (N, 7)),
    "resized": (_resized, (N, 6, H * 2, W * 2)),
    "cast and squeezed": (lambda b: _filled(b, b.node("Unsqueeze", b.node("Squeeze", b.node("Cast", _dim(b, 2), to=6),
                                                                           _ints(b, 0)), _ints(b, 0))), (H,)),
}  # fmt: skip


def _symbolic(write: Write) -> Graph:
    b = GraphBuilder(shape=())
    y = write(b)
    return _with_shape(b.build(y), _SYMBOLIC)


def _with_shape(graph: Graph, shape: Shape) -> Graph:
    x = Value("x", DType.FLOAT32, shape)
    return replace(graph, inputs=(x,), values={"x": x})


@pytest.mark.parametrize("form", sorted(_FORMS))
def test_shapes_are_known_as_far_as_the_input_is(form: str) -> None:
    """Rule: only the numbers of the batch and the picture are open, not the rank or what is made of them."""
    write, wanted = _FORMS[form]
    graph = _symbolic(write)

    folded = fold_constants(graph)

    assert folded.value(graph.outputs[0]).shape == wanted


@pytest.mark.parametrize("form", sorted(_FORMS))
def test_runs_give_what_the_symbols_promise(form: str) -> None:
    """Rule: with numbers for the symbols the shape is that of the result."""
    write, wanted = _FORMS[form]
    graph = _symbolic(write)
    shape = substitute_shape(_SYMBOLIC, _BINDINGS)
    feeds = {"x": np.zeros([int(str(dim)) for dim in shape], np.float32)}

    got = evaluate_graph(fold_constants(graph), feeds)[graph.outputs[0]]

    assert got.shape == substitute_shape(wanted, _BINDINGS)


def test_a_model_says_what_it_gives_in_its_own_symbols() -> None:
    """Rule: an output of which the file says nothing is described by the names of the input's dimensions."""
    graph = _symbolic(_FORMS["flattened"][0])

    (spec,) = output_specs(graph)

    assert spec.shape == ("N", "6*H*W")


@pytest.mark.parametrize(
    "write",
    [
        lambda b: _filled(b, b.node("Div", b.node("Sub", _dim(b, 2), _ints(b, 9)), _ints(b, 2))),
        lambda b: _filled(b, b.node("Div", _dim(b, 2), b.node("Sub", _dim(b, 3), _ints(b, 1)))),
        lambda b: _filled(b, b.node("Max", _dim(b, 2), _dim(b, 3))),
        lambda b: _filled(b, b.node("Mul", _dim(b, 0), b.node("Cast", b.node("ReduceSum", "x"), to=7))),
        lambda b: _filled(b, b.node("Gather", b.node("Shape", "x"), b.node("Cast", b.node("ReduceSum", "x"), to=7))),
    ],
    ids=["a negative numerator", "a divisor that may be 0", "other arithmetic", "data", "an index from data"],
)
def test_what_cannot_be_known_is_not_guessed(write: Write) -> None:
    """Rule: a dimension is right for all numbers, or there is none."""
    graph = _symbolic(write)

    folded = fold_constants(graph)

    assert folded.value(graph.outputs[0]).shape is None


def test_shapes_that_the_file_claims_are_not_built_on() -> None:
    """Rule: a record of an inner value may be wrong; what it says must not decide what others are."""
    b = GraphBuilder(shape=())
    rows = b.node("NonZero", "x")
    y = _filled(b, b.node("Shape", b.node("Transpose", rows, perm=(1, 0))))
    graph = _with_shape(b.build(y), _SYMBOLIC)
    lies = {name: Value(name, DType.INT64, (symbol("A"), 7)) for name in (b.nodes[1].output,)}

    folded = fold_constants(replace(graph, values={**graph.values, **lies}))

    assert folded.value(y).shape is None


def test_sizes_stay_arithmetic_for_the_run() -> None:
    """Rule: symbols say what shapes are, not what is computed: nothing is folded because of them."""
    graph = _symbolic(_FORMS["halves"][0])

    assert [node.op for node in fold_constants(graph).nodes] == [node.op for node in graph.nodes]
    assert not is_static(fold_constants(graph).value(graph.outputs[0]).shape or ())
