"""Changes of layout between plain rows and channel blocks, through register transposes.

In: float32 [N, C, P] or [N, ceil(C/B), P, B], where P is the number of pixels of a map. Out: the other of the two.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from alula.engine.kernels.blocks import check_block
from alula.engine.kernels.ir import Function, Index, module
from alula.engine.kernels.loops import Groups
from alula.engine.kernels.target import Target
from alula.engine.kernels.transpose import transpose_tile

_ENOUGH = 16
# Shortest piece of a map, in pixels; a multiple of every register width.
_PIECE = 256


@dataclass(frozen=True)
class _Reorder:
    """Sizes of a change of layout. Work unit: one block of channels times a piece of the map.

    `block` must be the lanes of the target that it is emitted for.
    """

    batch: int
    channels: int
    pixels: int
    block: int

    scratch = 0

    @property
    def blocks(self) -> int:
        """Channel blocks of one image."""
        return math.ceil(self.channels / self.block)

    @property
    def piece(self) -> int:
        """Pixels of one unit."""
        wanted = math.ceil(_ENOUGH / (self.batch * self.blocks))
        return max(_PIECE, math.ceil(self.pixels / wanted / self.block) * self.block)

    @property
    def pieces(self) -> int:
        """Units of one block."""
        return math.ceil(self.pixels / self.piece)

    @property
    def units(self) -> int:
        """One image where a map is one pixel, else one piece of one block."""
        return self.batch if self.pixels == 1 else self.batch * self.blocks * self.pieces


@dataclass(frozen=True)
class Pack(_Reorder):
    """Plain [N, C, P] to blocks [N, ceil(C/B), P, B]; lanes beyond C become 0. Operands: plain, blocked."""

    family = "pack"

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        check_block(self.family, self.block, target)
        function = Function(name, ("x", "y"), target)
        if self.pixels == 1:
            _emit_rows(function, self, self.channels, self.blocks * self.block, _pack_row)
        else:
            _emit_tiles(function, self, _pack_tile)
        return module(function)


@dataclass(frozen=True)
class Unpack(_Reorder):
    """Blocks [N, ceil(C/B), P, B] to plain [N, C, P]; lanes beyond C are not read into it. Operands: blocked, plain."""

    family = "unpack"

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        check_block(self.family, self.block, target)
        function = Function(name, ("x", "y"), target)
        if self.pixels == 1:
            _emit_rows(function, self, self.blocks * self.block, self.channels, _unpack_row)
        else:
            _emit_tiles(function, self, _unpack_tile)
        return module(function)


@dataclass(frozen=True)
class _Tile:
    """One square of channels and pixels: `channels` and `count` of them are real."""

    plain: int
    channels: int
    count: int
    pixel: Index


_EmitTile = Callable[[Function, "_Tile", Index, Index], None]
_EmitRow = Callable[[Function, str, str, int], None]


def _emit_rows(f: Function, sizes: _Reorder, read: int, written: int, row: _EmitRow) -> None:
    """Maps of one pixel: both layouts are rows of channels, only their lengths differ."""

    def unit(image: Index, _: list[str]) -> list[str]:
        row(f, f.at("%x", f.mul(image, read)), f.at("%y", f.mul(image, written)), sizes.channels)
        return []

    f.loop("%lo", "%hi", 1, unit)


def _copy_whole(f: Function, x: str, y: str, channels: int) -> int:
    whole = channels - channels % f.lanes

    def body(index: Index, _: list[str]) -> list[str]:
        f.store(f.load(x, index), y, index)
        return []

    f.loop(0, whole, f.lanes, body)
    return whole


def _pack_row(f: Function, x: str, y: str, channels: int) -> None:
    whole = _copy_whole(f, x, y, channels)
    if whole < channels:
        f.store(f.load_first(channels - whole, x, whole), y, whole)


def _unpack_row(f: Function, x: str, y: str, channels: int) -> None:
    whole = _copy_whole(f, x, y, channels)
    if whole < channels:
        f.store_first(channels - whole, f.load(x, whole), y, whole)


def _emit_tiles(f: Function, sizes: _Reorder, tile: _EmitTile) -> None:
    groups = Groups(sizes.channels, sizes.block)

    def unit(index: Index, _: list[str]) -> list[str]:
        piece, plane = f.mod(index, sizes.pieces), f.div(index, sizes.pieces)
        image, block = f.div(plane, sizes.blocks), f.mod(plane, sizes.blocks)
        channel = f.add(f.mul(image, sizes.channels), f.mul(block, sizes.block))
        places = f.mul(channel, sizes.pixels), f.mul(plane, sizes.pixels * sizes.block)
        groups.emit(f, block, lambda channels: _emit_piece(f, sizes, channels, piece, tile, places))
        return []

    f.loop("%lo", "%hi", 1, unit)


def _emit_piece(
    f: Function, sizes: _Reorder, channels: int, piece: Index, tile: _EmitTile, places: tuple[Index, Index]
) -> None:
    """All tiles of one unit, of which `channels` rows are real."""
    rest = sizes.pixels % f.lanes
    whole = sizes.pixels - rest
    begin = f.mul(piece, sizes.piece)
    end = f.least(f.add(begin, sizes.piece), whole)

    def body(pixel: Index, _: list[str]) -> list[str]:
        tile(f, _Tile(sizes.pixels, channels, f.lanes, pixel), *places)
        return []

    f.loop(begin, end, f.lanes, body)
    if not rest:
        return
    tail = _Tile(sizes.pixels, channels, rest, whole)
    if sizes.pieces == 1:
        tile(f, tail, *places)
    else:
        f.when(f.compare("eq", piece, sizes.pieces - 1), lambda: tile(f, tail, *places))


def _pack_tile(f: Function, tile: _Tile, plain: Index, blocked: Index) -> None:
    x, y = f.at("%x", f.add(plain, tile.pixel)), f.at("%y", f.add(blocked, f.mul(tile.pixel, f.lanes)))
    rows = [f.load_first(tile.count, x, row * tile.plain) for row in range(tile.channels)]
    rows += ["zeroinitializer"] * (f.lanes - tile.channels)
    for index, column in enumerate(transpose_tile(f, rows)[: tile.count]):
        f.store(column, y, index * f.lanes)


def _unpack_tile(f: Function, tile: _Tile, plain: Index, blocked: Index) -> None:
    x, y = f.at("%x", f.add(blocked, f.mul(tile.pixel, f.lanes))), f.at("%y", f.add(plain, tile.pixel))
    columns = [f.load(x, index * f.lanes) for index in range(tile.count)]
    columns += ["zeroinitializer"] * (f.lanes - tile.count)
    for row, values in enumerate(transpose_tile(f, columns)[: tile.channels]):
        f.store_first(tile.count, values, y, row * tile.plain)
