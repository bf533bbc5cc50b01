"""If with a condition that is known becomes its branch.

    If(#true, x) {then: a -> Relu -> y, else: ..., captures=a}   becomes   x -> Relu -> y

In: a graph with folded constants. Out: the same without such nodes, its constants folded again.
"""

from __future__ import annotations

from alula.engine.graph.graph import Graph, GraphEditor, Rewrite
from alula.engine.graph.nodes import Node
from alula.engine.passes.driver import run_node_pass
from alula.engine.passes.fold_constants import fold_constants
from alula.engine.passes.splice import Splice, names_given, own_inputs


def inline_branches(graph: Graph) -> Graph:
    """Inline until no condition is known; a branch may hold a further one, or make its condition known."""
    while True:
        graph, found = run_node_pass(graph, inline_branch)
        if not found:
            return graph
        graph = fold_constants(graph)


def inline_branch(editor: GraphEditor, node: Node) -> Rewrite | None:
    """The nodes of the branch that is taken, in the place of the If."""
    if node.op != "If" or node.domain:
        return None
    condition = editor.constant(node.input(0))
    if condition is None or condition.size != 1:
        return None
    branch = node.attributes.get("then_branch" if condition.reshape(-1)[0] else "else_branch")
    if not isinstance(branch, Graph) or len(branch.outputs) < len(node.outputs):
        return None
    given = names_given(branch, (), own_inputs(node)[1])
    if given is None:
        return None
    splice = Splice(editor)
    results = splice.copy(branch, given)
    rename = {old: new for old, new in zip(node.outputs, results, strict=False) if old}
    return Rewrite((node,), tuple(splice.nodes), splice.constants, tuple(splice.values), rename)
