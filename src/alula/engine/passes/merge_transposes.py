"""Transposes that undo each other, or that move nothing.

    x -> Transpose (0, 2, 3, 1) -> Transpose (0, 3, 1, 2)   becomes   x
    x -> Transpose (0, 2, 1) -> Transpose (1, 0, 2)         becomes   x -> Transpose (2, 0, 1)
    x [1, 8, 1, 4] -> Transpose (0, 2, 1, 3)                becomes   x -> Reshape (1, 1, 8, 4)

In: a Transpose. Out: one with the order of both, a change of shape where only axes of one element move, or nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

from alula.engine.graph.dims import Shape
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node
from alula.engine.passes.merge_reshapes import reshape

_TRANSPOSE = ("", "Transpose")


def merge_transposes(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Join the node with the Transpose before it, or let it go as a view."""
    order = order_of(editor, node)
    if order is None:
        return None
    return join_transposes(editor, node) or _view(editor, node, order)


def join_transposes(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Join the node with the Transpose before it."""
    order, first = order_of(editor, node), editor.producer_of(node.inputs[0])
    before = order_of(editor, first) if first is not None else None
    if order is None or first is None or before is None or len(before) != len(order):
        return None
    gone = (first, node) if editor.uses_of(first.output) == 1 else (node,)
    joint = tuple(before[axis] for axis in order)
    if joint == tuple(range(len(joint))):
        if node.output in editor.outputs:
            return None
        return Rewrite(drop=gone, rename={node.output: first.inputs[0]})
    attributes = MappingProxyType({"perm": joint})
    merged = Node("Transpose", (first.inputs[0],), node.outputs, attributes, node.name)
    return Rewrite(drop=gone, add=(merged,))


def order_of(editor: GraphEditor, node: Node) -> tuple[int, ...] | None:
    """The order of axes of a Transpose; None for other nodes, and where it is not known."""
    if node.kind != _TRANSPOSE:
        return None
    given = node.ints("perm")
    shape = editor.value(node.inputs[0]).shape
    if given or shape is None:
        return given or None
    return tuple(reversed(range(len(shape))))


def _view(editor: GraphEditor, node: Node, order: tuple[int, ...]) -> Rewrite | None:
    shape = editor.value(node.inputs[0]).shape
    if shape is None or len(shape) != len(order) or not moves_nothing(shape, order):
        return None
    return reshape(editor, node, node.inputs[0], (node,))


def moves_nothing(shape: Shape, order: Sequence[int]) -> bool:
    """Whether a transpose leaves the elements of a value in their places: only axes of one element change theirs."""
    moved = [axis for axis in order if shape[axis] != 1]
    return moved == sorted(moved)
