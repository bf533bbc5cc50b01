"""Putting nodes into an order in which every value is made before it is used.

In: nodes in file order. Out: the same nodes; those already in order stay where they are.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from alula.base.errors import GraphError
from alula.engine.graph.nodes import Node
from alula.engine.importers.files import shown

_NAMED = 5


def order_nodes(nodes: Sequence[Node], model: str) -> tuple[Node, ...]:
    """A stable topological order (Kahn 1962); among nodes that are ready, the first in the file goes first.

    Raises:
        GraphError: the nodes form a cycle.
    """
    makers: dict[str, int] = {}
    for index, node in enumerate(nodes):
        for name in node.outputs:
            makers.setdefault(name, index)
    makers.pop("", None)
    needs = [{makers[name] for name in node.inputs if name in makers} for node in nodes]
    readers: list[list[int]] = [[] for _ in nodes]
    for index, wanted in enumerate(needs):
        for maker in wanted:
            readers[maker].append(index)
    order = _sorted([len(wanted) for wanted in needs], readers)
    if len(order) < len(nodes):
        raise _cycle(nodes, needs, set(order), model)
    return tuple(nodes[index] for index in order)


def _sorted(waiting: list[int], readers: Sequence[Sequence[int]]) -> list[int]:
    ready = [index for index, count in enumerate(waiting) if not count]
    order = []
    while ready:
        index = heapq.heappop(ready)
        order.append(index)
        for reader in readers[index]:
            waiting[reader] -= 1
            if not waiting[reader]:
                heapq.heappush(ready, reader)
    return order


def _cycle(nodes: Sequence[Node], needs: Sequence[set[int]], done: set[int], model: str) -> GraphError:
    """Walk backwards among the nodes that were never ready until one comes again: that is the cycle."""
    trail: list[int] = []
    index = next(index for index in range(len(nodes)) if index not in done)
    seen: dict[int, int] = {}
    while index not in seen:
        seen[index] = len(trail)
        trail.append(index)
        index = next(maker for maker in needs[index] if maker not in done)
    loop = trail[seen[index] :][::-1]
    first = loop.index(min(loop))
    cycle = [shown(nodes[index].label) for index in loop[first:] + loop[:first]]
    names = " -> ".join(cycle[:_NAMED]) + (f" -> ... ({len(cycle)} nodes)" if len(cycle) > _NAMED else "")
    return GraphError(model, "needs nodes without a cycle", f"found {names} -> {cycle[0]}")
