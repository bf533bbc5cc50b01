"""The checker of graphs: run after the importer and, in tests and with ALULA_CHECK=1, after every pass.

In: Graph. Out: nothing, or a GraphError that names the first broken rule.
"""

from __future__ import annotations

from alula.base.errors import GraphError
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Node


def check_graph(graph: Graph, after: str = "") -> None:
    """Verify that every value is made once and before its use, and that outputs exist.

    Args:
        graph: what to verify.
        after: the pass that has just run, for the message.

    Raises:
        GraphError: a rule is broken.
    """
    made = {value.name for value in graph.inputs}
    if len(made) != len(graph.inputs):
        raise _broken(graph, after, "graph inputs", "distinct names", "one name stands twice")
    made |= set(graph.constants)
    for node in graph.nodes:
        _check_node(graph, node, made, after)
        made.update(name for name in node.outputs if name)
    for name in graph.outputs:
        if name not in made:
            raise _broken(graph, after, f"output {name}", "a value that some node makes", "nothing makes it")
    for name, array in graph.constants.items():
        value = graph.values.get(name)
        if value and (value.shape != tuple(array.shape) or value.dtype.value != array.dtype.name):
            found = f"its record says {value}"
            raise _broken(graph, after, f"constant {name}", f"{array.dtype.name} {list(array.shape)}", found)


def _check_node(graph: Graph, node: Node, made: set[str], after: str) -> None:
    place = f"{node.label} ({node.op})"
    if not any(node.outputs):
        raise _broken(graph, after, place, "at least one output", "it has none")
    for name in node.inputs:
        if name and name not in made:
            later = any(name in other.outputs for other in graph.nodes)
            found = "it is made later: the nodes form a cycle or stand in a wrong order" if later else "nothing makes it"
            raise _broken(graph, after, place, f"input {name} made before it", found)
    for name in node.outputs:
        if name and name in made:
            raise _broken(graph, after, place, f"output {name} to be new", "the value is made twice")


def _broken(graph: Graph, after: str, where: str, needed: str, found: str) -> GraphError:
    model = f"model {graph.name}" if graph.name else ""
    detail = ", ".join(filter(None, [model, f"after pass {after}" if after else ""]))
    return GraphError(where, f"needs {needed}", found, detail=detail)
