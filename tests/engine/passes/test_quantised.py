"""Passes over quantised numbers: what goes, what stays exact, and what is left to the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fragments import after
from support.pass_graphs import kinds
from support.planned import planned, results_of
from support.problem import number, reals
from support.problems_quantised import bytes_of

from alula.engine.graph.check import check_graph
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import INTERNAL, Array, Attribute, Node, Value
from alula.engine.graph.numpy_dtypes import dtype_of
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.passes.driver import NodePass
from alula.engine.passes.drop_dead_nodes import drop_dead_nodes
from alula.engine.passes.drop_requantisation import drop_requantisation
from alula.engine.passes.fold_constants import fold_constants
from alula.engine.passes.fuse_elementwise import fuse_elementwise
from alula.engine.passes.lower_integer_products import lower_integer_products
from alula.engine.passes.lower_masks import lower_masks
from alula.engine.passes.lower_quantisation import lower_quantisation
from alula.engine.passes.widen_bytes import widen_bytes
from alula.engine.plan.records import HostStep

_SCALE, _ZERO = number(0.07), number(3, np.int8)


@dataclass
class Chain:
    """Nodes one after the other, over fed arrays and constants."""

    feeds: dict[str, Array]
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)

    def node(self, op: str, *inputs: str | Array, domain: str = "", **attributes: Attribute) -> str:
        """Append a node of one output; arrays become constants."""
        names = tuple(name if isinstance(name, str) else self._constant(name) for name in inputs)
        self.nodes.append(Node(op, names, (f"v{len(self.nodes)}",), attributes, domain=domain))
        return self.nodes[-1].output

    def _constant(self, array: Array) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = array
        return name

    def graph(self, *outputs: str) -> Graph:
        """Shapes and dtypes known; outputs are the last value by default."""
        values = {n: Value(n, dtype_of(a), a.shape) for n, a in {**self.feeds, **self.constants}.items()}
        inputs = tuple(values[name] for name in self.feeds)
        last = outputs or (self.nodes[-1].output,)
        return fold_constants(Graph("g", tuple(self.nodes), inputs, last, self.constants, values, {"": 28}))


def _stored(b: Chain, x: str, scale: Array = _SCALE, zero: Array = _ZERO) -> str:
    return b.node("QuantizeLinear", x, scale, zero)


def _real(b: Chain, q: str, scale: Array = _SCALE, zero: Array = _ZERO) -> str:
    return b.node("DequantizeLinear", q, scale, zero)


def _same(graph: Graph, feeds: Mapping[str, Array], *visits: NodePass) -> Graph:
    """The graph behind the passes, after its results were found to have the same bits."""
    found = after(graph, visits)
    check_graph(found, visits[-1].__name__)
    wanted, results = evaluate_graph(graph, feeds), evaluate_graph(found, feeds)
    for name in graph.outputs:
        assert results[name].dtype == wanted[name].dtype
        np.testing.assert_array_equal(results[name], wanted[name])
    return found


_PICTURE = {"x": reals(2, 4, 6, 6, low=-12.0, high=12.0)}


@pytest.mark.parametrize(
    "carried",
    [
        (),
        (("MaxPool", {"kernel_shape": (2, 2)}),),
        (("Transpose", {"perm": (0, 2, 3, 1)}), ("Relu", {})),
    ],
    ids=["nothing", "pool", "transpose and relu"],
)
def test_numbers_that_are_quantised_already_are_not_quantised_again(
    carried: Sequence[tuple[str, dict[str, Any]]],
) -> None:
    """Rule: moving multiples of a scale makes multiples of it, and every bit stays."""
    b = Chain(_PICTURE)
    x = _real(b, _stored(b, "x"))
    for op, attributes in carried:
        x = b.node(op, x, **attributes)
    b.node("Neg", _real(b, _stored(b, x)))

    found = drop_dead_nodes(_same(b.graph(), b.feeds, drop_requantisation, drop_requantisation))

    left = [op for op in kinds(found) if op.endswith("quantizeLinear") or op == "QuantizeLinear"]
    assert left == ["QuantizeLinear", "DequantizeLinear"]


def test_bytes_that_are_dequantised_and_quantised_are_the_bytes() -> None:
    """Rule: a pair with equal factors around nothing goes, whoever reads the bytes."""
    b = Chain({"x": bytes_of(np.int8, 4, 70)})
    b.node("Abs", _stored(b, _real(b, "x")))

    found = _same(b.graph(), b.feeds, drop_requantisation)

    assert "Abs" in kinds(found)
    assert found.nodes[-1].inputs == ("x",)


@pytest.mark.parametrize(
    ("scale", "zero", "op"),
    [
        (number(0.08), _ZERO, "Relu"),
        (_SCALE, number(4, np.int8), "Relu"),
        (_SCALE, number(3, np.uint8), "Relu"),
        (number(np.nan), _ZERO, "Relu"),
        (_SCALE, _ZERO, "Neg"),
        (_SCALE, _ZERO, "GlobalAveragePool"),
    ],
)
def test_other_factors_and_new_numbers_are_quantised(scale: Array, zero: Array, op: str) -> None:
    """Near misses: another scale, zero point or type, and operators that make numbers between."""
    b = Chain(_PICTURE)
    b.node("Neg", _real(b, _stored(b, b.node(op, _real(b, _stored(b, "x"))), scale, zero), scale, zero))

    found = after(b.graph(), [drop_requantisation])

    assert kinds(found).count("QuantizeLinear") == 2


@pytest.mark.parametrize("inner", [200, 700, 1400], ids=["one part", "several parts", "more parts"])
def test_sums_of_products_are_exact_at_the_ends_of_the_range(inner: int, tmp_path: Path) -> None:
    """Rule: no sum in float32 passes 2**24, even where all bytes are extreme and have one sign."""
    a, w = np.full((3, inner), 255, np.uint8), np.full((inner, 2), 127, np.int8)
    a[1, ::2] = 0
    w[::3, 1] = -128
    b = Chain({"x": a})
    b.node("MatMulInteger", "x", w)

    plan = planned(b.graph())
    found = results_of(plan, tmp_path, b.feeds)

    np.testing.assert_array_equal(found["v0"], a.astype(np.int64) @ w.astype(np.int64))
    assert not any(isinstance(step, HostStep) for step in plan.steps)


def test_long_convolutions_are_cut_along_their_channels(tmp_path: Path) -> None:
    """Rule: parts of a convolution, and a bias beyond float32's integers, are added as int32."""
    x, w = np.full((1, 200, 4, 4), 255, np.uint8), np.full((3, 200, 3, 3), -128, np.int8)
    bias = np.array([2**25 + 1, -(2**25) - 1, 3], np.int32)
    one, zero = number(1.0), number(0, np.uint8)
    b = Chain({"x": x})
    b.node("QLinearConv", "x", one, zero, w, one, number(0, np.int8), number(-2e6), number(200, np.uint8), bias)

    wanted = evaluate_graph(b.graph(), b.feeds)
    plan = planned(b.graph())

    np.testing.assert_array_equal(results_of(plan, tmp_path, b.feeds)["v0"], wanted["v0"])
    assert len(set(wanted["v0"].reshape(-1).tolist())) == 3
    assert not any(isinstance(step, HostStep) for step in plan.steps)


