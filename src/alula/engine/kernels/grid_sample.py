"""Pictures read at coordinates that other tensors hold: nearest elements, or bilinear interpolation.

In: x [N, C, H, W], grid [N, P, 2] as (x, y) in [-1, 1], float32. Out: y [N, C, P].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from alula.engine.kernels.ir import Function, Index, module
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
    padding: Literal["zeros", "border", "reflection"]
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


@dataclass(frozen=True)
class _Axis:
    """Neighbours of a vector of places along one axis: element numbers, weights, and masks of those that are there."""

    numbers: tuple[str, ...]
    weights: tuple[str, ...]
    there: tuple[str, ...]


class _Emitter:
    """Writes one kernel; the state is the function under construction."""

    def __init__(self, kernel: GridSample, function: Function) -> None:
        self.k = kernel
        self.f = function
        self.ints = f"<{function.lanes} x i32>"
        self.bits = f"<{function.lanes} x i1>"

    def emit(self) -> None:
        f, k = self.f, self.k
        step = f.lanes * _VECTORS
        groups, rest = math.ceil(k.pixels / step), k.pixels % f.lanes

        def unit(index: Index, _: list[str]) -> list[str]:
            picture, first = f.div(index, groups), f.mul(f.mod(index, groups), step)
            last = f.least(f.add(first, step), k.pixels - rest)
            f.loop(first, last, f.lanes, lambda at, _: self._vector(picture, at, f.lanes))
            if rest:
                ends = f.compare("sge", f.add(first, step), k.pixels)
                f.when(ends, lambda: self._last(picture, k.pixels - rest, rest))
            return []

        f.loop("%lo", "%hi", 1, unit)

    def _last(self, picture: Index, at: Index, count: int) -> None:
        self._vector(picture, at, count)

    def _vector(self, picture: Index, at: Index, count: int) -> list[str]:
        """`count` neighbouring output pixels of all channels."""
        f, k = self.f, self.k
        places = f.at("%g", f.mul(f.add(f.mul(picture, k.pixels), at), 2))
        columns, rows = (self._axis(place, k.size[1 - axis]) for axis, place in enumerate(self._pairs(places, count)))
        taps = [
            (self._offsets(number, other), weight, there)
            for number, row_weight, row_there in zip(rows.numbers, rows.weights, rows.there, strict=True)
            for other, weight, there in self._with(columns, row_weight, row_there)
        ]

        def channel(c: Index, _: list[str]) -> list[str]:
            plane = f.add(f.mul(picture, k.channels), c)
            source = f.at("%x", f.mul(plane, k.size[0] * k.size[1]))
            total = f.constant(0.0)
            for offsets, weight, there in taps:
                value = self._gather(source, offsets, there)
                total = value if k.mode == "nearest" else f.fma(value, weight, total)
            f.store_first(count, total, "%y", f.add(f.mul(plane, k.pixels), at))
            return []

        f.loop(0, k.channels, 1, channel)
        return []

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

    def _axis(self, coordinate: str, size: int) -> _Axis:
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
            place = self._clamped(place, size)
        if k.mode == "nearest":
            return self._neighbours((place,), (one,), size)
        below = f.intrinsic("floor", place)
        far = f.arithmetic("fsub", place, below)
        return self._neighbours((below, f.arithmetic("fadd", below, one)), (f.arithmetic("fsub", one, far), far), size)

    def _neighbours(self, places: tuple[str, ...], weights: tuple[str, ...], size: int) -> _Axis:
        """Whole places with their weights; a NaN is nowhere, but at the first element where borders go on."""
        if self.k.padding == "border":
            masks = ["<" + ", ".join(["i1 true"] * self.f.lanes) + ">"] * len(places)
        elif self.k.padding == "reflection":
            masks = [self._inside(self._clamped(place, size), size) for place in places]
        else:
            masks = [self._inside(place, size) for place in places]
        return _Axis(tuple(self._number(place, size) for place in places), weights, tuple(masks))

    def _with(self, columns: _Axis, weight: str, there: str) -> list[tuple[str, str, str]]:
        f = self.f
        return [
            (number, f.arithmetic("fmul", weight, own), f.op(f"and {self.bits} {there}, {mask}"))
            for number, own, mask in zip(columns.numbers, columns.weights, columns.there, strict=True)
        ]

    def _offsets(self, row: str, column: str) -> str:
        f = self.f
        width = "<" + ", ".join([f"i32 {self.k.size[1]}"] * f.lanes) + ">"
        return f.op(f"add {self.ints} {f.op(f'mul {self.ints} {row}, {width}')}, {column}")

    def _clamped(self, place: str, size: int) -> str:
        """Moved to the nearest element; a NaN stays one."""
        f = self.f
        zero, last = f.constant(0.0), f.constant(size - 1.0)
        return f.select_less(last, place, last, f.select_less(place, zero, zero, place))

    def _number(self, place: str, size: int) -> str:
        """Element numbers that may be read whatever the place was."""
        f = self.f
        ordered = f.op(f"fcmp ord {f.vector} {place}, {place}")
        known = f.op(f"select {self.bits} {ordered}, {f.vector} {place}, {f.vector} {f.constant(0.0)}")
        return f.op(f"fptosi {f.vector} {self._clamped(known, size)} to {self.ints}")

    def _inside(self, place: str, size: int) -> str:
        f = self.f
        low = f.op(f"fcmp oge {f.vector} {place}, {f.constant(0.0)}")
        high = f.op(f"fcmp ole {f.vector} {place}, {f.constant(size - 1.0)}")
        return f.op(f"and {self.bits} {low}, {high}")

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

    def _gather(self, pointer: str, offsets: str, there: str) -> str:
        """Floats at `offsets`, zeros where a mask says that nothing is there."""
        f = self.f
        pointers = f.op(f"getelementptr inbounds float, ptr {pointer}, {self.ints} {offsets}")
        name = f"llvm.masked.gather.v{f.lanes}f32.v{f.lanes}p0"
        f.declare(f"declare {f.vector} @{name}(<{f.lanes} x ptr>, i32, {self.bits}, {f.vector})")
        masked = f"{self.bits} {there}, {f.vector} zeroinitializer"
        return f.op(f"call {f.vector} @{name}(<{f.lanes} x ptr> {pointers}, i32 4, {masked})")
