"""Sequences whose elements are known one by one become plain tensors.

    SequenceAt(SequenceConstruct(a, b), #1) -> y   becomes   b, read in the place of y
    ConcatFromSequence(SplitToSequence(x, #2))   becomes   Concat(Split(x))

In: a graph with folded constants. Out: the same, where nothing reads such a sequence any more; dead nodes are left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from alula.engine.graph.graph import Graph, GraphEditor, Rewrite
from alula.engine.graph.nodes import Array, Node
from alula.engine.operators.common import Mismatch
from alula.engine.operators.sequence import part_sizes, position_in
from alula.engine.passes.driver import run_node_pass
from alula.engine.passes.drop_dead_nodes import drop_dead_nodes
from alula.engine.passes.fold_constants import fold_constants
from alula.engine.passes.splice import Splice, names_given, own_inputs

_MOST_PARTS = 1024  # as many outputs as one Split may have here


def resolve_sequences(graph: Graph) -> Graph:
    """Resolve until nothing more is known, then infer what the new nodes make."""
    changed, found = run_node_pass(graph, resolve_sequence, repeat=True)
    return fold_constants(drop_dead_nodes(changed)) if found else graph


def resolve_sequence(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Plain tensors in the place of a node that reads or makes a sequence."""
    resolve = None if node.domain else _RESOLVERS.get(node.op)
    return None if resolve is None else resolve(editor, node)


def elements_of(editor: GraphEditor, name: str) -> list[str] | None:
    """The values that a sequence consists of, in their order; None where they are not known."""
    changes = []
    node = editor.producer_of(name)
    while node is not None and not node.domain and node.op in _CHANGES:
        changes.append(node)
        node = editor.producer_of(node.input(0))
    if node is None or node.domain or node.op not in {"SequenceEmpty", "SequenceConstruct"}:
        return None
    found: list[str] = list(node.inputs)
    for change in reversed(changes):
        changed = _CHANGES[change.op](editor, change, found)
        if changed is None:
            return None
        found = changed
    return found


def _position(editor: GraphEditor, name: str, count: int, last: int) -> int | None:
    """A constant position; None where it is not constant, or wrong: the run will say so."""
    constant = editor.constant(name)
    try:
        return None if constant is None else position_in(constant, count, last)
    except Mismatch:
        return None


def _inserted(editor: GraphEditor, node: Node, found: list[str]) -> list[str] | None:
    count = len(found)
    place = _position(editor, node.input(2), count, count) if node.input(2) else count
    return None if place is None else [*found[:place], node.input(1), *found[place:]]


def _erased(editor: GraphEditor, node: Node, found: list[str]) -> list[str] | None:
    count = len(found)
    place = _position(editor, node.input(1), count, count - 1) if node.input(1) else count - 1
    return None if place is None or place < 0 else [*found[:place], *found[place + 1 :]]


def _same(_editor: GraphEditor, _node: Node, found: list[str]) -> list[str] | None:
    return found


_CHANGES: Mapping[str, Callable[[GraphEditor, Node, list[str]], list[str] | None]] = MappingProxyType(
    {"SequenceInsert": _inserted, "SequenceErase": _erased, "Identity": _same}
)


def _read(editor: GraphEditor, node: Node) -> Rewrite | None:
    """SequenceAt: the element itself."""
    found = elements_of(editor, node.input(0))
    place = None if found is None else _position(editor, node.input(1), len(found), len(found) - 1)
    if found is None or place is None:
        return None
    return Rewrite((node,), rename={node.output: found[place]})


def _counted(editor: GraphEditor, node: Node) -> Rewrite | None:
    """SequenceLength: a constant."""
    found = elements_of(editor, node.input(0))
    if found is None:
        return None
    splice = Splice(editor)
    name = splice.constant(node.output, np.asarray(len(found), np.int64))
    return Rewrite((node,), (), splice.constants, tuple(splice.values), {node.output: name})


