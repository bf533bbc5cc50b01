"""Pictures read at coordinates that other tensors hold: nearest elements, or bilinear interpolation.

In: x [N, C, H, W], grid [N, P, 2] as (x, y) in [-1, 1], float32. Out: y [N, C, P].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from alula.engine.kernels.ir import Function, Index, module
from alula.engine.kernels.loops import each_vector_of_groups
from alula.engine.kernels.neighbours import (
    Neighbours,
    Padding,
    clamped,
    linear_neighbours,
    nearest_neighbours,
    taps_of,
    weighted,
)
from alula.engine.kernels.target import Target

# Vectors of output pixels of one unit; their weights are computed once for all channels.
_VECTORS = 4


@dataclass(frozen=True)
class GridSample:
    """Operands: x, grid, y. What lies outside counts as 0, as the nearest element, or is mirrored."""

    batch: int
    channels: int
    size: tuple[int, int]
    pixels: int
    mode: Literal["linear", "nearest"]
    padding: Padding
    align_corners: bool
    lanes: int

    family = "grid sample"
    scratch = 0

    @property
    def units(self) -> int:
        """Groups of output pixels of all pictures."""
        return self.batch * math.ceil(self.pixels / (self.lanes * _VECTORS))

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        f = Function(name, ("x", "g", "y"), target)
        _Emitter(self, f).emit()
        return module(f)


class _Emitter:
    """Writes one kernel; the state is the function under construction."""

    def __init__(self, kernel: GridSample, function: Function) -> None:
        self.k = kernel
        self.f = function
        self.ints = f"<{function.lanes} x i32>"
        self.bits = f"<{function.lanes} x i1>"

    def emit(self) -> None:
        each_vector_of_groups(self.f, self.k.pixels, self.f.lanes * _VECTORS, self._vector)

    def _vector(self, picture: Index, at: Index, count: int) -> None:
        """`count` neighbouring output pixels of all channels."""
        f, k = self.f, self.k
        places = f.at("%g", f.mul(f.add(f.mul(picture, k.pixels), at), 2))
        columns, rows = (self._axis(place, k.size[1 - axis]) for axis, place in enumerate(self._pairs(places, count)))
        taps = taps_of(f, rows, columns, k.size[1])

        def channel(c: Index, _: list[str]) -> list[str]:
            plane = f.add(f.mul(picture, k.channels), c)
            source = f.at("%x", f.mul(plane, k.size[0] * k.size[1]))
            f.store_first(count, weighted(f, source, taps), "%y", f.add(f.mul(plane, k.pixels), at))
            return []

        f.loop(0, k.channels, 1, channel)

    def _pairs(self, places: str, count: int) -> tuple[str, str]:
        """The x and the y of `count` pairs."""
        f = self.f
        low = f.load_first(min(2 * count, f.lanes), places)
        high = f.load_first(2 * count - f.lanes, places, f.lanes) if 2 * count > f.lanes else f.constant(0.0)
        found = []
        for first in (0, 1):
            order = ", ".join(f"i32 {2 * lane + first}" for lane in range(f.lanes))
            found.append(f.op(f"shufflevector {f.vector} {low}, {f.vector} {high}, {self.ints} <{order}>"))
        return found[0], found[1]

    def _axis(self, coordinate: str, size: int) -> Neighbours:
        f, k = self.f, self.k
        half, one = f.constant(0.5), f.constant(1.0)
        place = f.arithmetic("fadd", coordinate, one)
        if k.align_corners:
            place = f.arithmetic("fmul", f.arithmetic("fmul", place, half), f.constant(size - 1.0))
        else:
            wide = f.arithmetic("fmul", place, f.constant(float(size)))
            place = f.arithmetic("fmul", f.arithmetic("fsub", wide, one), half)
        if k.mode == "nearest":
            place = f.intrinsic("rint", place)
        if k.padding == "reflection":
            place = self._reflected(place, size)
        if k.padding != "zeros":
            place = clamped(f, place, size)
        if k.mode == "nearest":
            return nearest_neighbours(f, place, size, k.padding)
        return linear_neighbours(f, place, size, k.padding)

    def _reflected(self, place: str, size: int) -> str:
        """Mirrored at the centres of the outer elements, or half an element beyond, as often as needed."""
        f = self.f
        low, high = (0.0, size - 1.0) if self.k.align_corners else (-0.5, size - 0.5)
        if high <= low:
            return f.constant(0.0)
        first, last, width = f.constant(low), f.constant(high), f.constant(high - low)
        beyond = f.intrinsic("fabs", f.arithmetic("fsub", place, first))
        turns = f.intrinsic("floor", f.arithmetic("fdiv", beyond, width))
        rest = f.arithmetic("fsub", beyond, f.arithmetic("fmul", turns, width))
        halves = f.arithmetic("fmul", turns, f.constant(0.5))
        even = f.op(f"fcmp oeq {f.vector} {halves}, {f.intrinsic('floor', halves)}")
        there, back = f.arithmetic("fadd", first, rest), f.arithmetic("fsub", last, rest)
        return f.op(f"select {self.bits} {even}, {f.vector} {there}, {f.vector} {back}")
