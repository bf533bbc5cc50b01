"""Regions of interest at one size, by bilinear samples in each bin (He et al., Mask R-CNN, 2017).

In: x [N, C, H, W] float32, rois [R, 4] float32 as x1, y1, x2, y2, the picture of each [R] int64. Out: y [R, C, bins].

A vector holds neighbouring bins of one row; places and weights of a sample are computed once for all channels, whose
sums go through the output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from alula.engine.kernels.ir import Function, Index, module
from alula.engine.kernels.neighbours import Neighbours, Tap, clamped, everywhere, gather, taps_of
from alula.engine.kernels.target import Target

# Samples of a bin along one axis: what more would be asked for by a region is nonsense, and must not take forever.
_MOST_SAMPLES = 4096


@dataclass(frozen=True)
class RoiAlign:
    """Operands: x, rois, pictures, y. A picture's number outside of [0, N) is moved to the nearest inside.

    Attributes:
        bins: rows and columns of the result.
        samples: of a bin along each axis; 0 takes as many as the bin has pixels.
        half_pixel: shift coordinates by half a pixel; else regions have at least one pixel.
    """

    batch: int
    channels: int
    size: tuple[int, int]
    regions: int
    bins: tuple[int, int]
    samples: int
    scale: float
    kind: Literal["avg", "max"]
    half_pixel: bool

    family = "roi align"
    scratch = 0

    @property
    def units(self) -> int:
        """Rows of bins of all regions."""
        return self.regions * self.bins[0]

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        f = Function(name, ("x", "r", "p", "y"), target)
        _Emitter(self, f).emit()
        return module(f)


@dataclass(frozen=True)
class _Side:
    """One region along one axis: vectors of its start, the width of a bin, the samples; and their number."""

    start: str
    width: str
    samples: str
    count: Index


class _Emitter:
    """Writes one kernel; the state is the function under construction."""

    def __init__(self, kernel: RoiAlign, function: Function) -> None:
        self.k = kernel
        self.f = function
        self.ints = f"<{function.lanes} x i32>"
        self.bits = f"<{function.lanes} x i1>"
        self.area = kernel.bins[0] * kernel.bins[1]

    def emit(self) -> None:
        f, k = self.f, self.k

        def unit(index: Index, _: list[str]) -> list[str]:
            region, row = f.div(index, k.bins[0]), f.mod(index, k.bins[0])
            box = f.at("%r", f.mul(region, 4))
            columns, rows = (self._side(box, axis, k.bins[1 - axis]) for axis in (0, 1))
            source = f.at("%x", f.mul(self._picture(region), k.channels * k.size[0] * k.size[1]))
            out = f.at("%y", f.add(f.mul(region, k.channels * self.area), f.mul(row, k.bins[1])))
            for first in range(0, k.bins[1], f.lanes):
                self._bins(source, f.at(out, first), (rows, row), (columns, first))
            return []

        f.loop("%lo", "%hi", 1, unit)

    def _picture(self, region: Index) -> Index:
        f = self.f
        number = f.op(f"load i64, ptr {f.at('%p', region, 'i64')}, align 8")
        return f.least(f.most(number, 0), self.k.batch - 1)

    def _side(self, box: str, axis: int, bins: int) -> _Side:
        f, k = self.f, self.k
        scale, shift = f.constant(k.scale), f.constant(0.5 if k.half_pixel else 0.0)
        start, end = (
            f.arithmetic("fsub", f.arithmetic("fmul", f.broadcast(box, axis + side), scale), shift) for side in (0, 2)
        )
        length = f.arithmetic("fsub", end, start)
        if not k.half_pixel:
            length = f.select_less(length, f.constant(1.0), f.constant(1.0), length)
        width = f.arithmetic("fdiv", length, f.constant(float(bins)))
        if k.samples:
            return _Side(start, width, f.constant(float(k.samples)), k.samples)
        # Compared the other way round, a NaN becomes no samples at all.
        least, most = f.constant(0.0), f.constant(float(_MOST_SAMPLES))
        some = f.intrinsic("ceil", width)
        some = f.select_less(least, some, some, least)
        some = f.select_less(some, most, some, most)
        first = f.op(f"extractelement {f.vector} {some}, i32 0")
        divisor = f.select_less(some, f.constant(1.0), f.constant(1.0), some)
        return _Side(start, width, divisor, f.op(f"fptosi float {first} to i64"))

    def _bins(self, source: str, out: str, down: tuple[_Side, Index], across: tuple[_Side, int]) -> None:
        """A vector of bins, of all channels."""
        f, k = self.f, self.k
        (rows, row), (columns, first) = down, across
        count = min(f.lanes, k.bins[1] - first)
        numbers = "<" + ", ".join(f"i64 {first + lane}" for lane in range(f.lanes)) + ">"
        bin_ = f.op(f"sitofp <{f.lanes} x i64> {numbers} to {f.vector}")
        begin = f.constant(0.0 if k.kind == "avg" else float("-inf"))
        self._channels(out, count, lambda *_: begin)

        def sample_row(iy: Index, _: list[str]) -> list[str]:
            vertical = self._neighbours(self._place(rows, self._number(row), iy), k.size[0])

            def sample(ix: Index, _: list[str]) -> list[str]:
                horizontal = self._neighbours(self._place(columns, bin_, ix), k.size[1])
                taps = taps_of(f, vertical, horizontal, k.size[1])
                self._channels(out, count, lambda c, value: self._add(source, c, taps, value))
                return []

            f.loop(0, columns.count, 1, sample)
            return []

        f.loop(0, rows.count, 1, sample_row)
        if k.kind == "avg":
            total = f.arithmetic("fmul", rows.samples, columns.samples)
            self._channels(out, count, lambda _, value: f.arithmetic("fdiv", value, total))
        elif not k.samples:
            none = f.constant(float("-inf"))
            self._channels(out, count, lambda _, value: f.select_less(none, value, value, f.constant(0.0)))

    def _channels(self, out: str, count: int, change: Callable[[Index, str], str]) -> None:
        """The value of every channel replaced by `change` of its number and the value."""
        f = self.f

        def channel(c: Index, _: list[str]) -> list[str]:
            place = f.mul(c, self.area)
            f.store_first(count, change(c, f.load_first(count, out, place)), out, place)
            return []

        f.loop(0, self.k.channels, 1, channel)

    def _number(self, index: Index) -> str:
        """An index as a vector of floats."""
        f = self.f
        if isinstance(index, int):
            return f.constant(float(index))
        return f.splat(f.op(f"sitofp i64 {index} to float"))

    def _place(self, side: _Side, bin_: str, sample: Index) -> str:
        """Start + bin width + (sample + 1/2) width / samples, in the order in which the reference rounds."""
        f = self.f
        middle = f.arithmetic("fadd", self._number(sample), f.constant(0.5))
        step = f.arithmetic("fdiv", f.arithmetic("fmul", middle, side.width), side.samples)
        return f.arithmetic("fadd", f.arithmetic("fadd", side.start, f.arithmetic("fmul", bin_, side.width)), step)

    def _neighbours(self, place: str, extent: int) -> Neighbours:
        """What is more than a pixel outside weighs nothing; the rest is moved inside."""
        f = self.f
        zero, one = f.constant(0.0), f.constant(1.0)
        low = f.op(f"fcmp oge {f.vector} {place}, {f.constant(-1.0)}")
        high = f.op(f"fcmp ole {f.vector} {place}, {f.constant(float(extent))}")
        there = f.op(f"and {self.bits} {low}, {high}")
        inside = clamped(f, f.op(f"select {self.bits} {there}, {f.vector} {place}, {f.vector} {zero}"), extent)
        below = f.intrinsic("floor", inside)
        far = f.arithmetic("fsub", inside, below)
        weights = [
            f.op(f"select {self.bits} {there}, {f.vector} {weight}, {f.vector} {zero}")
            for weight in (f.arithmetic("fsub", one, far), far)
        ]
        above = clamped(f, f.arithmetic("fadd", below, one), extent)
        numbers = [f.op(f"fptosi {f.vector} {where} to {self.ints}") for where in (below, above)]
        return Neighbours(tuple(numbers), tuple(weights), (everywhere(f), everywhere(f)))

    def _add(self, source: str, channel: Index, taps: Sequence[Tap], total: str) -> str:
        f = self.f
        plane = f.at(source, f.mul(channel, self.k.size[0] * self.k.size[1]))
        for tap in taps:
            value = gather(f, plane, tap.offsets)
            if self.k.kind == "avg":
                total = f.fma(value, tap.weight, total)
            else:
                total = f.intrinsic("maximum", total, f.arithmetic("fmul", value, tap.weight))
        return total
