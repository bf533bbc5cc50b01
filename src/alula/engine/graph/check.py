"""The checker of graphs: run after the importer and, in tests and with ALULA_CHECK=1, after every pass.

In: Graph. Out: nothing, or a GraphError that names the first broken rule.
"""

from __future__ import annotations

from alula.base.errors import GraphError
from alula.engine.graph.graph import Graph, captures_of, nested_graphs
from alula.engine.graph.nodes import Node


def check_graph(graph: Graph, after: str = "") -> None:
    """Verify that every value is made once and before its use, that outputs exist, and that records fit.

    Args:
        graph: what to verify.
        after: the pass that has just run, for the message.

    Raises:
        GraphError: a rule is broken.
    """
    made = {value.name for value in graph.inputs}
    if len(made) != len(graph.inputs):
        raise _broken(graph, after, "graph inputs", "distinct names", "one name stands twice")
    for name in sorted(made & set(graph.constants)):
        raise _broken(graph, after, f"input {name}", "a name of its own", "a constant has it too")
    made |= set(graph.constants)
    for node in graph.nodes:
        _check_inputs(graph, node, made, after)
        _check_outputs(graph, node, made, after)
        _check_nested(graph, node, after)
    for name in graph.outputs:
        if name not in made:
            raise _broken(graph, after, f"output {name}", "a value that some node makes", "nothing makes it")
    _check_records(graph, after)


def _check_inputs(graph: Graph, node: Node, made: set[str], after: str) -> None:
    for name in node.inputs:
        if name and name not in made:
            if name in captures_of(node):
                found = f"nothing makes {name}"
                raise _broken(graph, after, f"{node.label} ({node.op})", "what its graphs read made before it", found)
            later = any(name in other.outputs for other in graph.nodes)
            found = "it is made later: a cycle or a wrong order" if later else "nothing makes it"
            raise _broken(graph, after, f"{node.label} ({node.op})", f"input {name} made before it", found)


def _check_outputs(graph: Graph, node: Node, made: set[str], after: str) -> None:
    place = f"{node.label} ({node.op})"
    if not any(node.outputs):
        raise _broken(graph, after, place, "at least one output", "it has none")
    for name in filter(None, node.outputs):
        if name in made:
            raise _broken(graph, after, place, f"output {name} to be new", "the value is made twice")
        made.add(name)


def _check_nested(graph: Graph, node: Node, after: str) -> None:
    """Graphs inside a node have all that they read: their own inputs, and those that the node captures for them."""
    nested = nested_graphs(node)
    captures = captures_of(node)
    if not nested and not captures:
        return
    place = f"{node.label} ({node.op})"
    read = {value.name for inner in nested for value in inner.inputs}
    if len(captures) > len(node.inputs) or len(set(captures)) < len(captures) or not read.issuperset(captures):
        found = f"{len(node.inputs)} inputs and captures {', '.join(captures)}"
        raise _broken(graph, after, place, "one input at its end for each name that its graphs capture", found)
    for inner in nested:
        try:
            check_graph(inner, after)
        except GraphError as error:
            where = f"{place}, graph inside, {error.where}"
            raise GraphError(where, error.needed, error.found, detail=error.detail) from None


def _check_records(graph: Graph, after: str) -> None:
    for name, value in graph.values.items():
        if value.name != name:
            raise _broken(graph, after, f"value {name}", "a record of its own name", f"its record says {value}")
    for name, array in graph.constants.items():
        known = graph.values.get(name)
        if known and (known.shape != tuple(array.shape) or known.dtype.value != array.dtype.name):
            found = f"its record says {known}"
            raise _broken(graph, after, f"constant {name}", f"{array.dtype.name} {list(array.shape)}", found)


def _broken(graph: Graph, after: str, where: str, needed: str, found: str) -> GraphError:
    model = f"model {graph.name}" if graph.name else ""
    detail = ", ".join(filter(None, [model, f"after pass {after}" if after else ""]))
    return GraphError(where, f"needs {needed}", found, detail=detail)
