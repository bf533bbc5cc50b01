"""A graph as plain text, one node a line; what `alula show graph` prints and tests compare.

In: Graph. Out: text that fits a bug report.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from alula.engine.graph.formula import Formula
from alula.engine.graph.graph import Graph, captures_of
from alula.engine.graph.nodes import Attribute, Node, ValueType

_LONGEST_TUPLE = 12


def show_graph(graph: Graph) -> str:
    """The whole graph.

    The form is: a header, inputs, nodes as `%out = Op(%in, #constant[shape], ...) {attributes} : type`, outputs. The
    graphs inside a node follow it, each under the name of its attribute, the values that it captures marked.
    """
    return "\n".join([*_lines(graph, f"graph {graph.name or 'model'}", ()), ""])


def _lines(graph: Graph, title: str, captures: Collection[str]) -> list[str]:
    lines = [f"{title} {{"]
    lines += [f"  {'capture' if value.name in captures else 'input'} {value}" for value in graph.inputs]
    for node in graph.nodes:
        lines.append(f"  {show_node(graph, node)}")
        for key, value in node.attributes.items():
            inner = [item for item in (value if isinstance(value, tuple) else (value,)) if isinstance(item, Graph)]
            for each in inner:
                lines += [f"    {line}" for line in _lines(each, key, captures_of(node))]
    return [*lines, *(f"  output %{name}" for name in graph.outputs), "}"]


def show_node(graph: Graph, node: Node) -> str:
    """One node in one line."""
    outputs = ", ".join(f"%{name}" if name else "_" for name in node.outputs)
    inputs = ", ".join(_operand(graph, name) for name in node.inputs)
    domain = f"{node.domain}." if node.domain else ""
    shown = ", ".join(f"{key}={_attribute(value)}" for key, value in node.attributes.items())
    kind = graph.value(node.output).form
    return f"{outputs} = {domain}{node.op}({inputs}){' {' + shown + '}' if shown else ''} : {kind}"


def _operand(graph: Graph, name: str) -> str:
    if not name:
        return "_"
    array = graph.constants.get(name)
    if array is None:
        return f"%{name}"
    if array.size == 1:
        return f"{array.reshape(-1)[0]}"
    return f"#{name}[{'x'.join(map(str, array.shape))}]"


def _attribute(value: Attribute) -> str:
    if isinstance(value, Formula):
        return f"<{value}>"
    if isinstance(value, np.ndarray):
        return f"tensor[{'x'.join(map(str, value.shape))}]"
    if isinstance(value, Graph):
        return f"graph({len(value.nodes)} nodes)"
    if isinstance(value, ValueType):
        return f"<{value}>"
    if isinstance(value, tuple) and len(value) > _LONGEST_TUPLE:
        return f"({len(value)} numbers)"
    if isinstance(value, tuple) and not all(isinstance(item, (int, float, str)) for item in value):
        return f"({', '.join(map(_attribute, value))})"
    return repr(value)
