"""Sampling that has no kernel of its own, cubic or of volumes, as weighed elements gathered for each tap.

    GridSample(x, grid) {cubic}   becomes   the sum over 4 x 4 taps of GatherElements(x, place of the tap) * weight

In: a float32 GridSample over other than two axes, or cubic. Out: nodes that have kernels, most of which fuse. Formulas
are those of the reference (`operators.grid`), cubic weights R. Keys's of 1981 with a = -0.75 as PyTorch has them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import is_static
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node
from alula.engine.passes.sketch import Sketch

_PICTURE = 4
_CUBIC_A = -0.75
_INT64 = 7
# Each combination of taps is some nodes: 64 of cubic volumes would take longer to compile than they save.
_MOST_COMBINATIONS = 16
_TAPS = {"nearest": 1, "linear": 2, "cubic": 4}


@dataclass(frozen=True)
class _Tap:
    """One neighbour along an axis: its number, inside of the axis, and its weight, 0 where it is not; empty for 1."""

    index: str
    weight: str


def lower_grid_sample(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Rewrite one node."""
    if node.kind != ("", "GridSample"):
        return None
    values = [editor.value(name) for name in (*node.inputs, node.output)]
    if any(v.dtype is not DType.FLOAT32 or not v.shape or not is_static(v.shape) or 0 in v.shape for v in values):
        return None
    mode, rank = node.text("mode", "linear"), len(values[0].shape or ())
    if mode not in _TAPS or (rank == _PICTURE and mode != "cubic") or _TAPS[mode] ** (rank - 2) > _MOST_COMBINATIONS:
        return None
    return _Sampling(Sketch(editor, node), node).rewrite(mode)


