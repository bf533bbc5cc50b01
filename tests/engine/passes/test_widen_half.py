"""Tests of widen_half: networks in 16-bit floats run in generated code, in float32, and round where they end."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from support.convnets import ConvNet, conv_nets
from support.halves import (
    SHORT,
    assert_near_the_rounded,
    assert_rounded_once,
    encoder_block,
    halved,
    in_float32,
    short_feeds,
    small_mobilenet,
)
from support.pass_graphs import Array, GraphBuilder, kinds, prepared
from support.planned import planned, results_of
from support.plans import RUNNABLE

from alula.base.tensors import DType
from alula.engine.graph.check import check_graph
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Attribute, Node, Value
from alula.engine.graph.numpy_dtypes import dtype_of, numpy_dtype
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.passes.driver import PassOptions
from alula.engine.passes.order import optimise
from alula.engine.passes.widen_half import widen_half
from alula.engine.plan.records import HostStep, Plan

_BLOCKS = {"convolutions": small_mobilenet, "attention": encoder_block}


def _host_steps(plan: Plan) -> list[str]:
    return [f"{step.label}: {step.reason}" for step in plan.steps if isinstance(step, HostStep)]


def _graph(nodes: list[Node], dtype: DType = DType.FLOAT16, **constants: Array) -> Graph:
    """A vector x of four numbers; the outputs are what nobody reads."""
    x = Value("x", dtype, (4,))
    read = {name for node in nodes for name in node.inputs}
    outputs = tuple(name for node in nodes for name in node.outputs if name and name not in read)
    return Graph("model", tuple(nodes), (x,), outputs, constants, {"x": x}, {"": 23})


def _node(op: str, inputs: str, outputs: str, **attributes: Attribute) -> Node:
    return Node(op, tuple(inputs.split()), tuple(outputs.split()), MappingProxyType(attributes))


def _widened(graph: Graph) -> Graph:
    after = widen_half(prepared(graph))
    check_graph(after, "widen_half")
    return after


@pytest.mark.parametrize("dtype", SHORT, ids=str)
@settings(max_examples=15, deadline=None)
@given(situation=conv_nets())
def test_any_network_of_convolutions_rounds_once(situation: tuple[ConvNet, Graph], dtype: DType) -> None:
    """Rule: no host step, and the results of the same numbers in float32, rounded where the model ends."""
    net, source = situation
    graph, feeds = halved(source, dtype), short_feeds(net.feeds(), dtype)
    plan = planned(graph, RUNNABLE[-1])

    with tempfile.TemporaryDirectory() as folder:
        found = results_of(plan, Path(folder), feeds)

    assert _host_steps(plan) == []
    assert_rounded_once(found, in_float32(graph, feeds), dtype)


@pytest.mark.parametrize("target", sorted({RUNNABLE[0].name, RUNNABLE[-1].name}))
@pytest.mark.parametrize("dtype", SHORT, ids=str)
@pytest.mark.parametrize("block", _BLOCKS)
def test_networks_agree_with_their_references(block: str, dtype: DType, target: str, tmp_path: Path) -> None:
    """Rule: beside the reference, which rounds after every node, results are off by no more than its roundings."""
    builder = _BLOCKS[block]()
    source = builder.build()
    graph, feeds = halved(source, dtype), short_feeds(builder.feeds(), dtype)
    plan = planned(graph, next(one for one in RUNNABLE if one.name == target))

    found = results_of(plan, tmp_path, feeds)

    assert _host_steps(plan) == []
    assert_rounded_once(found, in_float32(graph, feeds), dtype)
    assert_near_the_rounded(found, evaluate_graph(prepared(graph), feeds), dtype, len(graph.nodes))


def test_a_classifier_in_float16_gives_the_labels_of_the_float32_one(tmp_path: Path) -> None:
    """Rule: halving the file changes no answer."""
    builder = small_mobilenet()
    source = builder.build()
    pictures = [builder.feeds() for _ in range(4)]
    plan = planned(halved(source, DType.FLOAT16), RUNNABLE[-1])

    (name,) = source.outputs
    for feeds in pictures:
        found = results_of(plan, tmp_path, short_feeds(feeds, DType.FLOAT16))[name]
        wanted = evaluate_graph(prepared(source), feeds)[name]
        assert found.argmax(-1).tolist() == wanted.argmax(-1).tolist()


def test_without_the_pass_every_node_rounds(tmp_path: Path) -> None:
    """It can be switched off by name: 60000 + 60000 has no place in float16 then."""
    nodes = [_node("Add", "x x", "a"), _node("Identity", "a", "i"), _node("Sub", "i x", "y")]
    graph = _graph(nodes)
    feeds = {"x": np.array([60000, 1, 2, -60000], np.float16)}

    plain, _ = optimise(graph, PassOptions(disable=frozenset({"widen_half"}), check=True))
    found = results_of(planned(graph), tmp_path, feeds)

    assert found["y"].tolist() == [60000, 1, 2, -60000]
    with np.errstate(over="ignore"):
        assert evaluate_graph(prepared(graph), feeds)["y"].tolist() == [np.inf, 1, 2, -np.inf]
    assert all(value.dtype is DType.FLOAT16 for value in plain.values.values())


def test_a_rounding_that_the_model_asks_for_stays() -> None:
    """A Cast to 16 bits and back simulates them: float32, rounded."""
    nodes = [_node("Cast", "x", "short", to=10), _node("Cast", "short", "y", to=1)]
    x = np.array([1 + 2.0**-12, 1 / 3, 70000, 1e-9], np.float32)

    after, _ = optimise(_graph(nodes, DType.FLOAT32))

    with np.errstate(over="ignore"):
        wanted = x.astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(evaluate_graph(after, {"x": x})["y"], wanted)
    assert len(after.nodes) == 1


def test_a_cast_that_only_feeds_nodes_of_16_bits_goes() -> None:
    """Mixed precision: casts around nodes in 16 bits leave one chain in float32."""
    nodes = [_node("Cast", "x", "a", to=16), _node("Mul", "a a", "b"), _node("Cast", "b", "y", to=1)]

    after, _ = optimise(_graph(nodes, DType.FLOAT32))

    x = np.array([1 + 2.0**-12, 1 / 3, 70000, 3], np.float32)
    np.testing.assert_array_equal(evaluate_graph(after, {"x": x})["y"], x * x)


def test_casts_from_other_types_go_to_float32_at_once() -> None:
    """Rule: integers that feed a node in 16 bits are rounded to float32 only."""
    nodes = [_node("Cast", "x", "a", to=10), _node("Add", "a a", "b"), _node("Cast", "b", "y", to=7)]

    after = _widened(_graph(nodes, DType.INT64))

    x = np.array([1, 2049, 100_000, -7])
    assert evaluate_graph(after, {"x": x})["y"].tolist() == (2 * x).tolist()


def test_a_table_of_embeddings_stays_short() -> None:
    """A run reads a few rows of it; in float32 it would take twice the memory."""
    table = np.arange(40, dtype=np.float16).reshape(10, 4)
    nodes = [_node("Gather", "table x", "rows"), _node("Mul", "rows rows", "y")]

    after = _widened(_graph(nodes, DType.INT64, table=table))

    assert after.constants["table"].dtype == np.float16
    assert kinds(after) == ["Gather", "Cast", "Mul", "Cast"]
    assert after.value("y").dtype is DType.FLOAT16


@pytest.mark.parametrize(
    ("node", "constants"),
    [
        (_node("LayerNormalization", "x w", "y mean deviation", stash_type=10), {"w": np.ones(4, np.float16)}),
        (_node("QuantizeLinear", "x w", "y", precision=10), {"w": np.asarray(0.5, np.float16)}),
        (_node("DequantizeLinear", "q w", "y", output_dtype=10), {"w": np.asarray(0.5, np.float32)}),
        (_node("RandomNormalLike", "x", "y", dtype=16, seed=1.0), {}),
        (_node("ConstantOfShape", "s", "y", value=np.ones(1, np.float16)), {"s": np.array([2, 2])}),
    ],
    ids=lambda value: value.op if isinstance(value, Node) else "",
)
def test_attributes_that_name_16_bits_name_float32(node: Node, constants: dict[str, Array]) -> None:
    """Rule: inside, no value has 16 bits; the outputs have the types that the file gives them."""
    given = {"x": Value("x", DType.FLOAT16, (4,)), "q": Value("q", DType.INT8, (4, 4))}
    inputs = tuple(given[name] for name in node.inputs if name in given)
    values = {value.name: value for value in inputs}
    before = Graph("model", (node,), inputs, node.outputs, constants, values, {"": 23})
    # Unfolded, as what comes out of loops.
    made = prepared(before).values
    before = replace(before, values={**{n: Value(n, dtype_of(a), a.shape) for n, a in constants.items()}, **made})

    after = widen_half(before)
    check_graph(after, "widen_half")

    (heart,) = (one for one in after.nodes if one.op == node.op)
    assert all(after.value(name).dtype not in SHORT for name in (*heart.inputs, *heart.outputs))
    assert [after.value(n).dtype for n in node.outputs] == [before.value(n).dtype for n in node.outputs]


def test_nodes_that_look_at_bits_or_hold_graphs_read_16_bits() -> None:
    """Rule: what has no form in float32 stays, behind a cast."""
    nodes = [_node("Add", "x x", "a"), _node("BitCast", "a", "bits", to=4)]
    graph = replace(_graph(nodes), opsets={"": 26})

    after = _widened(graph)

    assert kinds(after) == ["Cast", "Add", "Cast", "BitCast"]
    x = np.array([1, 2, 3, 4], np.float16)
    np.testing.assert_array_equal(evaluate_graph(after, {"x": x})["bits"], (x + x).view(np.uint16))


def test_a_second_time_changes_nothing() -> None:
    """Parts of models in stages have been through the pass when they come again."""
    once = _widened(halved(encoder_block().build(), DType.BFLOAT16))

    again = widen_half(once)

    assert kinds(again) == kinds(once)


def test_integers_and_float32_are_left_alone() -> None:
    """Rule: a model without 16-bit floats is returned as it came."""
    graph = prepared(GraphBuilder(nodes=[_node("Relu", "x", "v0")]).build())

    assert widen_half(graph) is graph


def test_constants_keep_their_numbers() -> None:
    """Every float16 and bfloat16 is a float32."""
    for dtype in SHORT:
        short = np.array([1 / 3, -2.5, 6e-8, 3e4], np.float32).astype(numpy_dtype(dtype))
        after = _widened(_graph([_node("Add", "x w", "y")], dtype, w=short))
        (wide,) = after.constants.values()
        assert wide.dtype == np.float32
        assert wide.astype(short.dtype).tobytes() == short.tobytes()