def _joined(editor: GraphEditor, node: Node) -> Rewrite | None:
    """ConcatFromSequence: Concat, of the elements or of elements with a new axis."""
    found, axis = elements_of(editor, node.input(0)), node.integer("axis")
    if not found:
        return None
    splice = Splice(editor)
    if node.integer("new_axis"):
        at = splice.constant("axis", np.asarray([axis], np.int64))
        found = [splice.node("Unsqueeze", (name, at), f"{name}.row") for name in found]
    joined = Node("Concat", tuple(found), node.outputs, {"axis": axis}, node.name)
    return Rewrite((node,), (*splice.nodes, joined), splice.constants, tuple(splice.values))


def _cut(editor: GraphEditor, node: Node) -> Rewrite | None:
    """SplitToSequence of static sizes: Split, and its parts as a sequence."""
    shape, axis = editor.value(node.input(0)).shape, node.integer("axis")
    split = editor.constant(node.input(1)) if node.input(1) else None
    if shape is None or not -len(shape) <= axis < len(shape) or (node.input(1) and split is None):
        return None
    total = shape[axis]
    sizes = _sizes(total, split) if isinstance(total, int) else None
    if not sizes or len(sizes) > _MOST_PARTS:
        return None
    splice = Splice(editor)
    lengths = splice.constant("sizes", np.asarray(sizes, np.int64))
    parts = [editor.fresh(f"{node.output}.part") for _ in sizes]
    splice.nodes.append(Node("Split", (node.input(0), lengths), tuple(parts), {"axis": axis}))
    if split is None and not node.integer("keepdims", 1):
        at = splice.constant("axis", np.asarray([axis], np.int64))
        parts = [splice.node("Squeeze", (part, at), f"{part}.flat") for part in parts]
    splice.nodes.append(Node("SequenceConstruct", tuple(parts), node.outputs, name=node.name))
    return Rewrite((node,), tuple(splice.nodes), splice.constants, tuple(splice.values))


def _sizes(total: int, split: Array | None) -> tuple[int, ...] | None:
    try:
        return part_sizes(total, split)
    except Mismatch:
        return None


def _mapped(editor: GraphEditor, node: Node) -> Rewrite | None:
    """SequenceMap over known elements: a copy of its body for each."""
    body, (own, captured) = node.attributes.get("body"), own_inputs(node)
    first = elements_of(editor, own[0])
    if not isinstance(body, Graph) or first is None or len(first) * len(body.nodes) > _MOST_PARTS:
        return None
    others = [_repeated(editor, name, len(first)) for name in own[1:]]
    lists = [first, *(found for found in others if found is not None)]
    if len(lists) < len(own) or any(len(found) != len(first) for found in lists):
        return None
    splice, columns = Splice(editor), [list[str]() for _ in node.outputs]
    for row in zip(*lists, strict=True):
        given = names_given(body, row, captured)
        if given is None:
            return None
        for column, name in zip(columns, splice.copy(body, given), strict=False):
            column.append(name)
    makers = [
        Node("SequenceConstruct", tuple(c), (name,)) for c, name in zip(columns, node.outputs, strict=True) if name
    ]
    return Rewrite((node,), (*splice.nodes, *makers), splice.constants, tuple(splice.values))


def _repeated(editor: GraphEditor, name: str, count: int) -> list[str] | None:
    """The elements of a known sequence, or a tensor as often as it is needed; None where it may be either."""
    found = elements_of(editor, name)
    if found is None and editor.value(name).shape is not None:
        return [name] * count
    return found


_RESOLVERS: Mapping[str, Callable[[GraphEditor, Node], Rewrite | None]] = MappingProxyType(
    {
        "SequenceAt": _read,
        "SequenceLength": _counted,
        "ConcatFromSequence": _joined,
        "SplitToSequence": _cut,
        "SequenceMap": _mapped,
    }
)
