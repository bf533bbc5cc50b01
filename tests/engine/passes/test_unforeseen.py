from __future__ import annotations

import pytest
from support.pass_graphs import GraphBuilder

from alula.base.errors import AlulaError, InternalError, LimitError
from alula.engine.graph.graph import Graph, GraphEditor, Rewrite
from alula.engine.graph.nodes import Node
from alula.engine.passes.driver import PassOptions, graph_pass, node_pass, run_pass


def trip(editor: GraphEditor, node: Node) -> Rewrite | None:
    """A pass over nodes that did not reckon with one."""
    raise IndexError(f"{node.op} of {len(editor.values)}")


def exhaust(graph: Graph) -> Graph:
    """A pass that wants more memory than there is."""
    raise MemoryError(graph.name)


@pytest.mark.parametrize(("step", "kind"), [(node_pass(trip), InternalError), (graph_pass(exhaust), LimitError)])
def test_what_passes_let_through_is_told_as_alulas_own_error(step: object, kind: type[AlulaError]) -> None:
    """Attack: a model that a pass did not reckon with, so that a server answers with a traceback."""
    builder = GraphBuilder()
    builder.node("Neg", "x")

    with pytest.raises(kind, match=r"pass (trip|exhaust)"):
        run_pass(builder.build(), step, PassOptions())  # type: ignore[arg-type]
