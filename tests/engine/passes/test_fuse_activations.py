"""Tests of fuse_hard_swish, fuse_swish, fuse_gelu and fuse_mish: every spelling, and what only looks like one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from support.fragments import Fragment, after, fused, inner_values_hold_it_back, kept, without_records
from support.pass_graphs import GraphBuilder, kinds, prepared

from alula.engine.passes.fuse_gelu import fuse_gelu
from alula.engine.passes.fuse_hard_swish import fuse_hard_swish
from alula.engine.passes.fuse_mish import fuse_mish
from alula.engine.passes.fuse_swish import fuse_swish

_ALL = (fuse_hard_swish, fuse_swish, fuse_gelu, fuse_mish)


def _relu6(b: GraphBuilder, x: str, offset: float = 3.0, top: float = 6.0) -> str:
    return b.node("Clip", b.node("Add", b.constant(offset), x), b.constant(0), b.constant(top))


def _erf(b: GraphBuilder, x: str, root: float = math.sqrt(2)) -> str:
    return b.node("Add", b.node("Erf", b.node("Div", x, b.constant(root))), b.constant(1))


def _tanh(b: GraphBuilder, x: str, bent: str, inner: float = 0.7978845608) -> str:
    del x
    return b.node("Add", b.constant(1), b.node("Tanh", b.node("Mul", b.constant(inner), bent)))


def _cubed(b: GraphBuilder, x: str, cubic: float = 0.044715) -> str:
    return b.node("Add", x, b.node("Mul", b.node("Pow", x, b.constant(3)), b.constant(cubic)))


def _multiplied(b: GraphBuilder, x: str) -> str:
    cube = b.node("Mul", b.node("Mul", x, x), x)
    return b.node("Add", b.node("Mul", b.constant(0.044715), cube), x)


_HARD_SWISH: dict[str, Fragment] = {
    "product, quotient": lambda b, x: b.node("Div", b.node("Mul", x, _relu6(b, x)), b.constant(6)),
    "product, factor": lambda b, x: b.node("Mul", b.constant(1 / 6), b.node("Mul", _relu6(b, x), x)),
    "gate divided": lambda b, x: b.node("Mul", x, b.node("Div", _relu6(b, x), b.constant(6))),
    "gate scaled": lambda b, x: b.node("Mul", b.node("Mul", _relu6(b, x), b.constant(0.16667)), x),
    "x scaled": lambda b, x: b.node("Mul", b.node("Mul", x, b.constant(1 / 6)), _relu6(b, x)),
    "relu, min": lambda b, x: b.node(
        "Div",
        b.node("Mul", x, b.node("Min", b.node("Relu", b.node("Add", x, b.constant(3))), b.constant(6))),
        b.constant(6),
    ),
    "hard sigmoid": lambda b, x: b.node("Mul", x, b.node("HardSigmoid", x, alpha=1 / 6, beta=0.5)),
    "hard sigmoid first": lambda b, x: b.node("Mul", b.node("HardSigmoid", x, alpha=0.166667, beta=0.5), x),
}
_SWISH: dict[str, Fragment] = {
    "sigmoid": lambda b, x: b.node("Mul", x, b.node("Sigmoid", x)),
    "sigmoid first": lambda b, x: b.node("Mul", b.node("Sigmoid", x), x),
    "quick gelu": lambda b, x: b.node("Mul", x, b.node("Sigmoid", b.node("Mul", x, b.constant(1.702)))),
    "spelled out": lambda b, x: b.node("Div", x, b.node("Add", b.node("Exp", b.node("Neg", x)), b.constant(1))),
}
_GELU: dict[str, Fragment] = {
    "half behind": lambda b, x: b.node("Mul", b.node("Mul", x, _erf(b, x)), b.constant(0.5)),
    "half before": lambda b, x: b.node("Mul", b.node("Mul", x, b.constant(0.5)), _erf(b, x)),
    "half on the curve": lambda b, x: b.node("Mul", x, b.node("Mul", b.constant(0.5), _erf(b, x))),
    "halved": lambda b, x: b.node("Div", b.node("Mul", _erf(b, x), x), b.constant(2)),
    "tanh of a power": lambda b, x: b.node("Mul", b.node("Mul", x, b.constant(0.5)), _tanh(b, x, _cubed(b, x))),
    "tanh of products": lambda b, x: b.node("Mul", b.constant(0.5), b.node("Mul", x, _tanh(b, x, _multiplied(b, x)))),
}
_MISH: dict[str, Fragment] = {
    "softplus": lambda b, x: b.node("Mul", x, b.node("Tanh", b.node("Softplus", x))),
    "logarithm": lambda b, x: b.node(
        "Mul", b.node("Tanh", b.node("Log", b.node("Add", b.node("Exp", x), b.constant(1)))), x
    ),
}
_SPELLINGS = [
    (op, name, fragment)
    for op, fragments in (("HardSwish", _HARD_SWISH), ("Swish", _SWISH), ("Gelu", _GELU), ("Mish", _MISH))
    for name, fragment in fragments.items()
]
_NEAR_MISSES: dict[str, Fragment] = {
    "another offset": lambda b, x: b.node("Div", b.node("Mul", x, _relu6(b, x, 2.5)), b.constant(6)),
    "another bound": lambda b, x: b.node("Div", b.node("Mul", x, _relu6(b, x, 3, 5)), b.constant(6)),
    "another quotient": lambda b, x: b.node("Div", b.node("Mul", x, _relu6(b, x)), b.constant(5)),
    "the quotient turned": lambda b, x: b.node("Div", b.constant(6), b.node("Mul", x, _relu6(b, x))),
    "another slope": lambda b, x: b.node("Mul", x, b.node("HardSigmoid", x, alpha=0.2, beta=0.5)),
    "a gate of another value": lambda b, x: b.node("Mul", b.node("Neg", x), b.node("Sigmoid", x)),
    "a gate by channel": lambda b, x: b.node("Mul", x, b.node("Sigmoid", b.node("Mul", x, b.positive(3, 1, 1)))),
    "another root": lambda b, x: b.node("Mul", b.node("Mul", x, _erf(b, x, 1.5)), b.constant(0.5)),
    "not half": lambda b, x: b.node("Mul", b.node("Mul", x, _erf(b, x)), b.constant(0.51)),
    "another cubic": lambda b, x: b.node("Mul", b.node("Mul", x, b.constant(0.5)), _tanh(b, x, _cubed(b, x, 0.04))),
    "more axes": lambda b, x: b.node(
        "Mul", b.node("Mul", x, _erf(b, x)), b.constant(np.full((1,) * 5, 0.5, np.float32))
    ),
    "softplus of another value": lambda b, x: b.node("Mul", x, b.node("Tanh", b.node("Softplus", b.node("Abs", x)))),
}


@pytest.mark.parametrize(
    ("op", "fragment"), [(s[0], s[2]) for s in _SPELLINGS], ids=[f"{s[0]}, {s[1]}" for s in _SPELLINGS]
)
def test_every_spelling_becomes_one_node(op: str, fragment: Fragment) -> None:
    """Exporters write activations in parts, each in its own order; a reader of the plan wants their name."""
    assert fused(fragment, _ALL) == [op]


@pytest.mark.parametrize("fragment", _NEAR_MISSES.values(), ids=_NEAR_MISSES.keys())
def test_what_only_looks_like_an_activation_stays(fragment: Fragment) -> None:
    """One constant or operand that differs makes another function."""
    assert kept(fragment, _ALL)


@pytest.mark.parametrize(
    ("op", "fragment"), [(s[0], s[2]) for s in _SPELLINGS], ids=[f"{s[0]}, {s[1]}" for s in _SPELLINGS]
)
def test_inner_values_that_are_needed_hold_a_fragment_back(op: str, fragment: Fragment) -> None:
    """They would have to be computed beside it."""
    assert inner_values_hold_it_back(fragment, _ALL, op)


def test_the_factor_of_the_quick_form_is_kept() -> None:
    """GELU by a logistic curve is Swish with alpha 1.702 (Hendrycks and Gimpel 2016, section 2)."""
    builder = GraphBuilder()
    _SWISH["quick gelu"](builder, "x")

    node = after(prepared(builder.build()), _ALL).nodes[0]

    assert node.real("alpha") == pytest.approx(1.702)


def test_the_tanh_form_says_so() -> None:
    """Both forms differ by up to 5e-4."""
    builder = GraphBuilder()
    _GELU["tanh of a power"](builder, "x")

    assert after(prepared(builder.build()), _ALL).nodes[0].text("approximate") == "tanh"


def test_fragments_of_integers_stay() -> None:
    """x relu6(x + 3) / 6 in integers is rounded; HardSwish has no integers."""
    builder = GraphBuilder()
    index = builder.node("ArgMax", "x", axis=1)
    three, six, zero = (builder.constant(np.array(value, np.int64)) for value in (3, 6, 0))
    gate = builder.node("Clip", builder.node("Add", index, three), zero, six)
    builder.node("Div", builder.node("Mul", index, gate), six)
    graph = prepared(builder.build())

    assert kinds(after(graph, _ALL)) == kinds(graph)


@pytest.mark.parametrize("fragment", [s[2] for s in _SPELLINGS])
def test_fragments_of_unknown_shape_stay(fragment: Fragment) -> None:
    """A constant of more axes would give the result its rank: without shapes nobody knows."""
    builder = GraphBuilder()
    fragment(builder, "x")
    graph = without_records(prepared(builder.build()))

    assert kinds(after(graph, _ALL)) == kinds(graph)
