"""Nodes whose results nobody reads go; optional outputs that nobody reads are left out.

    x -> Shape (unread), x -> MaxPool -> (y, indices unread)   becomes   x -> MaxPool -> y

In: a graph. Out: the graph without what is dead.
"""

from __future__ import annotations

from dataclasses import replace

from alula.engine.graph.graph import Graph, without_unmentioned
from alula.engine.graph.nodes import Node


def drop_dead_nodes(graph: Graph) -> Graph:
    """Walk once from the outputs back to the inputs; constants and values that only dead nodes mention go as well."""
    needed = set(graph.outputs)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if needed.isdisjoint(filter(None, node.outputs)):
            continue
        kept.append(_without_unread(node, needed))
        needed.update(filter(None, node.inputs))
    return without_unmentioned(replace(graph, nodes=tuple(reversed(kept))))


def _without_unread(node: Node, needed: set[str]) -> Node:
    """The node itself where all its outputs are read."""
    outputs = [name if name in needed else "" for name in node.outputs]
    while not outputs[-1]:
        outputs.pop()
    return node if tuple(outputs) == node.outputs else replace(node, outputs=tuple(outputs))
