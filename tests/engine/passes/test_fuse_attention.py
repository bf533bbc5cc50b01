"""Tests of fuse_attention: heads as exporters take them apart, what stays, and the same results in generated code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.pass_graphs import GraphBuilder, assert_same_results, kinds, prepared
from support.planned import assert_close, planned, results_of

from alula.engine.graph.check import check_graph
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Node
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.passes.driver import run_node_pass
from alula.engine.passes.drop_dead_nodes import drop_dead_nodes
from alula.engine.passes.fuse_attention import fuse_attention
from alula.engine.passes.turn_weighing import turn_weighing
from alula.engine.passes.unstack_transposes import unstack_transposes
from alula.engine.plan.records import NativeStep

_B, _T, _H, _D = 2, 7, 3, 5
_SHAPE = (_B, _T, 3 * _H * _D)
# Reads the values of q, k^T and v.
Take = Callable[[GraphBuilder], tuple[str, str, str]]


def _ints(b: GraphBuilder, *values: int) -> str:
    return b.constant(np.array(values, np.int64))


def _by_split(b: GraphBuilder) -> tuple[str, str, str]:
    """As timm's vision transformers: one linear layer, its result taken apart by Split and Squeeze."""
    apart = b.node("Reshape", "x", _ints(b, _B, _T, 3, _H, _D))
    turned = b.node("Transpose", apart, perm=(2, 0, 3, 1, 4))
    b.nodes.append(Node("Split", (turned, _ints(b, 1, 1, 1)), ("part_q", "part_k", "part_v"), {"axis": 0}))
    q, k, v = (b.node("Squeeze", name, _ints(b, 0)) for name in ("part_q", "part_k", "part_v"))
    return q, b.node("Transpose", k, perm=(0, 1, 3, 2)), v


def _by_gather(b: GraphBuilder) -> tuple[str, str, str]:
    """The same with an index for each part."""
    apart = b.node("Reshape", "x", _ints(b, _B, _T, 3, _H, _D))
    turned = b.node("Transpose", apart, perm=(2, 0, 3, 1, 4))
    q, k, v = (b.node("Gather", turned, b.constant(np.array(index, np.int64)), axis=0) for index in range(3))
    return q, b.node("Transpose", k, perm=(0, 1, 3, 2)), v


def _by_slices(b: GraphBuilder) -> tuple[str, str, str]:
    """As Paddle: slices that are squeezed; and the scale on the queries, with 0 added."""
    apart = b.node("Reshape", "x", _ints(b, 0, -1, 3, _H, _D))
    turned = b.node("Transpose", apart, perm=(2, 0, 3, 1, 4))
    parts = [b.node("Slice", turned, _ints(b, i), _ints(b, i + 1), _ints(b, 0), _ints(b, 1)) for i in range(3)]
    q, k, v = (b.node("Squeeze", part, _ints(b, 0)) for part in parts)
    scaled = b.node("Add", b.node("Mul", q, b.constant(0.25)), b.constant(0.0))
    return scaled, b.node("Transpose", k, perm=(0, 1, 3, 2)), v


def _by_linears(b: GraphBuilder) -> tuple[str, str, str]:
    """As BERT: three linear layers; the root of the scale on both sides, keys turned as a stack of matrices."""
    sides = [b.node("MatMul", "x", b.normal(_SHAPE[2], _H * _D)) for _ in range(3)]
    apart = [b.node("Reshape", side, _ints(b, _B, _T, _H, _D)) for side in sides]
    q, k, v = (b.node("Transpose", side, perm=(0, 2, 1, 3)) for side in apart)
    flat = b.node("Transpose", b.node("Reshape", k, _ints(b, -1, _T, _D)), perm=(0, 2, 1))
    keys = b.node("Reshape", flat, _ints(b, _B, _H, _D, _T))
    root = b.constant(0.67)
    return b.node("Mul", q, root), b.node("Mul", root, keys), v


def _by_three_axes(b: GraphBuilder) -> tuple[str, str, str]:
    """One head, as in single-head blocks; keys turned by one transpose."""
    q, k, v = (b.node("MatMul", "x", b.normal(_SHAPE[2], _D)) for _ in range(3))
    return q, b.node("Transpose", k, perm=(0, 2, 1)), v