@pytest.mark.parametrize(
    ("op", "x", "w", "attributes"),
    [
        ("MatMulInteger", np.zeros((2, 3000), np.uint8), np.full((3000, 2), 255, np.uint8), {}),
        ("MatMulInteger", np.zeros(4, np.uint8), np.ones((4, 2), np.uint8), {}),
        ("ConvInteger", np.zeros((1, 600, 9, 9), np.uint8), np.full((2, 300, 9, 9), 255, np.uint8), {"group": 2}),
    ],
    ids=["too many parts", "a vector", "groups that are too long"],
)
def test_products_that_float32_cannot_hold_stay(op: str, x: Array, w: Array, attributes: dict[str, Any]) -> None:
    """What cannot be proved exact is left to the reference, which computes in float64."""
    b = Chain({"x": x})
    b.node(op, "x", w, **attributes)

    assert kinds(after(b.graph(), [lower_integer_products])) == [op]


def test_weights_that_only_the_run_tells_are_bounded_by_their_type() -> None:
    """Rule: 528 products of up to 248 and up to 128 fit; more are cut, by slices of both sides."""
    b = Chain({"x": bytes_of(np.uint8, 3, 529), "w": bytes_of(np.int8, 529, 4)})
    b.node("MatMulInteger", "x", "w", number(7, np.uint8))

    found = _same(b.graph(), b.feeds, lower_integer_products)

    assert kinds(found).count("MatMul") == 2
    assert kinds(found).count("Slice") == 4


def test_bytes_that_several_formulas_read_stay_in_float32() -> None:
    """Rule: the value between is float32, and nobody reads the bytes."""
    b = Chain(_PICTURE)
    q = _stored(b, "x")
    b.node("Add", _real(b, q), b.node("Neg", b.node("DequantizeLinear", q, number(0.5), _ZERO)))

    found = _same(b.graph(), b.feeds, lower_quantisation, fuse_elementwise, widen_bytes, widen_bytes)

    assert {value.dtype.value for value in found.values.values() if value.name not in found.constants} == {"float32"}


def test_bytes_that_are_shown_are_stored() -> None:
    """The model's outputs keep their type, whoever else reads them."""
    b = Chain(_PICTURE)
    q = _stored(b, "x")
    y = b.node("Add", _real(b, q), b.node("DequantizeLinear", q, number(0.5), _ZERO))

    found = _same(b.graph(q, y), b.feeds, lower_quantisation, fuse_elementwise, widen_bytes)

    assert found.values[q].dtype.value == "int8"


def test_pools_of_bytes_work_on_float32() -> None:
    """Rule: the largest of some bytes is the largest of the same in float32."""
    b = Chain({"x": bytes_of(np.int8, 2, 4, 7, 6)})
    b.node("MaxPool", "x", kernel_shape=(3, 2), strides=(2, 2), pads=(1, 0, 1, 1))

    found = _same(b.graph(), b.feeds, widen_bytes)

    assert kinds(found) == ["Elementwise", "MaxPool", "Elementwise"]


@pytest.mark.parametrize("shape", [(2, 5), (2, 3, 5)])
def test_masks_that_are_fed_are_formulas(shape: tuple[int, ...]) -> None:
    """Rule: 0 hides a key, any other number shows it."""
    mask = np.random.default_rng(1).integers(-1, 2, shape).astype(np.int32)
    b = Chain({"x": mask, "like": reals(2, 5, 8)})
    b.node("AttentionBias", "x", "like", domain=INTERNAL, filtered=-10000.0)

    found = _same(b.graph(), b.feeds, lower_masks)

    assert kinds(found) == ["Reshape", "Elementwise"]


def test_lengths_that_are_fed_are_left_to_the_reference() -> None:
    """A formula has no places to compare with lengths."""
    b = Chain({"x": np.array([3, 5], np.int32), "like": reals(2, 5, 8)})
    b.node("AttentionBias", "x", "like", domain=INTERNAL, filtered=-10000.0)

    assert kinds(after(b.graph(), [lower_masks])) == ["AttentionBias"]
