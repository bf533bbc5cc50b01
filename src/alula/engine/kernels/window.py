"""Sliding windows along one axis: which taps fall inside, and tiles of output columns that share code.

In: sizes of an axis. Out: `Strip`s, runs of equal tiles, most of them away from the borders.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """One axis of a window operator: `outputs` windows of `taps` elements, the first `pad` before element 0."""

    inputs: int
    outputs: int
    taps: int
    stride: int = 1
    dilation: int = 1
    pad: int = 0

    def start(self, output: int) -> int:
        """Position of the first tap; below 0 in the padding."""
        return output * self.stride - self.pad

    def inside(self, output: int) -> bool:
        """Whether no tap of the window is outside of the input."""
        return self.start(output) >= 0 and self.start(output) + (self.taps - 1) * self.dilation < self.inputs

    def valid_taps(self, output: int) -> tuple[int, ...]:
        """The taps that are inside of the input."""
        start = self.start(output)
        return tuple(k for k in range(self.taps) if 0 <= start + k * self.dilation < self.inputs)


@dataclass(frozen=True)
class BlockWindows:
    """Windows that slide over a map in channel blocks, one block at a time: what such kernels have in common.

    A work unit is a stretch of output rows of one block of one image.
    """

    channels: int
    in_h: int
    in_w: int
    out_h: int
    out_w: int
    kernel_h: int
    kernel_w: int
    stride_h: int = 1
    stride_w: int = 1
    dilation_h: int = 1
    dilation_w: int = 1
    pad_top: int = 0
    pad_left: int = 0
    batch: int = 1
    block: int = 16

    @property
    def blocks(self) -> int:
        """Channel blocks of one image."""
        return math.ceil(self.channels / self.block)

    @property
    def planes(self) -> int:
        """Channel blocks of all images."""
        return self.batch * self.blocks

    @property
    def rows(self) -> int:
        """Output rows of one unit."""
        return rows_per_unit(self.planes, self.out_h)

    @property
    def units(self) -> int:
        """Blocks of all images, times groups of rows."""
        return self.planes * math.ceil(self.out_h / self.rows)

    @property
    def vertical(self) -> Axis:
        """The windows along a column."""
        return Axis(self.in_h, self.out_h, self.kernel_h, self.stride_h, self.dilation_h, self.pad_top)

    @property
    def horizontal(self) -> Axis:
        """The windows along a row."""
        return Axis(self.in_w, self.out_w, self.kernel_w, self.stride_w, self.dilation_w, self.pad_left)


@dataclass(frozen=True)
class Strip:
    """`count` tiles of `size` outputs each, the first at output `first`; all taps are inside if `count` is not 1."""

    first: int
    size: int
    count: int


def tile_axis(axis: Axis, largest: int) -> tuple[Strip, ...]:
    """Cut the outputs into the fewest tiles of at most `largest`, of two neighbouring sizes.

    Tiles that touch a border get code of their own; runs of equal tiles inside share one loop.
    """
    tiles = math.ceil(axis.outputs / largest)
    small, more = divmod(axis.outputs, tiles)
    sizes = [small + 1] * more + [small] * (tiles - more)
    strips: list[Strip] = []
    first = 0
    joinable = False
    for size in sizes:
        inside = all(axis.inside(output) for output in (first, first + size - 1))
        if inside and joinable and strips[-1].size == size:
            strips[-1] = Strip(strips[-1].first, size, strips[-1].count + 1)
        else:
            strips.append(Strip(first, size, 1))
        joinable = inside
        first += size
    return tuple(strips)


@dataclass(frozen=True)
class Column:
    """One input column of a tile and what it feeds: pairs (output of the tile, tap)."""

    offset: int
    uses: tuple[tuple[int, int], ...]


def columns(axis: Axis, strip: Strip) -> tuple[Column, ...]:
    """The input columns of one tile, each once, relative to the start of the tile's first window.

    They come in steps of `taps` (0, k, 2k, ..., 1, k + 1, ...), so that neighbours in the order feed different
    outputs and their multiply-adds do not wait for each other.
    """
    feeds: dict[int, list[tuple[int, int]]] = {}
    for output in range(strip.size):
        for tap in axis.valid_taps(strip.first + output):
            feeds.setdefault(output * axis.stride + tap * axis.dilation, []).append((output, tap))
    order = sorted(feeds, key=lambda offset: (offset % axis.taps, offset))
    return tuple(Column(offset, tuple(feeds[offset])) for offset in order)


def rows_per_unit(planes: int, rows: int, enough: int = 16) -> int:
    """Output rows of one work unit, so that the planes of a tensor give enough units, where they can."""
    return math.ceil(rows / min(rows, math.ceil(enough / planes)))


def largest_tile(registers: int, reserved: int, ceiling: int = 14) -> int:
    """Accumulators that fit beside `reserved` other registers; at least 2."""
    return max(2, min(ceiling, registers - reserved))