_TAKES = {"split": _by_split, "gather": _by_gather, "slices": _by_slices, "linears": _by_linears}


def _joined(b: GraphBuilder, y: str) -> str:
    return b.node("Reshape", b.node("Transpose", y, perm=(0, 2, 1, 3)), _ints(b, 0, 0, -1))


def _graph(take: Take, finish: Callable[[GraphBuilder, str], str] | None = None) -> tuple[GraphBuilder, Graph]:
    builder = GraphBuilder(shape=_SHAPE)
    q, k, v = take(builder)
    scores = builder.node("Div", builder.node("MatMul", q, k), builder.constant(np.sqrt(_D)))
    weights = finish(builder, scores) if finish else builder.node("Softmax", scores, axis=-1)
    y = builder.node("MatMul", weights, v)
    builder.node("Abs", y if take is _by_three_axes else _joined(builder, y))
    return builder, prepared(builder.build())


def _after(graph: Graph) -> Graph:
    for visit in (unstack_transposes, fuse_attention):
        graph, _ = run_node_pass(graph, visit, repeat=True)
        check_graph(graph, visit.__name__)
    return drop_dead_nodes(graph)


def _masked(b: GraphBuilder, scores: str) -> str:
    return b.node("Softmax", b.node("Add", b.normal(_B, 1, 1, _T), scores), axis=3)


def _safe(b: GraphBuilder, scores: str) -> str:
    """A mask that leaves the third row nothing."""
    mask = np.zeros((_T, _T), np.float32)
    mask[2] = -np.inf
    return _instead_of_nan(b, b.node("Softmax", b.node("Add", scores, b.constant(mask))), 0.0)


def _instead_of_nan(b: GraphBuilder, weights: str, number: float) -> str:
    return b.node("Where", b.node("IsNaN", weights), b.constant(number), weights)


@pytest.mark.parametrize("take", [*_TAKES.values(), _by_three_axes], ids=[*_TAKES.keys(), "three axes"])
@pytest.mark.parametrize("finish", [None, _masked, _safe], ids=["plain", "mask", "safe"])
def test_heads_are_taken_and_joined_without_copies(
    take: Take, finish: Callable[[GraphBuilder, str], str] | None, tmp_path: Path
) -> None:
    """What is left is one node beside the linear layers, with the same results, by the reference and natively."""
    if take is _by_three_axes and finish is _masked:
        finish = lambda b, scores: b.node("Softmax", b.node("Add", b.normal(_B, 1, _T), scores))  # noqa: E731
    builder, before = _graph(take, finish)

    graph = _after(before)

    linears = 3 if take in {_by_linears, _by_three_axes} else 0
    assert kinds(graph) == ["MatMul"] * linears + ["ScaledDotProduct", "Abs"]
    feeds = builder.feeds()
    assert_same_results(graph, before, feeds)
    plan = planned(graph)
    assert all(isinstance(step, NativeStep) for step in plan.steps)
    assert_close(results_of(plan, tmp_path, feeds, threads=2), evaluate_graph(before, feeds))


_NEAR_MISSES = {
    "softmax along the rows": lambda b, s: b.node("Softmax", s, axis=2),
    "a mask with more axes": lambda b, s: b.node("Squeeze", b.node("Softmax", b.node(
        "Add", s, b.normal(1, 1, 1, _T, _T))), _ints(b, 0)),
    "a mask that has one number for a row": lambda b, s: b.node("Softmax", b.node("Add", s, b.normal(_T, 1))),
    "weights that are changed": lambda b, s: b.node("Relu", b.node("Softmax", s)),
    "NaN that becomes 1": lambda b, s: _instead_of_nan(b, b.node("Softmax", s), 1.0),
}  # fmt: skip


@pytest.mark.parametrize("finish", _NEAR_MISSES.values(), ids=_NEAR_MISSES.keys())
def test_what_only_looks_like_attention_stays(finish: Callable[[GraphBuilder, str], str]) -> None:
    """The kernel has rows of scores with a softmax along the keys, and a number in the mask for each."""
    _, before = _graph(_by_split, finish)

    assert kinds(_after(before)) == kinds(before)


