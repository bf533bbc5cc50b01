"""Tests of lower_attention: the plain forms of ONNX's Attention, and those that must stay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.pass_graphs import GraphBuilder, assert_same_results, kinds, prepared
from support.planned import assert_close, planned, results_of

from alula.engine.graph.check import check_graph
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Attribute, Node
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.passes.driver import run_node_pass
from alula.engine.passes.lower_attention import lower_attention

_SHAPE = (2, 4, 7, 6)
_CAUSAL = np.tri(7, dtype=np.bool_)
_BLIND = _CAUSAL & (np.arange(7)[:, None] != 3)


def _lowered(builder: GraphBuilder) -> tuple[Graph, Graph]:
    before = prepared(builder.build())
    graph, _ = run_node_pass(before, lower_attention)
    check_graph(graph, "lower_attention")
    assert_same_results(graph, before, builder.feeds())
    return before, graph


def _apart(mask: np.ndarray | None = None, **attributes: Attribute) -> GraphBuilder:
    """Heads with an axis of their own."""
    builder = GraphBuilder(shape=_SHAPE)
    sides = [builder.node("Neg", "x"), builder.node("Abs", "x"), builder.node("Tanh", "x")]
    masks = [] if mask is None else [builder.constant(mask)]
    builder.node("Relu", builder.node("Attention", *sides, *masks, **attributes))
    return builder


@pytest.mark.parametrize(
    ("mask", "attributes"),
    [
        (None, {}),
        (None, {"scale": 0.7}),
        (None, {"is_causal": 1}),
        (_CAUSAL, {}),
        (_CAUSAL[:, ::-1].copy(), {}),
        (np.linspace(-1, 1, 7, dtype=np.float32), {"is_causal": 1}),
        (np.linspace(-1, 1, 56, dtype=np.float32).reshape(2, 4, 1, 7), {}),
    ],
    ids=["plain", "scale", "causal", "mask", "mask of later keys", "both", "mask by head"],
)
def test_plain_forms_become_the_node_with_a_kernel(
    mask: np.ndarray | None, attributes: dict[str, Attribute], tmp_path: Path
) -> None:
    """Newer exporters write the operator instead of its parts."""
    builder = _apart(mask, **attributes)

    before, graph = _lowered(builder)

    assert kinds(graph) == ["Neg", "Abs", "Tanh", "ScaledDotProduct", "Relu"]
    feeds = builder.feeds()
    assert_close(results_of(planned(graph), tmp_path, feeds), evaluate_graph(before, feeds))


def test_packed_heads_are_read_from_where_they_stand() -> None:
    """[batch, tokens, heads x size], also as parts of one linear layer; one head of keys serves all queries."""
    builder = GraphBuilder(shape=(2, 5, 16))
    builder.nodes.append(
        Node("Split", ("x", builder.constant(np.array([8, 4, 4], np.int64))), ("q", "k", "v"), {"axis": 2})
    )
    builder.node("Relu", builder.node("Attention", "q", "k", "v", q_num_heads=2, kv_num_heads=1))

    _, graph = _lowered(builder)

    assert kinds(graph) == ["Split", "ScaledDotProduct", "Relu"]
    assert graph.nodes[1].inputs == ("x", "x", "x")


@pytest.mark.parametrize(
    ("mask", "attributes"),
    [
        (_BLIND, {}),
        (_CAUSAL[:, :5].copy(), {}),
        (None, {"softcap": 2.0}),
        (None, {"softmax_precision": 11}),
        (None, {"left_window_size": 2}),
    ],
    ids=["a query that sees nothing", "a mask that is too short", "cap", "precision", "window"],
)
def test_other_forms_stay(mask: np.ndarray | None, attributes: dict[str, Attribute]) -> None:
    """The kernel has no caps, windows or other precisions, and no result for a query without keys."""
    before, graph = _lowered(_apart(mask, **attributes))

    assert kinds(graph) == kinds(before)


def test_groups_of_queries_that_share_keys_stay() -> None:
    """Query head h reads keys of head h // 2, which no stride says."""
    builder = GraphBuilder(shape=(2, 5, 16))
    keys = builder.node("Slice", "x", *(builder.constant(np.array([number], np.int64)) for number in (0, 8, 2)))
    builder.node("Relu", builder.node("Attention", "x", keys, keys, q_num_heads=4, kv_num_heads=2))

    before, graph = _lowered(builder)

    assert kinds(graph) == kinds(before)


def test_scores_that_are_asked_for_are_computed() -> None:
    """The kernel never stores them."""
    builder = GraphBuilder(shape=_SHAPE)
    builder.nodes.append(Node("Attention", ("x", "x", "x"), ("y", "", "", "scores")))
    before = prepared(builder.build("y", "scores"))

    graph, rewrites = run_node_pass(before, lower_attention)

    assert rewrites == 0
    assert graph is before
