"""Maximum and average over sliding windows.

In: float32 in blocks, [N, ceil(C/B), H, W, B]. Out: the same layout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from alula.engine.kernels.blocks import check_block
from alula.engine.kernels.ir import Function, Index, float_literal, module
from alula.engine.kernels.loops import each_stretch_of_rows
from alula.engine.kernels.target import Target
from alula.engine.kernels.window import Axis, BlockWindows, Strip, columns, tile_axis

# Results of one tile that stay in registers.
_LARGEST_TILE = 8


@dataclass(frozen=True)
class Pool(BlockWindows):
    """Every output is the maximum or the mean of the window's elements inside of the map.

    Columns outside are left out when the code is made, rows when it runs. A NaN in a window gives NaN; the maximum of
    an empty window is -inf. Operands: the map, the output.

    Attributes:
        count_padding: divide by the taps that are inside of the padded map, not of the map.
        pad_bottom, pad_right: needed for `count_padding` only; the output size says where windows end.
    """

    kind: Literal["max", "average"] = "max"
    pad_bottom: int = 0
    pad_right: int = 0
    count_padding: bool = False

    scratch = 0

    @property
    def family(self) -> str:
        """The algorithm."""
        return f"{self.kind} pool"

    def counted_columns(self, output: int) -> int:
        """By how many taps of a row an average is divided."""
        if not self.count_padding:
            return len(self.horizontal.valid_taps(output))
        width = self.pad_left + self.in_w + self.pad_right
        padded = Axis(width, self.out_w, self.kernel_w, self.stride_w, self.dilation_w)
        return len(padded.valid_taps(output))

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        check_block(self.family, self.block, target)
        function = Function(name, ("x", "y"), target)
        _Emitter(self, function).emit()
        return module(function)


@dataclass(frozen=True)
class _Row:
    """What the tiles of one output row share: places, the kernel rows inside of the map, the rows to divide by."""

    image: str
    out: Index
    top: Index
    begin: Index
    end: Index
    counted: Index


class _Emitter:
    """Emits one kernel."""

    def __init__(self, kernel: Pool, function: Function) -> None:
        self._f = function
        self._k = kernel
        self._row = kernel.in_w * function.lanes

    def emit(self) -> None:
        k, f = self._k, self._f

        def stretch(plane: Index, first: Index, last: Index) -> None:
            image = f.at("%x", f.mul(plane, k.in_h * self._row))
            out = f.mul(plane, k.out_h * k.out_w * f.lanes)
            f.loop(first, last, 1, lambda y, _: self._emit_row(image, out, y))

        each_stretch_of_rows(f, k.out_h, k.rows, stretch)

    def _emit_row(self, image: str, out_plane: Index, y: Index) -> list[str]:
        k, f = self._k, self._f
        top = f.sub(f.mul(y, k.stride_h), k.pad_top)
        begin, end = self._taps_inside(top, 0, k.in_h)
        counted = f.sub(end, begin)
        if k.count_padding:
            padded_begin, padded_end = self._taps_inside(top, -k.pad_top, k.in_h + k.pad_bottom)
            counted = f.sub(padded_end, padded_begin)
        out = f.add(out_plane, f.mul(y, k.out_w * f.lanes))
        row = _Row(image, out, top, begin, end, counted)
        for strip in tile_axis(k.horizontal, _LARGEST_TILE):
            self._emit_strip(strip, row)
        return []

    def _taps_inside(self, top: Index, low: int, high: int) -> tuple[Index, Index]:
        """The range of kernel rows r with low <= top + r * dilation < high."""
        k, f = self._k, self._f
        # Both quotients are of numbers made positive first, because division rounds towards zero.
        before = f.most(f.sub(low, top), 0)
        begin = f.div(f.add(before, k.dilation_h - 1), k.dilation_h)
        room = f.most(f.sub(high + k.dilation_h - 1, top), 0)
        return begin, f.least(f.div(room, k.dilation_h), k.kernel_h)

    def _emit_strip(self, strip: Strip, row: _Row) -> None:
        def tile(x: Index, _: list[str]) -> list[str]:
            self._emit_tile(strip, row, x)
            return []

        self._f.loop(strip.first, strip.first + strip.size * strip.count, strip.size, tile)

    def _emit_tile(self, strip: Strip, row: _Row, x: Index) -> None:
        k, f = self._k, self._f
        base = f.mul(f.sub(f.mul(x, k.stride_w), k.pad_left), f.lanes)
        used = columns(k.horizontal, strip)
        start = f.constant(0.0 if k.kind == "average" else float("-inf"))

        def line(tap: Index, results: list[str]) -> list[str]:
            position = f.add(row.top, f.mul(tap, k.dilation_h))
            pointer = f.at(row.image, f.add(f.mul(position, self._row), base))
            for column in used:
                value = f.load(pointer, column.offset * f.lanes)
                for output, _ in column.uses:
                    results[output] = self._combine(results[output], value)
            return results

        results = f.loop(row.begin, row.end, 1, line, [start] * strip.size)
        if k.kind == "average":
            results = self._divide(results, strip, row)
        place = f.add(row.out, f.mul(x, f.lanes))
        for output, result in enumerate(results):
            f.store(result, "%y", f.add(place, output * f.lanes))

    def _combine(self, a: str, b: str) -> str:
        f = self._f
        if self._k.kind == "average":
            return f.arithmetic("fadd", a, b)
        kind = f"llvm.maximum.v{f.lanes}f32"
        f.declare(f"declare {f.vector} @{kind}({f.vector}, {f.vector})")
        # Which of two zeros is larger does not matter (nsz), that a NaN stays does.
        return f.op(f"call nsz {f.vector} @{kind}({f.vector} {a}, {f.vector} {b})")

    def _divide(self, sums: list[str], strip: Strip, row: _Row) -> list[str]:
        """Multiply by the reciprocals of the counts, of which a tile has two or three."""
        k, f = self._k, self._f
        rows = f.op(f"sitofp i64 {row.counted} to float")
        counts = [k.counted_columns(strip.first + output) for output in range(strip.size)]
        factors: dict[int, str] = {}
        for count in dict.fromkeys(counts):
            total = f.op(f"fmul float {rows}, {float_literal(count)}")
            factors[count] = f.splat(f.op(f"fdiv float 1.0, {total}"))
        return [f.arithmetic("fmul", total, factors[count]) for total, count in zip(sums, counts, strict=True)]
