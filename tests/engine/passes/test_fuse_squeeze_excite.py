"""Tests of fuse_squeeze_excite: every spelling of the gate, what only looks like one, and whole blocks as plans."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.fragments import after, without_records
from support.pass_graphs import Array, GraphBuilder, kinds, prepared
from support.planned import assert_close, planned, results_of
from support.plans import RUNNABLE

from alula.engine.graph.graph import Graph
from alula.engine.kernels.target import Target
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.passes.driver import PassOptions
from alula.engine.passes.fuse_squeeze_excite import fuse_squeeze_excite
from alula.engine.passes.order import optimise
from alula.engine.plan.records import NativeStep

Gate = Callable[[GraphBuilder, str], str]
_CHANNELS, _HIDDEN = 24, 6
_WITHOUT = frozenset({"fuse_squeeze_excite"})


def _pool(b: GraphBuilder, x: str) -> str:
    return b.node("GlobalAveragePool", x)


def _mean(b: GraphBuilder, x: str, *, keepdims: int = 1) -> str:
    return b.node("ReduceMean", x, b.constant(np.array([2, 3])), keepdims=keepdims)


def _convolutions(b: GraphBuilder, x: str, squeeze: str = "Relu", hidden: int = _HIDDEN) -> str:
    inner = b.node(squeeze, b.conv(x, _CHANNELS, hidden, 1))
    return b.conv(inner, hidden, _CHANNELS, 1)


def _swish(b: GraphBuilder, x: str) -> str:
    inner = b.conv(x, _CHANNELS, _HIDDEN, 1)
    return b.conv(b.node("Mul", inner, b.node("Sigmoid", inner)), _HIDDEN, _CHANNELS, 1)


def _without_bias(b: GraphBuilder, x: str) -> str:
    inner = b.node("Relu", b.node("Conv", x, b.normal(_HIDDEN, _CHANNELS, 1, 1)))
    return b.node("Conv", inner, b.normal(_CHANNELS, _HIDDEN, 1, 1))


def _hard(b: GraphBuilder, x: str) -> str:
    """HardSigmoid as PyTorch exporters spelled it."""
    return b.node("Div", b.node("Clip", b.node("Add", x, b.constant(3)), b.constant(0), b.constant(6)), b.constant(6))


def _gemms(b: GraphBuilder, x: str) -> str:
    inner = b.node("Relu", b.node("Gemm", x, b.normal(_HIDDEN, _CHANNELS), b.normal(_HIDDEN), transB=1))
    return b.node("Sigmoid", b.node("Gemm", inner, b.normal(_HIDDEN, _CHANNELS), b.normal(_CHANNELS)))


def _products(b: GraphBuilder, x: str) -> str:
    inner = b.node("Relu", b.node("MatMul", x, b.normal(_CHANNELS, _HIDDEN)))
    return b.node("Sigmoid", b.node("Add", b.node("MatMul", inner, b.normal(_HIDDEN, _CHANNELS)), b.normal(_CHANNELS)))


def _picture(b: GraphBuilder, rows: str) -> str:
    return b.node("Unsqueeze", rows, b.constant(np.array([2, 3])))


def _reshaped(b: GraphBuilder, rows: str) -> str:
    return b.node("Reshape", rows, b.constant(np.array([0, _CHANNELS, 1, 1])))


_GATES: dict[str, Gate] = {
    "sigmoid": lambda b, x: b.node("Sigmoid", _convolutions(b, _pool(b, x))),
    "hard sigmoid": lambda b, x: b.node("HardSigmoid", _convolutions(b, _pool(b, x)), alpha=0.25, beta=0.4),
    "hard sigmoid spelled out": lambda b, x: _hard(b, _convolutions(b, _mean(b, x))),
    "swish inside": lambda b, x: b.node("Sigmoid", _swish(b, _mean(b, x))),
    "no biases": lambda b, x: b.node("Sigmoid", _without_bias(b, _pool(b, x))),
    "hard swish inside, no gate": lambda b, x: _convolutions(b, _pool(b, x), "HardSwish"),
    "gemms": lambda b, x: _picture(b, _gemms(b, b.node("Flatten", _pool(b, x), axis=1))),
    "products of a flat mean": lambda b, x: _reshaped(b, _products(b, _mean(b, x, keepdims=0))),
}


def _block(gate: Gate, batch: int = 2, *, residual: bool = False) -> GraphBuilder:
    """Conv -> gate -> scaling -> Conv, as in networks."""
    b = GraphBuilder(shape=(batch, 8, 6, 5))
    x = b.conv("x", 8, _CHANNELS, 3)
    scaled = b.node("Mul", x, gate(b, x))
    b.conv(b.node("Relu", b.node("Add", scaled, x)) if residual else scaled, _CHANNELS, 8, 1)
    return b


def _gated(graph: Graph) -> list[str]:
    return kinds(optimise(graph, PassOptions(check=True))[0])


@pytest.mark.parametrize("spelling", sorted(_GATES))
def test_all_spellings_become_one_gate(spelling: str) -> None:
    """Rule: the gate is one node between pool and scaling, and the results are those of its pieces."""
    block = _block(_GATES[spelling])
    feeds = block.feeds()

    got, _ = optimise(block.build(), PassOptions(check=True))

    assert kinds(got) == ["FusedConv", "GlobalAveragePool", "ChannelGate", "Elementwise", "FusedConv"]
    assert_close(evaluate_graph(got, feeds), evaluate_graph(prepared(block.build()), feeds))


@pytest.mark.parametrize("spelling", sorted(_GATES))
def test_what_is_no_number_goes_the_same_way(spelling: str) -> None:
    """Rule: NaN and infinity come out where the pieces let them out."""
    block = _block(_GATES[spelling])
    feeds = {"x": np.ones((2, 8, 6, 5), np.float32)}
    feeds["x"][0, 0, 0, 0], feeds["x"][1, 3, 2, 2] = np.nan, np.inf

    got, _ = optimise(block.build(), PassOptions())
    before, _ = optimise(block.build(), PassOptions(disable=_WITHOUT))

    for name, wanted in evaluate_graph(before, feeds).items():
        np.testing.assert_allclose(evaluate_graph(got, feeds)[name], wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("spelling", ["sigmoid", "gemms"])
def test_inner_values_that_are_wanted_are_still_made(spelling: str) -> None:
    """Rule: a gate whose inner values are outputs of the model is left in its pieces; results stay."""
    block = _block(_GATES[spelling])
    feeds = block.feeds()
    for node in block.nodes[:-1]:
        shown = block.build(node.output, block.nodes[-1].output)

        got, _ = optimise(shown, PassOptions(check=True))

        assert_close(evaluate_graph(got, feeds), evaluate_graph(prepared(shown), feeds))


def test_the_hidden_vector_as_an_output_holds_the_gate_back() -> None:
    """Rule: ChannelGate does not give it out."""
    block = _block(_GATES["sigmoid"])
    hidden = next(node.output for node in block.nodes if node.op == "Relu")

    assert "ChannelGate" not in _gated(block.build(hidden, block.nodes[-1].output))


def test_another_tensor_may_be_scaled() -> None:
    """Rule: the gate does not ask what is multiplied; the scaling stays a formula of its own operands."""
    b = GraphBuilder(shape=(1, 8, 6, 5))
    x, other = b.conv("x", 8, _CHANNELS, 3), b.conv("x", 8, _CHANNELS, 1)
    b.node("Mul", other, _GATES["sigmoid"](b, x))
    feeds = b.feeds()

    got, _ = optimise(b.build(), PassOptions(check=True))

    assert "ChannelGate" in kinds(got)
    assert_close(evaluate_graph(got, feeds), evaluate_graph(prepared(b.build()), feeds))


def test_the_scaling_takes_what_follows() -> None:
    """Rule: a residual sum and its activation are done in the same walk over memory."""
    got = _gated(_block(_GATES["sigmoid"], residual=True).build())

    assert got == ["FusedConv", "GlobalAveragePool", "ChannelGate", "Elementwise", "FusedConv"]


def _of_whole_maps(b: GraphBuilder, x: str) -> str:
    return b.node("Sigmoid", _convolutions(b, x))


def _padded(b: GraphBuilder, x: str) -> str:
    inner = b.node("Relu", b.conv(_pool(b, x), _CHANNELS, _HIDDEN, 3))
    return b.node("Sigmoid", b.conv(inner, _HIDDEN, _CHANNELS, 1))


def _grouped(b: GraphBuilder, x: str) -> str:
    inner = b.node("Relu", b.conv(_pool(b, x), _CHANNELS, _HIDDEN, 1, group=2))
    return b.node("Sigmoid", b.conv(inner, _HIDDEN, _CHANNELS, 1))


def _computed(b: GraphBuilder, x: str) -> str:
    """Weights that are no constants."""
    inner = b.node("Relu", b.conv(_pool(b, x), _CHANNELS, _HIDDEN, 1))
    weights = b.node("Exp", b.node("Slice", x, *(b.constant(np.array([n])) for n in (0, 1, 0))))
    weights = b.node("Reshape", b.node("ReduceSum", weights), b.constant(np.array([1, 1, 1, 1])))
    return b.node("Conv", inner, b.node("Expand", weights, b.constant(np.array([_CHANNELS, _HIDDEN, 1, 1]))))


def _of_images_together(b: GraphBuilder, x: str) -> str:
    """Rows that are not images."""
    rows = b.node("Reshape", _mean(b, x), b.constant(np.array([4, _CHANNELS // 2])))
    inner = b.node("Relu", b.node("MatMul", rows, b.normal(_CHANNELS // 2, _HIDDEN)))
    return b.node(
        "Reshape", b.node("MatMul", inner, b.normal(_HIDDEN, _CHANNELS // 2)), b.constant(np.array([2, -1, 1, 1]))
    )


@pytest.mark.parametrize(
    "gate",
    [
        _of_whole_maps, _padded, _grouped, _computed, _of_images_together,
        lambda b, x: b.node("Sigmoid", _convolutions(b, _pool(b, x), hidden=_CHANNELS)),
        lambda b, x: b.node("Sigmoid", b.conv(_pool(b, x), _CHANNELS, _CHANNELS, 1)),
    ],
    ids=["maps", "3x3", "groups", "computed weights", "rows of several images", "nothing is squeezed", "one product"],
)  # fmt: skip
def test_what_only_looks_like_a_gate_is_left(gate: Gate) -> None:
    """Rule: two constant products of one pixel, the hidden vector at most half as long as the result."""
    block = _block(gate)
    feeds = block.feeds()

    got, _ = optimise(block.build(), PassOptions(check=True))

    assert "ChannelGate" not in kinds(got)
    assert_close(evaluate_graph(got, feeds), evaluate_graph(prepared(block.build()), feeds))


def test_a_second_reader_of_the_flat_pool_keeps_it() -> None:
    """Rule: what others read stays."""
    b = GraphBuilder(shape=(2, 8, 6, 5))
    x = b.conv("x", 8, _CHANNELS, 3)
    flat = b.node("Flatten", _pool(b, x), axis=1)
    scaled = b.node("Mul", x, _picture(b, _gemms(b, flat)))
    graph = b.build(scaled, b.node("Neg", flat))
    feeds = b.feeds()

    got, _ = optimise(graph, PassOptions(check=True))

    assert {"ChannelGate", "Flatten"} <= set(kinds(got))
    assert_close(evaluate_graph(got, feeds), evaluate_graph(prepared(graph), feeds))


def test_unknown_shapes_are_left() -> None:
    """Rule: one pixel is known or it is not assumed."""
    pieces, _ = optimise(_block(_GATES["sigmoid"]).build(), PassOptions(disable=_WITHOUT))

    assert "ChannelGate" in kinds(after(pieces, (fuse_squeeze_excite,)))
    assert "ChannelGate" not in kinds(after(without_records(pieces), (fuse_squeeze_excite,)))


@pytest.mark.parametrize("target", RUNNABLE, ids=lambda t: t.name)
@pytest.mark.parametrize("spelling", sorted(_GATES))
def test_a_block_runs_in_five_steps(spelling: str, target: Target, tmp_path: Path) -> None:
    """Rule: convolution, pool, gate, scaling, convolution, in blocks all along; 24 channels fill no block of 16."""
    block = _block(_GATES[spelling])
    feeds: dict[str, Array] = block.feeds()

    plan = planned(block.build(), target)
    got = results_of(plan, tmp_path, feeds, threads=2)

    assert all(isinstance(step, NativeStep) for step in plan.steps)
    families = [step.kernel.family for step in plan.steps if isinstance(step, NativeStep)]
    gate = families.index("gate")
    assert families[gate - 1 : gate + 2] == ["global average pool", "gate", "elementwise"]
    assert_close(got, evaluate_graph(prepared(block.build()), feeds))


def test_a_plain_pool_gates_plain_maps(tmp_path: Path) -> None:
    """Rule: where no convolution has blocked the maps, the gate reads and writes plain rows."""
    b = GraphBuilder(shape=(2, _CHANNELS, 6, 5))
    b.node("Mul", "x", _GATES["sigmoid"](b, "x"))
    feeds = b.feeds()

    plan = planned(b.build())
    got = results_of(plan, tmp_path, feeds)

    assert [step.kernel.family for step in plan.steps if isinstance(step, NativeStep)][1] == "gate"
    assert_close(got, evaluate_graph(prepared(b.build()), feeds))
