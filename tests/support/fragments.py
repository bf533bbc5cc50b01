"""Fragments that exporters write, with what they must become, and near misses that must stay.

In: a function that writes a fragment into a GraphBuilder. Out: graphs before and after passes, compared by results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from alula.engine.graph.check import check_graph
from alula.engine.graph.graph import Graph
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.passes.driver import NodePass, run_node_pass
from support.pass_graphs import Array, GraphBuilder, kinds, prepared

# Reads x, returns the value that the fragment makes.
Fragment = Callable[[GraphBuilder, str], str]

_EXTREMES = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 30.0, -30.0, 1e-30)


def after(graph: Graph, visits: Sequence[NodePass]) -> Graph:
    """The graph after some passes, each until it finds nothing more, checked after each."""
    for visit in visits:
        graph, _ = run_node_pass(graph, visit, repeat=True)
        check_graph(graph, visit.__name__)
    return graph


def fused(
    fragment: Fragment, visits: Sequence[NodePass], shape: tuple[int, ...] = (2, 3, 4, 5), *, extremes: bool = True
) -> list[str]:
    """The operators of a fragment after the passes; its results must be the same, NaN and infinity included.

    The fragment stands between other nodes, as in networks. It is also tried with each of its inner values as an output
    of the model, and with each read by another node: what is shown or read must then still be computed.
    """
    builder = GraphBuilder(shape=shape)
    first = builder.node("Neg", "x")
    builder.node("Abs", fragment(builder, first))
    feeds = [builder.feeds()]
    if extremes:
        feeds.append({"x": np.resize(np.array(_EXTREMES, np.float32), shape)})
    graph = _compared(builder.build(), visits, feeds)
    for node in builder.nodes[1:-2]:
        shown = _compared(builder.build(node.output, builder.nodes[-1].output), visits, feeds)
        assert shown.outputs[0] == node.output
    found = kinds(graph)
    assert (found[0], found[-1]) == ("Neg", "Abs")
    return found[1:-1]


def kept(fragment: Fragment, visits: Sequence[NodePass], shape: tuple[int, ...] = (2, 3, 4, 5)) -> bool:
    """Whether the passes leave a near miss as it is."""
    builder = GraphBuilder(shape=shape)
    fragment(builder, "x")
    before = prepared(builder.build())
    return kinds(after(before, visits)) == kinds(before)


def inner_values_hold_it_back(fragment: Fragment, visits: Sequence[NodePass], op: str) -> bool:
    """Whether `op` is never written where an inner value of the fragment is an output, or is read by another node."""
    builder = GraphBuilder(shape=(2, 3, 4, 5))
    last = fragment(builder, "x")
    for node in list(builder.nodes[:-1]):
        shown = after(prepared(builder.build(node.output, last)), visits)
        other = builder.node("Neg", node.output)
        read = after(prepared(builder.build(last, other)), visits)
        builder.nodes.pop()
        if op in kinds(shown) or op in kinds(read):
            return False
    return True


def without_records(graph: Graph) -> Graph:
    """The graph with nothing known of its values but the inputs: shapes that only the run will tell."""
    return replace(graph, values={value.name: replace(value, shape=None) for value in graph.inputs})


def _compared(source: Graph, visits: Sequence[NodePass], feeds: Sequence[dict[str, Array]]) -> Graph:
    before = prepared(source)
    graph = after(before, visits)
    for feed in feeds:
        truth, found = evaluate_graph(before, feed), evaluate_graph(graph, feed)
        for name in before.outputs:
            np.testing.assert_allclose(found[name], truth[name], rtol=2e-5, atol=2e-6, err_msg=name)
    return graph