def test_scores_that_others_read_are_computed() -> None:
    """Weights shown as an output, as tools that draw attention do."""
    builder, whole = _graph(_by_split)
    weights = next(node.output for node in whole.nodes if node.op == "Softmax")
    before = prepared(builder.build(weights, whole.outputs[0]))

    assert kinds(_after(before)) == kinds(before)


def test_heads_that_are_read_apart_stay_apart() -> None:
    """The transpose behind is needed only by the one who joins them."""
    builder, whole = _graph(_by_split)
    apart = [node.output for node in whole.nodes if node.op == "MatMul"][-1]
    before = prepared(builder.build(apart, whole.outputs[0]))

    graph = _after(before)

    assert kinds(graph)[-4:] == ["ScaledDotProduct", "Transpose", "Reshape", "Abs"]
    assert_same_results(graph, before, builder.feeds())


def test_values_whose_features_stand_apart_are_copied_first() -> None:
    """The kernel reads vectors of neighbouring features."""
    builder = GraphBuilder(shape=(2, 3, 8, 6))
    q = builder.node("Transpose", "x", perm=(0, 1, 3, 2))
    weights = builder.node("Softmax", builder.node("MatMul", q, "x"))
    builder.node("Abs", builder.node("MatMul", weights, q))
    before = prepared(builder.build())

    graph = _after(before)

    assert kinds(graph) == ["Transpose", "ScaledDotProduct", "Abs"]
    assert graph.nodes[1].inputs == ("x", "x", q)
    assert_same_results(graph, before, builder.feeds())


def _picture(b: GraphBuilder, channels: int, keys: int, values: int) -> tuple[str, str, str]:
    """Heads of a picture: [batch, head, channel, pixel]; pixels are the tokens, and neighbours in memory."""
    heads = b.shape[1] // channels
    apart = b.node("Reshape", "x", _ints(b, b.shape[0], heads, channels, -1))
    b.nodes.append(Node("Split", (apart, _ints(b, keys, keys, values)), ("part_q", "part_k", "part_v"), {"axis": 2}))
    return "part_q", "part_k", "part_v"


def test_attention_over_the_pixels_of_a_picture_becomes_one_node(tmp_path: Path) -> None:
    """Detectors weigh values from the left, v softmax(q^T k)^T, so that pixels stay neighbours (YOLO11, C2PSA)."""
    builder = GraphBuilder(shape=(2, 32, 3, 5))
    q, k, v = _picture(builder, 16, 4, 8)
    scores = builder.node("MatMul", builder.node("Transpose", q, perm=(0, 1, 3, 2)), k)
    weights = builder.node("Softmax", builder.node("Mul", scores, builder.constant(0.5)), axis=-1)
    y = builder.node("MatMul", v, builder.node("Transpose", weights, perm=(0, 1, 3, 2)))
    builder.node("Abs", builder.node("Reshape", y, _ints(builder, 2, 16, 3, 5)))
    before = prepared(builder.build())

    graph, _ = run_node_pass(before, turn_weighing)
    graph = _after(graph)

    feeds = builder.feeds()
    assert kinds(graph) == ["Reshape", "Split", "Transpose", "ScaledDotProduct", "Transpose", "Reshape", "Abs"]
    assert_same_results(graph, before, feeds)
    assert_close(results_of(planned(before), tmp_path, feeds), evaluate_graph(before, feeds))


def test_weights_that_are_read_turned_elsewhere_too_keep_their_side() -> None:
    """They would be turned all the same."""
    builder = GraphBuilder(shape=(2, 3, 4, 4))
    turned = builder.node("Transpose", builder.node("Softmax", "x"), perm=(0, 1, 3, 2))
    builder.node("Add", builder.node("MatMul", "x", turned), turned)
    before = prepared(builder.build())

    after, rewrites = run_node_pass(before, turn_weighing)

    assert rewrites == 0
    assert after is before
