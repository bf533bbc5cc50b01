"""The columns of a convolution at displaced taps: what each tap reads, bilinearly, 0 outside.

In: x [N, C, H, W], offsets [N, groups * taps * 2, P] as (row, column), factors [N, groups * taps, P] if there are any,
the rows and columns of the first tap of every output pixel [2, P]; float32. Out: y [N, C * taps, P].
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from alula.engine.kernels.ir import Function, Index, module
from alula.engine.kernels.loops import each_vector_of_groups
from alula.engine.kernels.neighbours import linear_neighbours, taps_of, weighted
from alula.engine.kernels.target import Target

# Vectors of output pixels of one unit; their weights are computed once for all channels of a group.
_VECTORS = 4

Pair = tuple[int, int]


@dataclass(frozen=True)
class DeformColumns:
    """Operands: x, offsets, factors (with `masked`), places, y.

    Attributes:
        taps: displacement of each tap from the first, in rows and columns.
    """

    batch: int
    channels: int
    groups: int
    size: Pair
    pixels: int
    taps: tuple[Pair, ...]
    masked: bool
    lanes: int

    family = "deform columns"
    scratch = 0

    @property
    def units(self) -> int:
        """Groups of output pixels of all taps and groups of channels."""
        return self.batch * self.groups * math.ceil(self.pixels / (self.lanes * _VECTORS))

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        factors = ["m"] if self.masked else []
        f = Function(name, ("x", "o", *factors, "b", "y"), target)
        _Emitter(self, f).emit()
        return module(f)


class _Emitter:
    """Writes one kernel; the state is the function under construction."""

    def __init__(self, kernel: DeformColumns, function: Function) -> None:
        self.k = kernel
        self.f = function

    def emit(self) -> None:
        each_vector_of_groups(self.f, self.k.pixels, self.f.lanes * _VECTORS, self._vector)

    def _vector(self, group: Index, at: Index, count: int) -> None:
        """`count` neighbouring output pixels; `group` counts the groups of all pictures."""
        f, k = self.f, self.k
        rows, columns = f.load_first(count, "%b", at), f.load_first(count, "%b", f.add(at, k.pixels))
        for number, (down, right) in enumerate(k.taps):
            entry = f.add(f.mul(group, len(k.taps)), number)
            moves = f.at("%o", f.add(f.mul(entry, 2 * k.pixels), at))
            y = f.arithmetic("fadd", f.load_first(count, moves), f.arithmetic("fadd", rows, f.constant(float(down))))
            x = f.load_first(count, moves, k.pixels)
            x = f.arithmetic("fadd", x, f.arithmetic("fadd", columns, f.constant(float(right))))
            self._tap(group, (number, entry), (y, x), (at, count))

    def _tap(self, group: Index, tap: tuple[int, Index], place: tuple[str, str], where: tuple[Index, int]) -> None:
        """What one tap reads, of all channels of the group."""
        f, k = self.f, self.k
        (number, entry), (at, count) = tap, where
        vertical = linear_neighbours(f, place[0], k.size[0], "zeros")
        horizontal = linear_neighbours(f, place[1], k.size[1], "zeros")
        taps = taps_of(f, vertical, horizontal, k.size[1])
        if k.masked:
            factor = f.load_first(count, "%m", f.add(f.mul(entry, k.pixels), at))
            taps = tuple(replace(one, weight=f.arithmetic("fmul", one.weight, factor)) for one in taps)
        channels = k.channels // k.groups

        def channel(c: Index, _: list[str]) -> list[str]:
            plane = f.add(f.mul(group, channels), c)
            value = weighted(f, f.at("%x", f.mul(plane, k.size[0] * k.size[1])), taps)
            out = f.add(f.mul(plane, len(k.taps)), number)
            f.store_first(count, value, "%y", f.add(f.mul(out, k.pixels), at))
            return []

        f.loop(0, channels, 1, channel)
