from __future__ import annotations

import pytest
from support.pass_graphs import GraphBuilder, kinds

from alula.base.errors import GraphError
from alula.engine.graph.graph import Graph, GraphEditor, Rewrite
from alula.engine.graph.nodes import Node
from alula.engine.passes.driver import PassOptions, graph_pass, node_pass, run_node_pass, run_pass


def shorten(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Neg(Neg(x)) becomes Neg(x)."""
    producer = editor.producer_of(node.inputs[0])
    if producer is None:
        return None
    return Rewrite(drop=(producer, node), add=(Node("Neg", producer.inputs, node.outputs),))


def damage(graph: Graph) -> Graph:
    """A pass with a mistake: the first node goes, its readers stay."""
    return graph.with_(nodes=graph.nodes[1:])


def _chain(length: int) -> Graph:
    builder = GraphBuilder()
    x = "x"
    for _ in range(length):
        x = builder.node("Neg", x)
    return builder.build()


def test_a_pass_that_finds_nothing_returns_the_same_graph() -> None:
    """Nothing is copied for nothing; identity tells callers that nothing happened."""
    graph = _chain(1)

    assert run_node_pass(graph, shorten) == (graph, 0)


def test_rewrites_are_counted_over_all_rounds() -> None:
    """One round meets each node as it is when its turn comes; repeating goes on until nothing is found."""
    graph, rewrites = run_node_pass(_chain(5), shorten, repeat=True)

    assert kinds(graph) == ["Neg"]
    assert rewrites == 4


def test_a_check_names_the_pass_that_broke_the_graph() -> None:
    """The pass to blame is the one that has just run, not the one that stumbles later."""
    with pytest.raises(GraphError, match="after pass damage"):
        run_pass(_chain(2), graph_pass(damage), PassOptions(check=True))


def test_without_a_check_a_pass_is_believed() -> None:
    """Checks cost time in every compilation; they are for tests and for hunting mistakes."""
    graph, report = run_pass(_chain(2), graph_pass(damage), PassOptions())

    assert kinds(graph) == ["Neg"]
    assert (report.name, report.rewrites) == ("damage", 1)


def test_a_pass_is_called_as_its_function() -> None:
    """The name in reports, and for disabling, is the name of the file and of the function."""
    assert node_pass(shorten).name == "shorten"
