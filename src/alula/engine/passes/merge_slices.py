"""A Slice reads what it takes where that stood before: before another Slice, in one part of a Concat, inside a Pad.

    x -> Slice [2:9] -> Slice [1:4:2]              becomes   x -> Slice [3:6:2]
    Concat(a [4], b [4], c [4]) -> Slice [5:7]     becomes   b -> Slice [1:3]
    Concat(a [4], b [4], c [4]) -> Slice [4:12]    becomes   Concat(b, c)
    x [8] -> Pad {1, 1} -> Slice [1:9]             becomes   x -> Slice [0:8], which drop_identity takes out

In: a Slice with constant bounds of a value of known shape. Out: a Slice, or a Concat, of values before.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node
from alula.engine.passes.known import static_shape
from alula.engine.passes.normal import NewConstants

# What is taken of each axis: never empty, so that first and last element are there.
_Taken = tuple[range, ...]
_SLICE = ("", "Slice")


def merge_slices(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Move one Slice to the front of what stands before it."""
    taken = _taken(editor, node) if node.kind == _SLICE else None
    before = editor.producer_of(node.inputs[0]) if taken is not None else None
    if taken is None or before is None or before.domain:
        return None
    if before.op == "Slice":
        inner = _taken(editor, before)
        if inner is None:
            return None
        return _sliced(editor, (before, node), before.inputs[0], _of(inner, taken))
    if before.op == "Concat":
        return _of_parts(editor, before, node, taken)
    return _inside(editor, before, node, taken) if before.op == "Pad" else None


def _taken(editor: GraphEditor, node: Node) -> _Taken | None:
    """The elements of each axis; None where bounds are computed, shapes unknown, or nothing is left."""
    shape = static_shape(editor, node.inputs[0])
    bounds = [editor.constant(node.input(index)) for index in range(1, 5)]
    if shape is None or any(node.input(index) and bounds[index - 1] is None for index in range(1, 5)):
        return None
    starts, ends, axes, steps = ([] if array is None else [int(n) for n in array.reshape(-1)] for array in bounds)
    taken = [range(size) for size in shape]
    for axis, *bound in zip(axes or range(len(starts)), starts, ends, steps or [1] * len(starts), strict=True):
        taken[axis] = taken[axis][slice(*bound)]
    return tuple(taken) if all(taken) else None


def _of(inner: _Taken, taken: _Taken) -> _Taken:
    """Elements of elements."""
    return tuple(mine[other.start : _stop(other) : other.step] for mine, other in zip(inner, taken, strict=True))


def _stop(one: range) -> int | None:
    """Where a slice with the bounds of a range stops; a negative number would count from the end."""
    return one.stop if one.stop >= 0 else None


def _sliced(editor: GraphEditor, gone: tuple[Node, Node], source: str, taken: _Taken) -> Rewrite:
    """One Slice of `source` in the place of the last node."""
    before, node = gone
    constants = NewConstants(editor, node.output)
    ends = [one.stop if one.stop >= 0 else -(1 << 31) for one in taken]
    rows = [one.start for one in taken], ends, range(len(taken)), [one.step for one in taken]
    names = [constants.add(np.array(row, np.int64), what) for row, what in zip(rows, _BOUNDS, strict=True)]
    merged = Node("Slice", (source, *names), node.outputs, name=node.label)
    drop = (before, node) if editor.uses_of(before.output) == 1 else (node,)
    return Rewrite(drop=drop, add=(merged,), constants=constants.arrays, values=constants.values)


_BOUNDS = ("starts", "ends", "axes", "steps")


def _of_parts(editor: GraphEditor, concat: Node, node: Node, taken: _Taken) -> Rewrite | None:
    """From one part only, or several parts as they are."""
    axis = concat.integer("axis") % len(taken)
    shapes = [static_shape(editor, name) for name in concat.inputs]
    sizes = [shape[axis] for shape in shapes if shape is not None]
    if len(sizes) != len(shapes):
        return None
    bounds = list(itertools.pairwise(itertools.accumulate(sizes, initial=0)))
    along = taken[axis]
    low, high = min(along), max(along) + 1
    for name, (first, end) in zip(concat.inputs, bounds, strict=True):
        if first <= low and high <= end:
            return _sliced(editor, (concat, node), name, _moved(taken, axis, first))
    parts = [name for name, (first, end) in zip(concat.inputs, bounds, strict=True) if low <= first and end <= high]
    whole = {low, high} <= {place for bound in bounds for place in bound} and along.step == 1
    if not whole or len(parts) == len(sizes) or not _is_whole(editor, node, taken, axis):
        return None
    drop = (concat, node) if editor.uses_of(concat.output) == 1 else (node,)
    return Rewrite(drop=drop, add=(replace(concat, inputs=tuple(parts), outputs=node.outputs, name=node.label),))


def _is_whole(editor: GraphEditor, node: Node, taken: _Taken, axis: int) -> bool:
    """Whether all other axes are taken as they are."""
    shape = static_shape(editor, node.inputs[0]) or ()
    return all(one == range(size) for place, (one, size) in enumerate(zip(taken, shape, strict=True)) if place != axis)


def _moved(taken: _Taken, axis: int, by: int) -> _Taken:
    """The same of a value that begins later along one axis."""
    one = taken[axis]
    return (*taken[:axis], range(one.start - by, one.stop - by, one.step), *taken[axis + 1 :])


def _inside(editor: GraphEditor, pad: Node, node: Node, taken: _Taken) -> Rewrite | None:
    """Only what is not border, of whatever kind that is."""
    shape, amounts = static_shape(editor, pad.inputs[0]), editor.constant(pad.inputs[1])
    if shape is None or amounts is None or pad.input(3) or (amounts < 0).any():
        return None
    fronts: Sequence[int] = [int(amount) for amount in amounts.reshape(2, -1)[0]]
    for axis, (one, front, size) in enumerate(zip(taken, fronts, shape, strict=True)):
        if min(one) < front or max(one) >= front + size:
            return None
        taken = _moved(taken, axis, front)
    return _sliced(editor, (pad, node), pad.inputs[0], taken)
