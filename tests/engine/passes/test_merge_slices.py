"""Tests of merge_slices and drop_expand: what is cut off, and what is repeated, is not written first."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fragments import after, kept
from support.pass_graphs import GraphBuilder, assert_same_results, kinds, prepared

from alula.engine.graph.graph import Graph
from alula.engine.passes.driver import PassOptions
from alula.engine.passes.drop_expand import drop_expand
from alula.engine.passes.drop_identity import drop_identity
from alula.engine.passes.merge_slices import merge_slices
from alula.engine.passes.order import optimise

_VISITS = (merge_slices, drop_identity)
_SHAPE = (2, 9, 6)
_LAST = 2**63 - 1
Bound = tuple[int, int, int, int]


def _slice(b: GraphBuilder, x: str, *bounds: Bound) -> str:
    """Start, end, axis and step of each axis."""
    return b.node("Slice", x, *(b.constant(np.array(row, np.int64)) for row in zip(*bounds, strict=True)))


def _outcome(write: Callable[[GraphBuilder], str], shape: tuple[int, ...] = _SHAPE) -> tuple[Graph, list[str]]:
    """The graph after the passes, which gives what it gave before, and its operators but the last."""
    b = GraphBuilder(shape=shape)
    b.node("Abs", write(b))
    before = prepared(b.build())
    graph = after(before, _VISITS)
    assert_same_results(graph, before, b.feeds())
    return graph, kinds(graph)[:-1]


_BOUNDS = st.tuples(
    st.integers(-12, 12),
    st.one_of(st.integers(-12, 12), st.just(_LAST), st.just(-_LAST)),
    st.sampled_from([-3, -1, 1, 2]),
)


@given(st.lists(st.tuples(_BOUNDS, _BOUNDS), min_size=2, max_size=3))
def test_slices_of_slices_are_one(cuts: list[tuple[tuple[int, int, int], tuple[int, int, int]]]) -> None:
    """Rule: any bounds, from either end and in either direction, over two axes; nothing stays nothing."""

    def write(b: GraphBuilder) -> str:
        x = b.node("Neg", "x")
        for one, other in cuts:
            x = _slice(b, x, (*one[:2], 1, one[2]), (*other[:2], -1, other[2]))
        return x

    graph, found = _outcome(write)

    if 0 not in (graph.value(graph.nodes[-1].output).shape or ()):
        assert found in (["Neg"], ["Neg", "Slice"])


def _parts(b: GraphBuilder) -> str:
    """Nine, four and one rows."""
    return b.node("Concat", "x", b.normal(2, 4, 6), b.node("Abs", b.normal(2, 1, 6)), axis=1)


@pytest.mark.parametrize(
    ("bounds", "wanted"),
    [
        ((2, 5, 1, 1), ["Slice"]),
        ((8, 1, 1, -3), ["Slice"]),
        ((0, 9, 1, 1), []),
        ((9, 14, 1, 1), ["Concat"]),
        ((-6, -1, 1, 2), ["Concat", "Slice"]),
        ((0, 13, 1, 2), ["Concat", "Slice"]),
        ((3, 12, 1, 1), ["Concat", "Slice"]),
    ],
    ids=str,
)
def test_a_part_of_joined_ones_is_read_where_it_was(bounds: Bound, wanted: list[str]) -> None:
    """Rule: what comes from one part, or from whole ones, needs no joining of the others."""
    _, found = _outcome(lambda b: _slice(b, _parts(b), bounds))

    assert found == wanted


def test_other_axes_of_a_part_are_cut_as_well() -> None:
    """Rule: the part is cut like the whole; several parts that are cut stay."""
    _, one = _outcome(lambda b: _slice(b, _parts(b), (2, 5, 1, 1), (1, 4, 2, 1)))
    _, several = _outcome(lambda b: _slice(b, _parts(b), (9, 14, 1, 1), (1, 4, 2, 1)))

    assert (one, several) == (["Slice"], ["Concat", "Slice"])


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
@pytest.mark.parametrize(
    ("bounds", "wanted"), [((2, 11, 1, 1), []), ((4, 9, 1, 2), ["Slice"]), ((1, 11, 1, 1), ["Pad", "Slice"])], ids=str
)
def test_a_border_that_is_cut_off_is_not_written(bounds: Bound, wanted: list[str], mode: str) -> None:
    """Rule: inside the border is the value itself, whatever the border is made of."""

    def write(b: GraphBuilder) -> str:
        return _slice(b, b.node("Pad", "x", b.constant(np.array([0, 2, 0, 0, 3, 0])), mode=mode), bounds)

    _, found = _outcome(write)

    assert found == wanted


def test_what_others_read_is_still_made() -> None:
    """Rule: only the way to the elements becomes shorter."""
    b = GraphBuilder(shape=_SHAPE)
    inner = _slice(b, "x", (1, 8, 1, 1))
    outer = _slice(b, inner, (1, 4, 1, 2))
    before = prepared(b.build(inner, outer))

    got = after(before, _VISITS)

    assert_same_results(got, before, b.feeds())
    assert [node.inputs[0] for node in got.nodes] == ["x", "x"]


def test_computed_bounds_stay() -> None:
    """Rule: what the run decides is not joined."""

    def write(b: GraphBuilder, x: str) -> str:
        computed = b.node("Cast", b.node("ReduceMax", b.node("Sign", b.node("Abs", x)), keepdims=0), to=7)
        end = b.node("Reshape", computed, b.constant(np.array([1])))
        return b.node("Slice", _slice(b, x, (1, 8, 1, 1)), b.constant(np.array([0])), end, b.constant(np.array([1])))

    assert kept(write, (merge_slices,), _SHAPE)


def _expanded(b: GraphBuilder, *shape: int) -> str:
    whole = b.constant(np.array([2, 9, 6]))
    return b.node(
        "Expand", b.node("Slice", "x", *(b.constant(np.array(row)) for row in ([0] * 3, shape, [0, 1, 2]))), whole
    )


@pytest.mark.parametrize("shape", [(2, 9, 1), (1, 1, 6), (1, 1, 1)], ids=str)
def test_expanded_gates_are_broadcast_by_what_reads_them(shape: tuple[int, ...]) -> None:
    """Rule: an operator that broadcasts reads the small value."""
    b = GraphBuilder(shape=_SHAPE)
    b.node("Mul", "x", _expanded(b, *shape))
    before = prepared(b.build())

    got = after(before, (drop_expand,))

    assert kinds(got) == ["Slice", "Mul"]
    assert_same_results(got, before, b.feeds())


def test_an_expansion_that_gives_the_shape_stays() -> None:
    """Rule: one of two may go, not both; and other readers are not asked to broadcast."""
    b = GraphBuilder(shape=_SHAPE)
    one, other = _expanded(b, 2, 1, 1), _expanded(b, 1, 1, 6)
    total = b.node("Add", one, other)
    joined = b.node("Concat", other, other, axis=0)
    before = prepared(b.build(total, joined))

    got = after(before, (drop_expand,))

    assert sorted(kinds(got)) == ["Add", "Concat", "Expand", "Slice", "Slice"]
    assert_same_results(got, before, b.feeds())


def _exported_pads(b: GraphBuilder) -> str:
    """Amounts as PyTorch's exporters write `F.pad(x, (1, 2, 0, 3))`: in its own order, turned round by six nodes."""
    own = b.constant(np.array([1, 2, 0, 3], np.int64))
    rank = b.node("Size", b.node("Shape", "x"))
    missing = b.node("Sub", b.node("Mul", rank, b.constant(np.array(2, np.int64))), b.constant(np.array(4, np.int64)))
    zeros = b.node(
        "ConstantOfShape", b.node("Unsqueeze", missing, b.constant(np.array([0]))), value=np.zeros(1, np.int64)
    )
    pairs = b.node("Reshape", b.node("Concat", own, zeros, axis=0), b.constant(np.array([-1, 2])))
    back = _slice(b, pairs, (-1, -_LAST, 0, -1))
    return b.node("Cast", b.node("Reshape", b.node("Transpose", back, perm=(1, 0)), b.constant(np.array([-1]))), to=7)


