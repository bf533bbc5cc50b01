"""Interpolation between pixels along rows and columns: every output is a weighted sum over a table of inputs.

In: x [planes, H, W, B] float32, where B is a block of channels, all channels where they come last, or 1 for plain rows;
for each output row and column the numbers of its inputs, and their weights. Out: y [planes, Ho, Wo, B].

Rows are blended first, into a scratch row as wide as the input; its columns are then blended into the output.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from alula.engine.kernels.ir import Function, Index, module
from alula.engine.kernels.loops import each_stretch_of_rows, each_vector
from alula.engine.kernels.neighbours import gather
from alula.engine.kernels.target import Target
from alula.engine.kernels.window import rows_per_unit

# Taps up to this number are unrolled; antialiasing may need hundreds.
_UNROLLED_TAPS = 8

_Add = Callable[[Index, str], str]


@dataclass(frozen=True)
class Resample:
    """Operands: x, row numbers int32 [Ho, taps], row weights [Ho, taps], column numbers, column weights, y.

    In plain rows the column tables are [taps, Wo padded to whole vectors], else they are [Wo, taps].

    Attributes:
        taps: inputs of one output, along rows and along columns.
        block: B.
        copied: along which axes the one tap has weight 1, so that elements are taken as they are.
    """

    planes: int
    in_size: tuple[int, int]
    out_size: tuple[int, int]
    taps: tuple[int, int]
    copied: tuple[bool, bool]
    block: int

    family = "resample"

    @property
    def rows(self) -> int:
        """Output rows of one unit."""
        return rows_per_unit(self.planes, self.out_size[0])

    @property
    def units(self) -> int:
        """Planes times groups of rows."""
        return self.planes * math.ceil(self.out_size[0] / self.rows)

    @property
    def scratch(self) -> int:
        """A blended row; none where rows are copied."""
        return 0 if self.copied[0] else self.in_size[1] * self.block * 4

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        scratch = ["s"] if self.scratch else []
        f = Function(name, ("x", "ri", "rw", "ci", "cw", *scratch, "y"), target)
        _Emitter(self, f).emit()
        return module(f)


class _Emitter:
    """Writes one kernel; the state is the function under construction."""

    def __init__(self, kernel: Resample, function: Function) -> None:
        self.k = kernel
        self.f = function
        self.row = kernel.in_size[1] * kernel.block

    def emit(self) -> None:
        f, k = self.f, self.k
        (height, _), (rows, columns) = k.in_size, k.out_size

        def stretch(plane: Index, first: Index, last: Index) -> None:
            image = f.at("%x", f.mul(plane, height * self.row))
            out = f.at("%y", f.mul(plane, rows * columns * k.block))
            f.loop(first, last, 1, lambda y, _: self._output_row(image, out, y))

        each_stretch_of_rows(f, rows, k.rows, stretch)

    def _output_row(self, image: str, out: str, y: Index) -> list[str]:
        f, k = self.f, self.k
        place = f.at(out, f.mul(y, k.out_size[1] * k.block))
        if k.copied[0]:
            source = f.at(image, f.mul(self._number("%ri", y), self.row))
        else:
            source = "%s"
            self._blend_rows(image, f.mul(y, k.taps[0]))
        if k.block > 1:
            f.loop(0, k.out_size[1], 1, lambda x, _: self._pixel(source, place, x))
        else:
            self._plain_row(source, place)
        return []

    def _number(self, table: str, index: Index) -> str:
        """An entry of a table of int32 as an index."""
        f = self.f
        number = f.op(f"load i32, ptr {f.at(table, index, 'i32')}, align 4")
        return f.op(f"sext i32 {number} to i64")

    def _blend_rows(self, image: str, table: Index) -> None:
        """The scratch row: a weighted sum of whole input rows."""
        f, k = self.f, self.k

        def tap(t: Index) -> tuple[str, str]:
            entry = f.add(table, t)
            return f.at(image, f.mul(self._number("%ri", entry), self.row)), f.broadcast("%rw", entry)

        fixed = [tap(t) for t in range(k.taps[0])] if k.taps[0] <= _UNROLLED_TAPS else []

        def piece(at: Index, count: int) -> None:
            def add(source: tuple[str, str], total: str) -> str:
                return f.fma(f.load_first(count, source[0], at), source[1], total)

            total = f.constant(0.0)
            for source in fixed:
                total = add(source, total)
            if not fixed:
                total = f.loop(0, k.taps[0], 1, lambda t, sums: [add(tap(t), sums[0])], [total])[0]
            f.store_first(count, total, "%s", at)

        each_vector(f, self.row, piece)

    def _pixel(self, source: str, place: str, x: Index) -> list[str]:
        """One output pixel, a vector of channels at a time."""
        f, k = self.f, self.k
        table = f.mul(x, k.taps[1])
        out = f.at(place, f.mul(x, k.block))

        def piece(at: Index, count: int) -> None:
            def value(t: Index) -> str:
                pixel = f.mul(self._number("%ci", f.add(table, t)), k.block)
                return f.load_first(count, source, f.add(pixel, at))

            if k.copied[1]:
                total = value(0)
            else:
                total = self._sum(lambda t, sums: f.fma(value(t), f.broadcast("%cw", f.add(table, t)), sums))
            f.store_first(count, total, out, at)

        each_vector(f, k.block, piece)
        return []

    def _sum(self, add: _Add) -> str:
        """All taps of a column."""
        f, taps = self.f, self.k.taps[1]
        total = f.constant(0.0)
        if taps > _UNROLLED_TAPS:
            return f.loop(0, taps, 1, lambda t, sums: [add(t, sums[0])], [total])[0]
        for t in range(taps):
            total = add(t, total)
        return total

    def _plain_row(self, source: str, place: str) -> None:
        """One output row, a vector of neighbours at a time; inputs are gathered."""
        f, k = self.f, self.k
        width, lanes = k.out_size[1], f.lanes
        padded = -(-width // lanes) * lanes

        def piece(at: Index, count: int) -> None:
            def value(t: Index) -> str:
                entry = f.add(f.mul(t, padded), at)
                numbers = f.op(f"load <{lanes} x i32>, ptr {f.at('%ci', entry, 'i32')}, align 4")
                return gather(f, source, numbers)

            if k.copied[1]:
                total = value(0)
            else:
                total = self._sum(lambda t, sums: f.fma(value(t), f.load("%cw", f.add(f.mul(t, padded), at)), sums))
            f.store_first(count, total, place, at)

        each_vector(f, width, piece)
