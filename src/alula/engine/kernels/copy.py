"""Copies of boxes of elements: Concat, Split, Slice, Transpose, Expand, Pad.

In: tensors of elements of 1, 2, 4 or 8 bytes. Out: the same elements at other places, or a constant.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from alula.engine.kernels.cut import Cut, cut_loops
from alula.engine.kernels.ir import Function, Index, module
from alula.engine.kernels.loops import Groups
from alula.engine.kernels.target import Target
from alula.engine.kernels.transpose import transpose_tile

# Shortest piece of a contiguous row and of one side of a transposed square; multiples of every register width.
_ROW_PIECE = 4096
_SQUARE_PIECE = 16
_UNROLL = 4
_FLOAT_BYTES = 4


@dataclass(frozen=True)
class Region:
    """A box of elements to be written; offsets and strides count elements.

    Attributes:
        source: index of the input, or None to write the kernel's constant.
    """

    shape: tuple[int, ...]
    source: int | None
    source_offset: int
    source_strides: tuple[int, ...]
    offset: int
    strides: tuple[int, ...]
    output: int = 0

    @property
    def turned(self) -> int | None:
        """The loop along which the source is contiguous, where the output is contiguous along another."""
        if self.source is None or self.strides[-1] != 1 or self.source_strides[-1] in (0, 1):
            return None
        return self.source_strides.index(1) if 1 in self.source_strides else None

    def simplified(self) -> Region:
        """The same box with loops of one step dropped and neighbours joined that run on in both tensors."""
        loops: list[tuple[int, int, int]] = []
        for extent, read, write in zip(self.shape, self.source_strides, self.strides, strict=True):
            if extent == 1:
                continue
            if loops and loops[-1][1] == read * extent and loops[-1][2] == write * extent:
                loops[-1] = (loops[-1][0] * extent, read, write)
            else:
                loops.append((extent, read, write))
        shape, reads, writes = zip(*loops, strict=True) if loops else ((1,), (1,), (1,))
        return replace(self, shape=shape, source_strides=reads, strides=writes)

    def with_last_pair(self, element: int) -> Region:
        """A transposition of floats with the source's contiguous loop moved next to the last; else unchanged."""
        turned = self.turned
        if turned is None or element != _FLOAT_BYTES:
            return self
        order = [d for d in range(len(self.shape) - 1) if d != turned] + [turned, len(self.shape) - 1]
        shape, reads, writes = (tuple(v[d] for d in order) for v in (self.shape, self.source_strides, self.strides))
        return replace(self, shape=shape, source_strides=reads, strides=writes)


@dataclass(frozen=True)
class Copy:
    """Writes every region; they must not overlap. Operands: the inputs, the outputs.

    Attributes:
        element: bytes of one element.
        bits: the constant that regions without a source are filled with, as an unsigned integer of that size.
    """

    element: int
    inputs: int
    outputs: int
    regions: tuple[Region, ...]
    bits: int = 0

    family = "copy"
    scratch = 0

    @cached_property
    def parts(self) -> tuple[tuple[Region, Cut], ...]:
        """The regions that are not empty, in the form that is emitted, with their work units."""
        found = []
        for region in self.regions:
            if math.prod(region.shape):
                simple = region.simplified().with_last_pair(self.element)
                paired = simple.turned is not None and self.element == _FLOAT_BYTES
                shortest = _SQUARE_PIECE if paired else _ROW_PIECE
                found.append((simple, cut_loops(simple.shape, shortest, len(simple.shape) - paired)))
        return tuple(found)

    @property
    def units(self) -> int:
        """Pieces of all regions."""
        return sum(cut.units for _, cut in self.parts)

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        pointers = [f"x{index}" for index in range(self.inputs)] + [f"y{index}" for index in range(self.outputs)]
        f = Function(name, pointers, target)
        done = 0
        for region, cut in self.parts:
            emitter = _Box(f, self, region, cut)
            begin = f.most(f.sub("%lo", done), 0)
            end = f.least(f.sub("%hi", done), cut.units)
            f.loop(begin, end, 1, emitter.unit)
            done += cut.units
        return module(f)