def _same_pads(b: GraphBuilder) -> str:
    """Amounts for SAME padding computed from the picture's size, as converters from TensorFlow write them."""
    size = _slice(b, b.node("Shape", "x"), (2, 4, 0, 1))
    two = b.constant(np.array([2, 2], np.int64))
    out = b.node("Div", b.node("Add", size, b.constant(np.array([1, 1], np.int64))), two)
    needed = b.node(
        "Sub",
        b.node(
            "Add", b.node("Mul", b.node("Sub", out, b.constant(np.array([1, 1]))), two), b.constant(np.array([3, 3]))
        ),
        size,
    )
    first = b.node("Div", b.node("Max", needed, b.constant(np.array([0, 0]))), two)
    zeros = b.constant(np.array([0, 0], np.int64))
    return b.node("Concat", zeros, first, zeros, b.node("Sub", needed, first), axis=0)  # fmt: skip


@pytest.mark.parametrize("pads", [_exported_pads, _same_pads], ids=["torch", "tensorflow"])
def test_amounts_computed_from_shapes_become_the_padding_of_a_convolution(pads: Callable[[GraphBuilder], str]) -> None:
    """Rule: with the input's shape known nothing of the arithmetic is left, nor is the Pad."""
    b = GraphBuilder(shape=(1, 4, 7, 8))
    b.conv(b.node("Pad", "x", pads(b)), 4, 8, 3, pads=(0, 0, 0, 0), strides=(2, 2))
    graph = b.build()

    got, _ = optimise(graph, PassOptions(check=True))

    assert kinds(got) == ["FusedConv"]
    assert_same_results(got, graph, b.feeds())
