"""Constant factors and terms by channel, worked into the weights before them.

    x -> Conv(#w, #b) -> Mul(#s) -> Add(#t)   becomes   x -> Conv(#w * s, #b * s + t)

In: Add, Sub, Mul or Div of a value and a constant that varies along channels only. Out: a rewrite without it.
"""

from __future__ import annotations

import numpy as np

from alula.engine.graph.dims import Dim
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Array, Node
from alula.engine.passes.affine import Affine, channels_of, fold_into

SCALES = frozenset({"Add", "Sub", "Mul", "Div"})


def fold_scale(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Work one constant into the producer of the other operand."""
    if node.domain or node.op not in SCALES:
        return None
    side = 1 if editor.constant(node.inputs[1]) is not None else 0
    array, other = editor.constant(node.inputs[side]), node.inputs[1 - side]
    channels = channels_of(editor, other)
    if array is None or channels is None or editor.value(other).shape != editor.value(node.output).shape:
        return None
    column = by_axis(array, len(editor.value(other).shape or ()), 1, channels)
    affine = None if column is None else affine_of(node.op, column, constant_first=side == 0)
    return None if affine is None else fold_into(editor, node, editor.producer_of(other), affine)


def by_axis(array: Array, rank: int, axis: int, size: Dim) -> Array | None:
    """A constant as float64 [size] along one axis of a value; None where it varies along another."""
    if array.ndim > rank or array.dtype != np.float32 or not isinstance(size, int):
        return None
    shape = (1,) * (rank - array.ndim) + array.shape
    if any(dim != 1 for place, dim in enumerate(shape) if place != axis) or shape[axis] not in {1, size}:
        return None
    return np.broadcast_to(array.reshape(-1).astype(np.float64), (size,))


def affine_of(op: str, column: Array, *, constant_first: bool) -> Affine | None:
    """What an operator of `SCALES` does to its other operand; None for divisors of 0 and reciprocals."""
    ones, zeros = np.ones_like(column), np.zeros_like(column)
    if op == "Mul":
        return Affine(column, zeros)
    if op == "Add":
        return Affine(ones, column)
    if op == "Sub":
        return Affine(-ones, column) if constant_first else Affine(ones, -column)
    if constant_first or not column.all():
        return None
    return Affine(1 / column, zeros)