class _Box:
    """Emits the loops of one region."""

    def __init__(self, f: Function, kernel: Copy, region: Region, cut: Cut) -> None:
        self._f = f
        self._region = region
        self._cut = cut
        self._bits = kernel.bits
        self._bytes = kernel.element
        self._kind = f"i{8 * kernel.element}"
        self._wide = f.lanes * _FLOAT_BYTES // kernel.element
        self._paired = region.turned is not None and kernel.element == _FLOAT_BYTES

    def unit(self, index: Index, _: list[str]) -> list[str]:
        """The body of the loop over work units."""
        f, region, cut = self._f, self._region, self._cut
        piece, outer = f.mod(index, cut.pieces), f.div(index, cut.pieces)
        source = f.at(f"%x{region.source}", region.source_offset, self._kind) if region.source is not None else ""
        places = source, f.at(f"%y{region.output}", region.offset, self._kind)
        for loop in reversed(range(cut.depth)):
            here = f.mod(outer, region.shape[loop]) if loop else outer
            outer = f.div(outer, region.shape[loop])
            places = self._advance(places, loop, here)
        places = self._advance(places, cut.depth, f.mul(piece, cut.piece))
        groups = Groups(region.shape[cut.depth], cut.piece)
        groups.emit(f, piece, lambda extent: self._loop(cut.depth, extent, places))
        return []

    def _advance(self, places: tuple[str, str], loop: int, index: Index) -> tuple[str, str]:
        f, region = self._f, self._region
        source, place = places
        if region.source is not None and region.source_strides[loop]:
            source = f.at(source, f.mul(index, region.source_strides[loop]), self._kind)
        return source, f.at(place, f.mul(index, region.strides[loop]), self._kind)

    def _loop(self, loop: int, extent: int, places: tuple[str, str]) -> None:
        """`extent` steps of a loop and all that is inside of it."""
        region, last = self._region, len(self._region.shape) - 1
        if self._paired and loop == last - 1:
            _Square(self._f, region.source_strides[-1], region.strides[-2]).emit(extent, region.shape[-1], places)
        elif loop == last:
            self._row(extent, places)
        else:

            def body(index: Index, _: list[str]) -> list[str]:
                self._loop(loop + 1, region.shape[loop + 1], self._advance(places, loop, index))
                return []

            self._f.loop(0, extent, 1, body)

    def _row(self, extent: int, places: tuple[str, str]) -> None:
        region = self._region
        contiguous = region.strides[-1] == 1
        if contiguous and (region.source is None or region.source_strides[-1] == 0):
            self._vectors(extent, lambda count: self._repeated(count, places[0]), places)
        elif contiguous and region.source_strides[-1] == 1:
            self._vectors(extent, lambda _: "", places)
        else:
            self._scalars(extent, places)

    def _scalars(self, extent: int, places: tuple[str, str]) -> None:
        f = self._f
        whole = extent - extent % _UNROLL

        def one(index: Index) -> None:
            source, place = self._advance(places, len(self._region.shape) - 1, index)
            value = f.op(f"load {self._kind}, ptr {source}, align 1") if source else str(self._bits)
            f.line(f"store {self._kind} {value}, ptr {place}, align 1")

        def four(index: Index, _: list[str]) -> list[str]:
            for step in range(_UNROLL):
                one(f.add(index, step))
            return []

        f.loop(0, whole, _UNROLL, four)
        for index in range(whole, extent):
            one(index)

    def _repeated(self, count: int, source: str) -> str:
        """A register of `count` equal elements."""
        f, kind = self._f, f"<{count} x {self._kind}>"
        if not source:
            return "<" + ", ".join([f"{self._kind} {self._bits}"] * count) + ">"
        value = f.op(f"load {self._kind}, ptr {source}, align 1")
        first = f.op(f"insertelement {kind} poison, {self._kind} {value}, i32 0")
        return f.op(f"shufflevector {kind} {first}, {kind} poison, <{count} x i32> zeroinitializer")

    def _vectors(self, extent: int, value: Callable[[int], str], places: tuple[str, str]) -> None:
        """A contiguous row; its rest overlaps the last whole register or is written in halving steps."""
        f, wide = self._f, self._wide
        source, place = places
        held = {count: value(count) for count in self._widths(extent)}

        def move(index: Index, count: int) -> None:
            kind, register = f"<{count} x {self._kind}>", held[count]
            if not register:
                register = f.op(f"load {kind}, ptr {f.at(source, index, self._kind)}, align 1")
            f.line(f"store {kind} {register}, ptr {f.at(place, index, self._kind)}, align 1")

        def many(index: Index, _: list[str]) -> list[str]:
            for step in range(_UNROLL):
                move(f.add(index, step * wide), wide)
            return []

        bulk = extent - extent % (_UNROLL * wide)
        f.loop(0, bulk, _UNROLL * wide, many)
        while bulk < extent:
            count = next(width for width in held if width <= extent - bulk or width == wide <= extent)
            move(min(bulk, extent - count), count)
            bulk += count

    def _widths(self, extent: int) -> list[int]:
        """Register widths, in elements, that a row needs: the whole one, or powers of two below."""
        if extent >= self._wide:
            return [self._wide]
        return [1 << bit for bit in reversed(range(extent.bit_length())) if extent >> bit & 1]


class _Square:
    """Emits the transposition of a matrix of floats.

    Args:
        f: where to emit.
        read: distance of neighbours of the last loop in the source; neighbours of the other one are contiguous.
        write: distance of neighbours of the other loop in the output; neighbours of the last one are contiguous.
    """

    def __init__(self, f: Function, read: int, write: int) -> None:
        self._f = f
        self._read = read
        self._write = write

    def emit(self, rows: int, columns: int, places: tuple[str, str]) -> None:
        """Write `rows` rows of `columns` elements."""
        lanes = self._f.lanes

        def each_column(index: Index, row: Index, height: int, width: int) -> list[str]:
            self._tile(row, index, height, width, places)
            return []

        def band(row: Index, height: int) -> list[str]:
            rest = columns % lanes
            self._f.loop(0, columns - rest, lanes, lambda i, _: each_column(i, row, height, lanes))
            if rest:
                each_column(columns - rest, row, height, rest)
            return []

        rest = rows % lanes
        self._f.loop(0, rows - rest, lanes, lambda row, _: band(row, lanes))
        if rest:
            band(rows - rest, rest)

    def _tile(self, row: Index, column: Index, height: int, width: int, places: tuple[str, str]) -> None:
        f = self._f
        source = f.at(places[0], f.add(f.mul(column, self._read), row))
        place = f.at(places[1], f.add(f.mul(row, self._write), column))
        loaded = [f.load_first(height, source, i * self._read) for i in range(width)]
        loaded += ["zeroinitializer"] * (f.lanes - width)
        for index, values in enumerate(transpose_tile(f, loaded)[:height]):
            f.store_first(width, values, place, index * self._write)
