"""Tests of the passes that let moves of data vanish: casts, reshapes, transposes, duplicates, splits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fragments import Fragment, after, fused, kept
from support.pass_graphs import Array, GraphBuilder, assert_same_results, kinds, prepared

from alula.base.tensors import DType
from alula.engine.graph.check import check_graph
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Node, Value
from alula.engine.graph.numpy_dtypes import numpy_dtype
from alula.engine.graph.onnx_dtypes import ONNX_DTYPES
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.passes.drop_casts import drop_casts
from alula.engine.passes.drop_duplicates import drop_duplicates
from alula.engine.passes.drop_split_concat import drop_split_concat
from alula.engine.passes.merge_reshapes import merge_reshapes
from alula.engine.passes.merge_transposes import merge_transposes
from alula.engine.passes.sink_transposes import sink_transposes
from alula.engine.passes.unstack_transposes import unstack_transposes

_NUMBERS = {dtype: number for number, dtype in ONNX_DTYPES.items()}
_PLAIN = (DType.BOOL, DType.UINT8, DType.INT8, DType.INT32, DType.INT64, DType.FLOAT16, DType.FLOAT32, DType.FLOAT64)
_NHWC, _NCHW = (0, 2, 3, 1), (0, 3, 1, 2)
_BYTES = np.array([1, 2], np.uint8)
_SINK = (sink_transposes, merge_transposes)


def _integers(b: GraphBuilder, *values: int) -> str:
    return b.constant(np.array(values, np.int64))


def _nhwc(b: GraphBuilder, x: str) -> str:
    return b.node("Transpose", x, perm=_NHWC)


def _nchw(b: GraphBuilder, x: str) -> str:
    return b.node("Transpose", x, perm=_NCHW)


def _cast_chain(source: DType, kinds_of: tuple[DType, ...]) -> Graph:
    value = Value("x", source, (2, 9))
    builder = GraphBuilder()
    name = "x"
    for dtype in kinds_of:
        name = builder.node("Cast", name, to=_NUMBERS[dtype])
    graph = Graph("casts", tuple(builder.nodes), (value,), (name,), {}, {"x": value}, {"": 22})
    return prepared(graph)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(_PLAIN), st.lists(st.sampled_from(_PLAIN), min_size=2, max_size=3))
def test_dropped_casts_never_change_a_number(source: DType, chain: list[DType]) -> None:
    """A cast that rounds, wraps or clamps must stay, wherever it stands in a chain."""
    numbers = np.array([[0, 1, 2, 3, 100, 127, 128, 255, 5], [-1, -2, 7, 9, 11, 60000, 2**31 - 1, -129, 65504]])
    graph = _cast_chain(source, tuple(chain))
    with np.errstate(all="ignore"):
        feeds: dict[str, Array] = {"x": numbers.astype(source.value)}

    found = after(graph, (drop_casts,))

    name = graph.outputs[0]
    np.testing.assert_array_equal(evaluate_graph(found, feeds)[name], evaluate_graph(graph, feeds)[name])


def test_a_cast_there_and_back_goes_if_nothing_is_lost() -> None:
    """Exporters widen indices to int64 for one operator and narrow them for the next."""
    graph = _cast_chain(DType.INT32, (DType.INT64, DType.INT32, DType.FLOAT32))

    assert kinds(after(graph, (drop_casts,))) == ["Cast"]


_RESHAPES: dict[str, tuple[Fragment, list[str]]] = {
    "two": (lambda b, x: b.node("Flatten", b.node("Reshape", x, _integers(b, 2, 3, 4, 5))), ["Reshape"]),
    "three": (
        lambda b, x: b.node(
            "Unsqueeze", b.node("Reshape", b.node("Flatten", x, axis=2), _integers(b, -1, 4)), _integers(b, 0)
        ),
        ["Reshape"],
    ),
    "there and back": (
        lambda b, x: b.node("Reshape", b.node("Flatten", x, axis=2), _integers(b, 2, 3, 4, 5)), []
    ),
}  # fmt: skip


@pytest.mark.parametrize(("fragment", "wanted"), _RESHAPES.values(), ids=_RESHAPES.keys())
def test_changes_of_shape_become_one_or_none(fragment: Fragment, wanted: list[str]) -> None:
    """They move nothing, but each is a node to plan, and hides neighbours from other passes."""
    assert fused(fragment, (merge_reshapes,)) == wanted


def test_a_change_of_shape_of_nothing_stays() -> None:
    """A 0 in a Reshape means "as before": written as a number it would say something else."""
    assert kept(lambda b, x: b.node("Flatten", b.node("Unsqueeze", x, _integers(b, 0))), (merge_reshapes,), (0, 3))


_TRANSPOSES: dict[str, tuple[Fragment, list[str]]] = {
    "inverse": (lambda b, x: _nchw(b, _nhwc(b, x)), []),
    "without an order": (lambda b, x: b.node("Transpose", b.node("Transpose", x)), []),
    "around an activation": (lambda b, x: _nchw(b, b.node("Relu", _nhwc(b, x))), ["Relu"]),
    "around a bias": (lambda b, x: _nchw(b, b.node("Add", _nhwc(b, x), b.normal(3))), ["Add"]),
    "around a bound": (
        lambda b, x: _nchw(b, b.node("Clip", _nhwc(b, x), b.constant(0), b.constant(6))), ["Clip"],
    ),
    "around a sum": (
        lambda b, x: _nchw(b, b.node("Add", _nhwc(b, b.node("Abs", x)), _nhwc(b, b.node("Relu", x)))),
        ["Abs", "Relu", "Add"],
    ),
    "around a joint": (
        lambda b, x: b.node("ReduceMax", _nchw(
            b, b.node("Concat", _nhwc(b, b.node("Abs", x)), _nhwc(b, b.node("Relu", x)), axis=-1)
        ), _integers(b, 1)),
        ["Abs", "Relu", "Concat", "ReduceMax"],
    ),
    "around a border": (
        lambda b, x: b.node("Slice", _nchw(b, b.node("Pad", _nhwc(b, x), _integers(b, 0, 1, 2, 0, 0, 3, 4, 0))),
                            _integers(b, 0, 0), _integers(b, 3, 3), _integers(b, 2, 3)),
        ["Pad", "Slice"],
    ),
    "around a mean": (
        lambda b, x: _nchw(b, b.node("ReduceMean", _nhwc(b, x), _integers(b, 1, 2))), ["ReduceMean"],
    ),
    "before a mean": (
        lambda b, x: b.node("ReduceMean", _nhwc(b, x), _integers(b, 1, 2), keepdims=0), ["ReduceMean"],
    ),
    "one after another": (
        lambda b, x: _nchw(
            b, b.node("Relu", b.node("Mul", b.node("Add", _nhwc(b, x), b.normal(3)), b.normal(4, 5, 1)))
        ),
        ["Add", "Mul", "Relu"],
    ),
    "around a gate": (
        lambda b, x: _nchw(
            b, b.node("Mul", _nhwc(b, x), b.node("Reshape", b.node("GlobalMaxPool", x), _integers(b, 2, 1, 1, 3)))
        ),
        ["GlobalMaxPool", "Reshape", "Reshape", "Mul"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("fragment", "wanted"), _TRANSPOSES.values(), ids=_TRANSPOSES.keys())
def test_transposes_meet_and_vanish(fragment: Fragment, wanted: list[str]) -> None:
    """Models for channels-last pictures are exported with a pair of transposes around every operator."""
    assert fused(fragment, (*_SINK, *_SINK)) == wanted


_STACKS: dict[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], list[str]]] = {
    "two axes joined": ((6, 4, 5), (0, 2, 1), (2, 3, 5, 4), ["Transpose"]),
    "joined and moved": ((2, 12, 5), (1, 0, 2), (3, 4, 2, 5), ["Transpose"]),
    "an axis of one between": ((6, 1, 20), (2, 1, 0), (4, 5, 2, 3), ["Transpose"]),
    "parted in another way": ((6, 4, 5), (0, 2, 1), (3, 2, 5, 4), ["Reshape", "Transpose", "Reshape"]),
    "parted, not joined": ((2, 3, 2, 2, 5), (0, 1, 3, 2, 4), (2, 3, 4, 5), ["Reshape", "Transpose", "Reshape"]),
}


@pytest.mark.parametrize(("joined", "order", "parted", "wanted"), _STACKS.values(), ids=_STACKS.keys())
def test_a_transpose_of_stacked_matrices_needs_no_stack(
    joined: tuple[int, ...], order: tuple[int, ...], parted: tuple[int, ...], wanted: list[str]
) -> None:
    """PyTorch turns the keys of all heads as one stack; only axes that part as they were joined can stay apart."""

    def fragment(b: GraphBuilder, x: str) -> str:
        turned = b.node("Transpose", b.node("Reshape", x, _integers(b, *joined)), perm=order)
        return b.node("Reshape", turned, _integers(b, *parted))

    assert fused(fragment, (unstack_transposes,), (2, 3, 4, 5)) == wanted


def test_a_transpose_of_axes_of_one_element_is_a_change_of_shape() -> None:
    """Nothing moves in memory."""
    fragment: Fragment = lambda b, x: b.node("Transpose", x, perm=(0, 2, 1, 3))  # noqa: E731

    assert fused(fragment, (merge_transposes,), (2, 1, 4, 5)) == ["Reshape"]
    assert fused(fragment, (merge_transposes,), (2, 3, 4, 5)) == ["Transpose"]


def test_operands_of_different_orders_stay_where_they_are() -> None:
    """One transpose behind cannot stand for two different ones before."""
    fragment: Fragment = lambda b, x: b.node(  # noqa: E731
        "Add", b.node("Transpose", x, perm=(0, 2, 1, 3)), b.node("Transpose", x, perm=(1, 0, 2, 3))
    )

    assert kept(fragment, (sink_transposes,), (3, 3, 3, 5))


def test_two_transposes_of_another_order_become_one() -> None:
    """The order of both together, which no network can do without."""
    fragment: Fragment = lambda b, x: b.node("Transpose", _nhwc(b, x), perm=(1, 0, 2, 3))  # noqa: E731

    assert fused(fragment, (merge_transposes,)) == ["Transpose"]


def test_an_operand_that_broadcasts_is_turned_with_the_other() -> None:
    """Both axes are in the same order, before and behind."""
    fragment: Fragment = lambda b, x: _nchw(  # noqa: E731
        b, b.node("Add", _nhwc(b, b.node("ReduceMax", x, _integers(b, 2))), _nhwc(b, x))
    )

    assert fused(fragment, _SINK) == ["ReduceMax", "Add"]


def test_a_small_operand_is_not_turned_behind_a_large_one() -> None:
    """The result would be transposed in place of one row of it."""
    fragment: Fragment = lambda b, x: b.node(  # noqa: E731
        "Add", _nhwc(b, b.node("ReduceMax", x, _integers(b, 2))), b.normal(2, 4, 5, 3)
    )

    assert kept(fragment, (sink_transposes,))


def test_a_mean_that_shares_its_transpose_reads_what_is_before_it() -> None:
    """Squeeze-and-excitation over channels-last maps: both the mean and the scaling read the transposed maps."""

    def fragment(b: GraphBuilder, x: str) -> str:
        maps = _nhwc(b, x)
        gate = b.node("Sigmoid", b.node("ReduceMean", maps, _integers(b, 1, 2)))
        return _nchw(b, b.node("Mul", maps, gate))

    assert fused(fragment, _SINK) == ["ReduceMean", "Sigmoid", "Mul"]


def test_a_mean_that_is_subtracted_keeps_reading_the_transposed_value() -> None:
    """A layer norm over transposed tokens is found by the value that all its parts read."""

    def fragment(b: GraphBuilder, x: str) -> str:
        tokens = _nhwc(b, x)
        return b.node("Sub", tokens, b.node("ReduceMean", tokens, _integers(b, -1)))

    assert kept(fragment, _SINK)


def test_what_is_computed_twice_is_computed_once() -> None:
    """Equal constants count as one: exporters write an array for each use."""
    builder = GraphBuilder()
    one = builder.node("Relu", builder.node("Add", "x", builder.constant(1.5)))
    two = builder.node("Relu", builder.node("Add", "x", builder.constant(1.5)))
    builder.node("Sub", one, two)
    before = prepared(builder.build())

    graph = drop_duplicates(before)

    check_graph(graph)
    assert kinds(graph) == ["Add", "Relu", "Sub"]
    assert_same_results(graph, before, builder.feeds())


def test_duplicates_that_are_outputs_keep_their_names() -> None:
    """The names of outputs belong to the user."""
    builder = GraphBuilder()
    one, two = builder.node("Relu", "x"), builder.node("Relu", "x")
    before = prepared(builder.build(one, two))

    graph = drop_duplicates(before)

    check_graph(graph)
    assert graph.outputs == (one, two)
    assert_same_results(graph, before, builder.feeds())


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"axis": 0}, {"axis": 1}),
        ({"alpha": 1}, {"alpha": 1.0}),
        ({"shape": (1,)}, {"shape": (1.0,)}),
        ({"value": _BYTES.view(numpy_dtype(DType.INT4))}, {"value": _BYTES.view(numpy_dtype(DType.FLOAT8E5M2))}),
        ({"value": _BYTES.view(numpy_dtype(DType.INT4))}, {"value": _BYTES.view(numpy_dtype(DType.UINT4))}),
        ({"values": (np.zeros(5000),)}, {"values": (np.eye(1, 5000, 2500)[0],)}),  # printed, both are zeros and dots
    ],
)
def test_attributes_of_another_value_or_type_make_another_node(one: dict[str, object], two: dict[str, object]) -> None:
    """To Python, 1 and 1.0 are equal."""
    nodes = tuple(Node("Odd", ("x",), (name,), attributes) for name, attributes in (("y", one), ("z", two)))  # type: ignore[arg-type]
    x = Value("x", DType.FLOAT32, (2,))
    graph = Graph("odd", (*nodes, Node("Add", ("y", "z"), ("w",))), (x,), ("w",), {}, {"x": x})

    assert drop_duplicates(graph) is graph


@pytest.mark.parametrize("op", ["RandomUniformLike", "Dropout", "Bernoulli"])
def test_random_numbers_are_drawn_as_often_as_the_model_says(op: str) -> None:
    """Two draws are not one draw read twice."""
    x = Value("x", DType.FLOAT32, (2,))
    nodes = (Node(op, ("x",), ("y",)), Node(op, ("x",), ("z",)), Node("Add", ("y", "z"), ("w",)))
    graph = Graph("random", nodes, (x,), ("w",), {}, {"x": x})

    assert drop_duplicates(graph) is graph


def _split(b: GraphBuilder, order: tuple[int, ...], axis: int) -> str:
    names = tuple(f"part{index}" for index in range(3))
    b.nodes.append(Node("Split", ("x",), names, {"axis": 1, "num_outputs": 3}))
    return b.node("Concat", *(names[index] for index in order), axis=axis)


def test_parts_put_together_as_they_were_go() -> None:
    """Slicing for a branch that was pruned leaves such pairs."""
    builder = GraphBuilder(shape=(2, 6, 3, 3))
    builder.node("Neg", _split(builder, (0, 1, 2), -3))
    before = prepared(builder.build())

    graph = after(before, (drop_split_concat,))

    assert kinds(graph) == ["Neg"]
    assert_same_results(graph, before, builder.feeds())


@pytest.mark.parametrize(("order", "axis"), [((1, 0, 2), 1), ((0, 1), 1), ((0, 1, 2), 2)])
def test_parts_put_together_in_another_way_stay(order: tuple[int, ...], axis: int) -> None:
    """Another order, some of them, or another axis."""

    def fragment(b: GraphBuilder, x: str) -> str:
        del x
        return b.node("Neg", _split(b, order, axis))

    assert kept(fragment, (drop_split_concat,), (2, 6, 3, 3))