@dataclass(frozen=True)
class _Sampling:
    """The nodes of one rewrite; places have the shape [N, 1, pixels]."""

    sketch: Sketch
    node: Node

    def rewrite(self, mode: str) -> Rewrite:
        """Sum what each combination of taps gives."""
        sketch, node = self.sketch, self.node
        shape, result = sketch.shape(node.inputs[0]), sketch.shape(node.output)
        pixels = math.prod(result[2:])
        grid = sketch.reshape(node.inputs[1], (shape[0], pixels, len(shape) - 2))
        x = sketch.reshape(node.inputs[0], (*shape[:2], math.prod(shape[2:])))
        axes = [self._taps(grid, axis, size, mode) for axis, size in enumerate(shape[2:])]
        total = ""
        for taps in product(*axes):
            part = self._part(x, taps, shape[2:], pixels)
            total = self._op("Add", total, part) if total else part
        return sketch.finish(sketch.reshape(total, result))

    def _part(self, x: str, taps: Sequence[_Tap], sizes: tuple[int, ...], pixels: int) -> str:
        """Elements times weights; nothing where the weight is 0, even of an infinite element."""
        place = taps[0].index
        for tap, size in zip(taps[1:], sizes[1:], strict=True):
            place = self._op("Add", self._op("Mul", place, self._whole(size)), tap.index)
        full = (*self.sketch.shape(x)[:2], pixels)
        spread = self.sketch.node("Expand", (place, self.sketch.constant(np.asarray(full))), full)
        values = self.sketch.node("GatherElements", (x, spread), full, axis=2)
        weights = [tap.weight for tap in taps if tap.weight]
        if not weights:
            return values
        weight = reduce(lambda one, other: self._op("Mul", one, other), weights)
        none = self._op("Equal", weight, self._number(0.0), dtype=DType.BOOL)
        return self._op("Where", none, self._number(0.0), self._op("Mul", values, weight), dtype=DType.FLOAT32)

    def _taps(self, grid: str, axis: int, size: int, mode: str) -> list[_Tap]:
        """The neighbours of all places along one axis; the grid's last number belongs to the first axis."""
        batch, pixels, rank = self.sketch.shape(grid)
        which = self.sketch.constant(np.asarray([rank - 1 - axis]))
        coordinate = self.sketch.reshape(
            self.sketch.node("Gather", (grid, which), (batch, pixels, 1), axis=2), (batch, 1, pixels)
        )
        moved = self._op("Add", coordinate, self._number(1.0))
        if self.node.integer("align_corners"):
            place = self._op("Mul", self._op("Mul", moved, self._number(0.5)), self._number(size - 1))
        else:
            scaled = self._op("Sub", self._op("Mul", moved, self._number(size)), self._number(1.0))
            place = self._op("Mul", scaled, self._number(0.5))
        if mode == "nearest":
            return [self._tap(self._padded(self._op("Round", place), size), "", size)]
        place = self._padded(place, size)
        below = self._op("Floor", place)
        far = self._op("Sub", place, below)
        near = self._op("Sub", self._number(1.0), far)
        weights = {0: near, 1: far}
        if mode == "cubic":
            beyond = (self._op("Add", one, self._number(1.0)) for one in (far, near))
            first, last = map(self._outer, beyond)
            weights = {-1: first, 0: self._inner(far), 1: self._inner(near), 2: last}
        return [
            self._tap(self._op("Add", below, self._number(step)) if step else below, weight, size)
            for step, weight in weights.items()
        ]

    def _inner(self, distance: str) -> str:
        """((a + 2) d - (a + 3)) d d + 1."""
        slope = self._op("Sub", self._times(distance, _CUBIC_A + 2), self._number(_CUBIC_A + 3))
        return self._op("Add", self._op("Mul", self._op("Mul", slope, distance), distance), self._number(1.0))

    def _outer(self, distance: str) -> str:
        """((a d - 5 a) d + 8 a) d - 4 a."""
        y = self._op("Sub", self._times(distance, _CUBIC_A), self._number(5 * _CUBIC_A))
        y = self._op("Add", self._op("Mul", y, distance), self._number(8 * _CUBIC_A))
        return self._op("Sub", self._op("Mul", y, distance), self._number(4 * _CUBIC_A))

    def _tap(self, index: str, weight: str, size: int) -> _Tap:
        padding = self.node.text("padding_mode", "zeros")
        if padding == "reflection":
            index = self._reflected(index, size)
        inside = self._op("Clip", index, self._number(0.0), self._number(size - 1))
        whole = self.sketch.node("Cast", (inside,), self.sketch.shape(inside), dtype=DType.INT64, to=_INT64)
        if padding == "border":
            return _Tap(whole, weight)
        low, high = (-1.0, float(size)) if padding == "reflection" else (0.0, size - 1.0)
        there = self._between(index, low, high)
        weight = weight or self._number(1.0)
        return _Tap(whole, self._op("Where", there, weight, self._number(0.0), dtype=DType.FLOAT32))

    def _padded(self, place: str, size: int) -> str:
        padding = self.node.text("padding_mode", "zeros")
        if padding == "reflection":
            return self._reflected(place, size)
        if padding == "zeros":
            return place
        reach = 0.0 if self.node.integer("align_corners") else 0.5
        edge = self._op("Clip", place, self._number(0.0), self._number(size - 1))
        return self._op("Where", self._between(place, -reach, size - 1 + reach), place, edge, dtype=DType.FLOAT32)

    def _reflected(self, place: str, size: int) -> str:
        """Mirrored at both ends as often as needed."""
        low, high = (0.0, size - 1.0) if self.node.integer("align_corners") else (-0.5, size - 0.5)
        if high <= low:
            return self._times(place, 0.0)
        before = self._op("Less", place, self._number(low), dtype=DType.BOOL)
        outside = self._op("Sub", place, self._number(low))
        beyond = self._op("Where", before, self._op("Neg", outside), outside, dtype=DType.FLOAT32)
        turns = self._op("Floor", self._op("Div", beyond, self._number(high - low)))
        rest = self._op("Sub", beyond, self._times(turns, high - low))
        half = self._op("Floor", self._times(turns, 0.5))
        even = self._op("Equal", turns, self._times(half, 2.0), dtype=DType.BOOL)
        ends = self._op("Add", rest, self._number(low)), self._op("Sub", self._number(high), rest)
        mirrored = self._op("Where", even, *ends, dtype=DType.FLOAT32)
        return self._op("Where", self._between(place, low, high), place, mirrored, dtype=DType.FLOAT32)

    def _between(self, place: str, low: float, high: float) -> str:
        above = self._op("GreaterOrEqual", place, self._number(low), dtype=DType.BOOL)
        return self._op("And", above, self._op("LessOrEqual", place, self._number(high), dtype=DType.BOOL))

    def _times(self, x: str, factor: float) -> str:
        return self._op("Mul", x, self._number(factor))

    def _op(self, op: str, *inputs: str, dtype: DType | None = None) -> str:
        """An elementwise node, by default of the dtype of its first input."""
        return self.sketch.node(op, inputs, np.broadcast_shapes(*map(self.sketch.shape, inputs)), dtype=dtype)

    def _number(self, value: float) -> str:
        return self.sketch.constant(np.asarray(value, np.float32))

    def _whole(self, value: int) -> str:
        return self.sketch.constant(np.asarray(value))
