"""Tests of fuse_layer_norm, fuse_rms_norm and fuse_group_norm: every spelling, and what only looks like one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from support.fragments import Fragment, after, fused, inner_values_hold_it_back, kept, without_records
from support.pass_graphs import GraphBuilder, assert_same_results, kinds, prepared

from alula.engine.operators.table import operator_named
from alula.engine.passes.fuse_group_norm import fuse_group_norm
from alula.engine.passes.fuse_layer_norm import fuse_layer_norm
from alula.engine.passes.fuse_rms_norm import fuse_rms_norm

_ALL = (fuse_layer_norm, fuse_rms_norm, fuse_group_norm)
_SHAPE = (2, 3, 4, 5)
_LAST, _CHANNELS = (-1,), (1,)


def _mean(b: GraphBuilder, x: str, axes: tuple[int, ...] = _LAST, keepdims: int = 1) -> str:
    return b.node("ReduceMean", x, b.constant(np.array(axes, np.int64)), keepdims=keepdims)


def _centred(b: GraphBuilder, x: str, axes: tuple[int, ...] = _LAST) -> str:
    return b.node("Sub", x, _mean(b, x, axes))


def _squared(b: GraphBuilder, x: str) -> str:
    return b.node("Pow", x, b.constant(2))


def _root(b: GraphBuilder, energy: str, epsilon: float = 1e-5) -> str:
    return b.node("Sqrt", b.node("Add", energy, b.constant(epsilon)))


def _norm(b: GraphBuilder, x: str, axes: tuple[int, ...] = _LAST) -> str:
    d = _centred(b, x, axes)
    return b.node("Div", d, _root(b, _mean(b, _squared(b, d), axes)))


def _affine(b: GraphBuilder, x: str, shape: tuple[int, ...] = (5,)) -> str:
    return b.node("Add", b.node("Mul", b.positive(*shape), x), b.normal(*shape))


def _by_inverse(b: GraphBuilder, x: str, inverse: Callable[[GraphBuilder, str], str]) -> str:
    d = _centred(b, x)
    return b.node("Mul", d, inverse(b, _mean(b, b.node("Mul", d, d))))


def _gathered(b: GraphBuilder, x: str, shape: tuple[int, ...] = (5,), axes: tuple[int, ...] = _LAST) -> str:
    mean = _mean(b, x, axes)
    d = b.node("Sub", x, mean)
    inverse = b.node("Reciprocal", _root(b, _mean(b, b.node("Mul", d, d), axes)))
    factor = b.node("Mul", inverse, b.positive(*shape))
    return b.node("Add", b.node("Mul", x, factor), b.node("Sub", b.normal(*shape), b.node("Mul", mean, factor)))


_LAYER_NORMS: dict[str, Fragment] = {
    "plain": _norm,
    "affine": lambda b, x: _affine(b, _norm(b, x)),
    "scale only": lambda b, x: b.node("Mul", _norm(b, x), b.positive(5)),
    "shift only": lambda b, x: b.node("Add", _norm(b, x), b.normal(5)),
    "shift, then scale": lambda b, x: b.node("Mul", b.node("Add", _norm(b, x), b.normal(5)), b.positive(5)),
    "scale of one": lambda b, x: b.node("Mul", _norm(b, x), b.constant(0.5)),
    "over three axes": lambda b, x: _affine(b, _norm(b, x, (1, 2, 3)), (3, 4, 5)),
    "axes from the end": lambda b, x: _affine(b, _norm(b, x, (-1, -2)), (4, 5)),
    "factors gathered": _gathered,
    "reciprocal": lambda b, x: _by_inverse(b, x, lambda b, e: b.node("Reciprocal", _root(b, e))),
    "one over": lambda b, x: _by_inverse(b, x, lambda b, e: b.node("Div", b.constant(1), _root(b, e))),
    "power": lambda b, x: _by_inverse(
        b, x, lambda b, e: b.node("Pow", b.node("Add", b.constant(1e-3), e), b.constant(-0.5))
    ),
}
_OVER_CHANNELS: dict[str, Fragment] = {
    "plain": lambda b, x: _norm(b, x, _CHANNELS),
    "affine": lambda b, x: _affine(b, _norm(b, x, _CHANNELS), (3, 1, 1)),
    "affine with a batch axis": lambda b, x: _affine(b, _norm(b, x, _CHANNELS), (1, 3, 1, 1)),
}


def _rms(b: GraphBuilder, x: str, axes: tuple[int, ...] = _LAST) -> str:
    return b.node("Div", x, _root(b, _mean(b, _squared(b, x), axes)))


_RMS_NORMS: dict[str, Fragment] = {
    "plain": _rms,
    "scaled": lambda b, x: b.node("Mul", b.positive(5), _rms(b, x)),
    "reciprocal": lambda b, x: b.node("Mul", x, b.node("Reciprocal", _root(b, _mean(b, b.node("Mul", x, x))))),
}


def _grouped(b: GraphBuilder, x: str, *, whole: bool = True, plain: bool = True) -> str:
    shape = b.constant(np.array((0, 2, -1) if whole else (1, 4, -1), np.int64))
    scale = b.constant(np.ones(2 if whole else 4, np.float32)) if plain else b.positive(2)
    shift = b.constant(np.zeros(2 if whole else 4, np.float32)) if plain else b.normal(2)
    norm = b.node("InstanceNormalization", b.node("Reshape", x, shape), scale, shift, epsilon=1e-3)
    return b.node("Reshape", norm, b.constant(np.array((2, 4, 3, 5), np.int64)))


_GROUP_NORMS: dict[str, Fragment] = {
    "plain": _grouped,
    "parameters by group": lambda b, x: _grouped(b, x, plain=False),
    "affine": lambda b, x: _affine(b, _grouped(b, x, plain=False), (4, 1, 1)),
}


def _other_mean(b: GraphBuilder, x: str, first: tuple[int, ...], second: tuple[int, ...]) -> str:
    d = _centred(b, x, first)
    return b.node("Div", d, _root(b, _mean(b, _squared(b, d), second)))


def _other_square(b: GraphBuilder, x: str) -> str:
    d = _centred(b, x)
    return b.node("Div", d, _root(b, _mean(b, b.node("Pow", d, b.constant(3)))))


def _other_value(b: GraphBuilder, x: str) -> str:
    return b.node("Div", x, _root(b, _mean(b, _squared(b, _centred(b, x)))))


def _epsilon_by_column(b: GraphBuilder, x: str) -> str:
    d = _centred(b, x)
    energy = b.node("Add", _mean(b, _squared(b, d)), b.positive(5))
    return b.node("Div", d, b.node("Sqrt", energy))


_NEAR_MISSES: dict[str, Fragment] = {
    "means over different axes": lambda b, x: _other_mean(b, x, (-1,), (-2,)),
    "means over a middle axis": lambda b, x: _norm(b, x, (2,)),
    "means over rows and batch": lambda b, x: _norm(b, x, (0, 3)),
    "another power": _other_square,
    "the value itself above": _other_value,
    "an epsilon for each column": _epsilon_by_column,
    "root mean square over the first axis": lambda b, x: _rms(b, x, (0,)),
    "factors that vary along other axes": lambda b, x: _gathered(b, x, (3, 5)),
    "a group across samples": lambda b, x: _grouped(b, x, whole=False),
}


@pytest.mark.parametrize("fragment", _LAYER_NORMS.values(), ids=_LAYER_NORMS.keys())
def test_every_spelling_of_a_layer_norm_becomes_one_node(fragment: Fragment) -> None:
    """Before opset 17 there was no such operator: all transformers of that time have it in parts."""
    assert fused(fragment, _ALL, _SHAPE) == ["LayerNormalization"]


@pytest.mark.parametrize("fragment", _OVER_CHANNELS.values(), ids=_OVER_CHANNELS.keys())
def test_a_layer_norm_over_channels_turns_its_picture(fragment: Fragment) -> None:
    """ConvNeXt normalises the channels of pictures; as rows they are what the operator knows."""
    assert fused(fragment, _ALL, _SHAPE) == ["Transpose", "LayerNormalization", "Transpose"]


def test_gathered_factors_over_channels_turn_their_picture() -> None:
    """Compared on ordinary numbers only: where the variance is 0, the fragment itself loses digits by cancellation."""
    fragment: Fragment = lambda b, x: _gathered(b, x, (3, 1, 1), _CHANNELS)  # noqa: E731

    found = fused(fragment, _ALL, _SHAPE, extremes=False)

    assert found == ["Transpose", "LayerNormalization", "Transpose"]


@pytest.mark.skipif(operator_named("", "RMSNormalization") is None, reason="there is no such operator to fuse to")
@pytest.mark.parametrize("fragment", _RMS_NORMS.values(), ids=_RMS_NORMS.keys())
def test_every_spelling_of_a_root_mean_square_norm_becomes_one_node(fragment: Fragment) -> None:
    """Before opset 23 there was no such operator."""
    assert fused(fragment, _ALL, _SHAPE) == ["RMSNormalization"]


@pytest.mark.skipif(operator_named("", "GroupNormalization") is None, reason="there is no such operator to fuse to")
@pytest.mark.parametrize("fragment", _GROUP_NORMS.values(), ids=_GROUP_NORMS.keys())
def test_a_group_norm_by_instances_becomes_one_node(fragment: Fragment) -> None:
    """PyTorch exports it as an InstanceNormalization of a picture that holds each group in one channel."""
    assert fused(fragment, _ALL, (2, 4, 3, 5)) == ["GroupNormalization"]


@pytest.mark.parametrize("fragment", _NEAR_MISSES.values(), ids=_NEAR_MISSES.keys())
def test_what_only_looks_like_a_normalisation_stays(fragment: Fragment) -> None:
    """One axis, power or operand that differs makes another function."""
    assert kept(fragment, _ALL, (2, 4, 3, 5))


@pytest.mark.parametrize(
    ("op", "fragment"), [("LayerNormalization", _norm), ("LayerNormalization", _LAYER_NORMS["power"]),
                         ("RMSNormalization", _rms)]
)  # fmt: skip
def test_inner_values_that_are_needed_hold_a_normalisation_back(op: str, fragment: Fragment) -> None:
    """They would have to be computed beside it."""
    assert inner_values_hold_it_back(fragment, _ALL, op)


def test_a_factor_that_varies_along_other_axes_stays_behind_the_norm() -> None:
    """The operator's scale has the shape of what is normalised."""
    builder = GraphBuilder(shape=_SHAPE)
    builder.node("Mul", _norm(builder, "x"), builder.positive(4, 1))
    before = prepared(builder.build())

    graph = after(before, _ALL)

    assert kinds(graph) == ["LayerNormalization", "Mul"]
    assert_same_results(graph, before, builder.feeds())


def test_means_that_drop_their_axes_stay() -> None:
    """Without the axis of size 1 the mean is taken off other elements."""
    builder = GraphBuilder(shape=(5, 5))
    d = builder.node("Sub", "x", _mean(builder, "x", keepdims=0))
    builder.node("Div", d, _root(builder, _mean(builder, _squared(builder, d), keepdims=0)))
    before = prepared(builder.build())

    assert kinds(after(before, _ALL)) == kinds(before)


@pytest.mark.parametrize("fragment", [_norm, _rms, _LAYER_NORMS["affine"]])
def test_normalisations_of_unknown_shape_stay(fragment: Fragment) -> None:
    """The scale that they need has a shape."""
    builder = GraphBuilder(shape=_SHAPE)
    fragment(builder, "x")
    graph = without_records(prepared(builder.build()))

    assert kinds(after(graph, _ALL)) == kinds(graph)
