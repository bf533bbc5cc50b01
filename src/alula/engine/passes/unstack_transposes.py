"""Transposes of stacks of matrices, without the stack.

    x [B, H, T, E] -> Reshape [B H, T, E] -> Transpose (0, 2, 1) -> Reshape [B, H, E, T]
    becomes   x -> Transpose (0, 1, 3, 2)

In: the second Reshape, which parts the axes that the first has joined. Out: one Transpose, which can meet others and be
read through strides; where axes that are not neighbours in memory are joined, the first Reshape would be a copy.
"""

from __future__ import annotations

from types import MappingProxyType

from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node
from alula.engine.passes.known import static_shape
from alula.engine.passes.merge_reshapes import is_view
from alula.engine.passes.merge_transposes import order_of


def unstack_transposes(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Replace the three that end here."""
    turn = editor.producer_of(node.inputs[0]) if is_view(node) else None
    order = order_of(editor, turn) if turn is not None else None
    first = editor.producer_of(turn.inputs[0]) if turn is not None and order is not None else None
    if turn is None or order is None or first is None or not is_view(first):
        return None
    names = (first.inputs[0], first.output, node.output)
    before, joined, after = (static_shape(editor, name) for name in names)
    groups = _groups(before, joined) if before is not None and joined is not None else None
    if groups is None or before is None or len(groups) != len(order):
        return None
    whole = tuple(axis for group in order for axis in groups[group])
    if tuple(before[axis] for axis in whole) != after:
        return None
    gone = [node]
    for earlier in (turn, first):
        if editor.uses_of(earlier.output) > 1:
            break
        gone.append(earlier)
    attributes = MappingProxyType({"perm": whole})
    return Rewrite(drop=tuple(gone), add=(Node("Transpose", names[:1], node.outputs, attributes, turn.name),))


def _groups(before: tuple[int, ...], joined: tuple[int, ...]) -> list[list[int]] | None:
    """The axes that were joined to each axis; None where axes were parted instead."""
    groups: list[list[int]] = []
    axis = 0
    for size in joined:
        group: list[int] = []
        product = 1
        while axis < len(before) and (product < size or (not group and before[axis] == size)):
            group.append(axis)
            product *= before[axis]
            axis += 1
        if product != size:
            return None
        groups.append(group)
    rest = range(axis, len(before))
    if any(before[one] != 1 for one in rest) or not groups:
        return None
    groups[-1].extend(rest)
    return groups
