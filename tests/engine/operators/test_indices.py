"""Operators on indices: symbolic shapes, sizes that depend on data, and indices that lead nowhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.problem import ints, number, reals

from alula.base.errors import LimitError, ShapeError, UnsupportedError
from alula.base.tensors import DType
from alula.engine.graph.dims import Shape, symbol
from alula.engine.graph.nodes import Array, Node, Value
from alula.engine.operators.evaluate import evaluate
from alula.engine.operators.infer import infer_node
from alula.engine.operators.record import Known

_N, _T = symbol("N"), symbol("T")


def _node(op: str, count: int, **attributes: Any) -> Node:
    return Node(op, tuple(f"x{index}" for index in range(count)), ("y",), attributes)


def _known(given: Shape | Array) -> Known:
    if isinstance(given, tuple):
        return Known(Value("x", DType.FLOAT32, given))
    return Known(Value("x", DType(given.dtype.name), given.shape), given)


def _shape(node: Node, *inputs: Shape | Array) -> str:
    inferred = infer_node(node, [_known(given) for given in inputs])
    assert inferred is not None
    return "?" if inferred[0][1] is None else f"[{', '.join(map(str, inferred[0][1]))}]"


@pytest.mark.parametrize(
    ("node", "inputs", "shape"),
    [
        (_node("GatherElements", 2, axis=1), ((_N, 8), (_N, _T)), "[N, T]"),
        (_node("GatherND", 2), ((_N, _T, 8), (_T, 2)), "[T, 8]"),
        (_node("GatherND", 2, batch_dims=1), ((_N, _T, 8), (_N, 3, 1)), "[N, 3, 8]"),
        (_node("ScatterND", 3), ((_N, _T, 8), (4, 2), (4, 8)), "[N, T, 8]"),
        (_node("OneHot", 3), ((_N, _T), number(10, np.int64), reals(2)), "[N, T, 10]"),
        (_node("OneHot", 3), ((_N, _T), (), reals(2)), "?"),
        (_node("Einsum", 2, equation="bhid,bhjd->bhij"), ((_N, 8, _T, 64), (_N, 8, _T, 64)), "[N, 8, T, T]"),
        (_node("Einsum", 2, equation="...id,jd"), ((_N, 3, _T, 64), (5, 64)), "[N, 3, T, 5]"),
        (_node("CumSum", 2), ((_N, _T), ints(1)), "[N, T]"),
        (_node("Trilu", 1), ((_N, _T, _T),), "[N, T, T]"),
        (_node("Det", 1), ((_N, 3, 3),), "[N]"),
        (_node("NonZero", 1), ((_N, _T),), "?"),
        (_node("NonZero", 1), (ints(0, 2, 3),), "[1, 2]"),
        (_node("Unique", 1), (ints(5, 2, 5),), "[2]"),
        (_node("Compress", 2, axis=1), ((_N, 3), (3,)), "?"),
        (_node("Compress", 2, axis=1), ((_N, 3), np.asarray([True, False, True])), "[N, 2]"),
    ],
)
def test_shapes_follow_from_symbols_and_constants(node: Node, inputs: tuple[Shape | Array, ...], shape: str) -> None:
    """Sizes that nobody knows before the run stay open where they are symbols, and unknown where data decides."""
    assert _shape(node, *inputs) == shape


@pytest.mark.parametrize(
    ("node", "inputs", "message"),
    [
        (_node("GatherElements", 2), (reals(2, 3), np.full((1, 3), 2)), "out of bounds"),
        (_node("GatherElements", 2), (reals(2, 3), np.zeros((1, 4), np.int64)), "must fit"),
        (_node("GatherND", 2), (reals(2, 3), np.asarray([[0, 3]])), "out of bounds"),
        (_node("GatherND", 2), (reals(2, 3), np.zeros((1, 3), np.int64)), "must name places"),
        (_node("ScatterElements", 3), (reals(2, 3), np.zeros((1, 3), np.int64), reals(1, 2)), "updates must be"),
        (_node("ScatterND", 3), (reals(2, 3), np.asarray([[5]]), reals(1, 3)), "out of bounds"),
        (_node("TensorScatter", 3), (reals(1, 4, 2), reals(1, 2, 2), ints(3)), "must end within 4"),
        (_node("ReverseSequence", 2), (reals(2, 3), ints(1, 2, 3)), r"lengths must be in \[0, 2\]"),
        (_node("Compress", 2), (reals(2), np.asarray([False, False, True])), "out of bounds"),
        (_node("OneHot", 3), (ints(1), ints(-1), reals(2)), "depth must be"),
        (_node("Einsum", 2, equation="ij,jk->iz"), (reals(2, 3), reals(3, 2)), "labels must be"),
        (_node("Einsum", 1, equation="ij,jk"), (reals(2, 3),), "needs 2 inputs"),
        (_node("Einsum", 1, equation="ijk"), (reals(2, 3),), "must fit its input"),
        (_node("Det", 1), (reals(2, 3),), "square"),
        (_node("NegativeLogLikelihoodLoss", 2), (reals(2, 3), ints(0, 3)), r"classes must be in \[0, 3\)"),
    ],
)
def test_places_that_do_not_exist_are_refused(node: Node, inputs: tuple[Array, ...], message: str) -> None:
    """An index from outside must never read or write memory that is not the tensor's."""
    with pytest.raises(ShapeError, match=message):
        evaluate(node, inputs)


@pytest.mark.parametrize(
    ("node", "inputs", "message"),
    [
        (_node("OneHot", 3), ((4,), (), (1,)), "values must have 2 elements"),
        (_node("Trilu", 2), (reals(2, 3), ints()), "k must have 1 element"),
        (_node("Trilu", 2), (reals(2, 3), np.asarray([1], np.int32)), "k must be int64"),
        (_node("CumSum", 2), (reals(2, 3), ints(7)), r"axis must be in \[-2, 1\]"),
        (_node("CumSum", 2), (reals(2, 3), ints()), "axis must be one number"),
    ],
)
def test_inputs_too_short_for_what_is_read_are_refused_before_code_is_made(
    node: Node, inputs: tuple[Shape | Array, ...], message: str
) -> None:
    """Attack: generated code reads as many elements as the operator has, whatever the tensor's size."""
    with pytest.raises(ShapeError, match=message):
        _shape(node, *inputs)


def test_an_unknown_reduction_is_refused() -> None:
    """A reduction of a later version must not be taken for `none`."""
    with pytest.raises(UnsupportedError, match="it is mean"):
        evaluate(_node("ScatterND", 3, reduction="mean"), (reals(2, 3), np.asarray([[1]]), reals(1, 3)))


@pytest.mark.parametrize(
    ("node", "inputs"),
    [
        (_node("OneHot", 3), (ints(0, 1), number(1 << 40, np.int64), reals(2))),
        (_node("Einsum", 2, equation="a,b->ab"), (np.zeros(1 << 17, np.int8), np.zeros(1 << 17, np.int8))),
        (_node("RandomUniform", 0, shape=(1 << 20, 1 << 20)), ()),
        (_node("HannWindow", 1), (number(1 << 40, np.int64),)),
        (_node("DFT", 2), (reals(1, 4, 1), number(1 << 40, np.int64))),
    ],
)
def test_results_beyond_any_memory_are_refused_before_they_are_begun(node: Node, inputs: tuple[Array, ...]) -> None:
    """Attack: a few bytes of model that ask for terabytes."""
    with pytest.raises(LimitError, match="asks for"):
        evaluate(node, inputs)
