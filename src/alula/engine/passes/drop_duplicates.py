"""What is computed twice is computed once.

    x -> Shape -> a, x -> Shape -> b       becomes   x -> Shape -> a, read in the place of b

In: a graph. Out: the graph in which no two nodes have the same operator, attributes and inputs. Constants of the same
bytes count as one input. Nodes that hold graphs, or that draw random numbers, stay.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace

import numpy as np

from alula.engine.graph.graph import Graph, without_unmentioned
from alula.engine.graph.nodes import Attribute, Node, Subgraph
from alula.engine.operators.chance import RANDOM

# Shapes, axes and scalars; larger constants are compared by name only: hashing weights would cost more than it finds.
_MOST_BYTES = 256


def drop_duplicates(graph: Graph) -> Graph:
    """Walk once through the nodes in order, so that what follows duplicates is seen to be duplicate too."""
    same = _same_constants(graph)
    public = frozenset(graph.outputs)
    seen: dict[Hashable, Node] = {}
    renames: dict[str, str] = {}
    kept: list[Node] = []
    for old in graph.nodes:
        node = old
        if not renames.keys().isdisjoint(old.inputs):
            node = replace(old, inputs=tuple(renames.get(name, name) for name in old.inputs))
        key = _key(node, same)
        first = node if key is None else seen.setdefault(key, node)
        if first is node or not public.isdisjoint(node.outputs):
            kept.append(node)
        else:
            renames.update((mine, its) for mine, its in zip(node.outputs, first.outputs, strict=True) if mine)
    return without_unmentioned(replace(graph, nodes=tuple(kept))) if renames else graph


def _key(node: Node, same: Mapping[str, str]) -> Hashable | None:
    """What two nodes must share; None for nodes of which there may be several. Left-out outputs must be the same."""
    if node.op in RANDOM and not node.domain:
        return None
    attributes = []
    for name, value in sorted(node.attributes.items()):
        if any(isinstance(item, Subgraph) for item in (value if isinstance(value, tuple) else (value,))):
            return None
        attributes.append((name, _hashable(value)))
    inputs = tuple(same.get(name, name) for name in node.inputs)
    return node.kind, tuple(attributes), inputs, tuple(bool(name) for name in node.outputs)


def _hashable(value: Attribute) -> Hashable:
    """The attribute with its type, since 1 and 1.0 and True are equal; floats as text, since NaN is not."""
    if isinstance(value, np.ndarray):
        return value.dtype.name, value.shape, repr(value.tolist()) if value.dtype == object else value.tobytes()
    if isinstance(value, tuple):
        return tuple(map(_hashable, value))
    return type(value).__name__, repr(value) if isinstance(value, float) else value


def _same_constants(graph: Graph) -> Mapping[str, str]:
    """The first constant of the same dtype, shape and bytes for each small one."""
    first: dict[Hashable, str] = {}
    same = {}
    for name, array in graph.constants.items():
        if array.dtype != object and array.nbytes <= _MOST_BYTES:
            same[name] = first.setdefault((array.dtype.name, array.shape, array.tobytes()), name)
    return same
