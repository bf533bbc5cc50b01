"""The nodes of a graph inside a node, under names of the graph around it.

In: an editor, the inner graph, and the outer values that its inputs stand for. Out: a `Splice`, parts of a Rewrite.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from alula.engine.graph.dims import is_static
from alula.engine.graph.graph import Graph, GraphEditor
from alula.engine.graph.nodes import Array, Node, Value
from alula.engine.graph.numpy_dtypes import dtype_of


@dataclass
class Splice:
    """What is to be added to the outer graph; owned by one rewrite, which may collect several copies of a body."""

    editor: GraphEditor
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    values: list[Value] = field(default_factory=list)

    def constant(self, stem: str, array: Array) -> str:
        """A new constant."""
        name = self.editor.fresh(stem)
        self.constants[name] = array
        self.values.append(Value(name, dtype_of(array), array.shape))
        return name

    def node(self, op: str, inputs: Sequence[str], stem: str, **attributes: int | tuple[int, ...]) -> str:
        """A new node of one output."""
        name = self.editor.fresh(stem)
        self.nodes.append(Node(op, tuple(inputs), (name,), attributes))
        return name

    def copy(self, graph: Graph, given: Mapping[str, str]) -> list[str]:
        """The inner nodes, with new names for all that they make; returns what the graph's outputs are called now.

        Shapes that the file gives with symbols are left out: inside a loop they may differ from trip to trip.
        """
        names = dict(given)
        for name, array in graph.constants.items():
            names[name] = self.constant(name, array)
        for node in graph.nodes:
            for name in filter(None, node.outputs):
                names[name] = self.editor.fresh(name)
                self._describe(graph, name, names[name])
            inputs = tuple(names.get(name, name) for name in node.inputs)
            outputs = tuple(names.get(name, name) for name in node.outputs)
            self.nodes.append(replace(node, inputs=inputs, outputs=outputs))
        return [names[name] for name in graph.outputs]

    def _describe(self, graph: Graph, inner: str, outer: str) -> None:
        known = graph.values.get(inner)
        if known is not None:
            static = known.shape is not None and is_static(known.shape)
            self.values.append(Value(outer, known.dtype, known.shape if static else None))


def names_given(graph: Graph, formal: Sequence[str], captured: Mapping[str, str]) -> dict[str, str] | None:
    """Outer names by the inner graph's inputs: formal ones in order, then captured ones; None if they do not fit."""
    names = [value.name for value in graph.inputs]
    if len(names) < len(formal) or not all(name in captured for name in names[len(formal) :]):
        return None
    return {**captured, **dict(zip(names, formal, strict=False))}


def own_inputs(node: Node) -> tuple[tuple[str, ...], dict[str, str]]:
    """The inputs of a node apart from those that its graphs capture, and the outer names of those by inner name."""
    captures = node.attributes.get("captures", ())
    if not isinstance(captures, tuple) or len(captures) > len(node.inputs):
        return node.inputs, {}
    own = len(node.inputs) - len(captures)
    return node.inputs[:own], {str(inner): outer for inner, outer in zip(captures, node.inputs[own:], strict=True)}
