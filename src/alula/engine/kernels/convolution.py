"""Direct convolution: any kernel size, stride, dilation and grouping, without im2col.

In: x with its padding already written: blocked [N, C/B, H, W, B], or plain [N, C, H, W] for the first layer of a net;
weights packed by `pack_convolution`. Out: y [N, K/B, Ho, Wo, B], float32.

Loops: group of output blocks, slab of input blocks, row, tile of pixels, channel; the taps are unrolled. Partial sums
go through the output. A group of output blocks reads only the input blocks that its channels are connected to, so
grouped convolutions need no other kernel; where a block straddles two groups, the weights hold zeros.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from alula.engine.graph.formula import IDENTITY, Formula
from alula.engine.graph.nodes import Array
from alula.engine.kernels.ir import Carried, Function, Index, module
from alula.engine.kernels.place import WHOLE, Place
from alula.engine.kernels.target import Target
from alula.engine.kernels.tile import (
    Output,
    Prefetch,
    Run,
    balanced,
    load_bias,
    load_sums,
    multiply,
    prefetch_lines,
    store_sums,
    tile_pixels,
    vector_groups,
)

# Above this number of taps the kernel's rows become a loop, to keep the code small.
_UNROLLED_TAPS = 9
# Reduction steps of one slab: 9 taps x 16 channels. Shorter slabs spend more on loading and storing the sums.
_SLAB_STEPS = 144
_UNROLL = 4
_PREFETCH_BYTES = 128 << 10


@dataclass(frozen=True)
class Window:
    """How the kernel slides over the image, in rows and columns."""

    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)

    @property
    def taps(self) -> int:
        """Positions of the kernel."""
        return self.kernel[0] * self.kernel[1]


@dataclass(frozen=True)
class Convolution:
    """A direct convolution. Operands: x, extras (laid out as y), weights, y.

    Attributes:
        in_size: height and width of x, padding included.
        plain: x is [N, C, H, W] instead of blocked; for few channels.
        split: what a work unit is: one output row of one image, or one group of output blocks of all images.
        place: the part of x and y that is worked on, where it is not all.
    """

    batch: int
    in_channels: int
    out_channels: int
    groups: int
    in_size: tuple[int, int]
    out_size: tuple[int, int]
    window: Window
    target: Target
    plain: bool = False
    split: Literal["rows", "groups"] = "rows"
    epilogue: Formula = IDENTITY
    extras: int = 0
    place: Place = WHOLE

    family = "convolution"
    scratch = 0

    @property
    def units(self) -> int:
        """Rows of all images, or groups of output blocks."""
        return self.batch * self.out_size[0] if self.split == "rows" else len(reductions(self))

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        pointers = ["x", *(f"e{i}" for i in range(self.extras)), "w", "y"]
        return module(_Emitter(self, Function(name, pointers, target)).emit())


@dataclass(frozen=True)
class Reduction:
    """What one group of output blocks computes.

    Attributes:
        start: the first output block; `vectors` follow.
        low: the first input block read; `count` blocks follow.
        offset: floats before its weights, the bias not counted.
    """

    start: int
    vectors: int
    low: int
    count: int
    offset: int


def reductions(kernel: Convolution) -> tuple[Reduction, ...]:
    """The groups of output blocks with what they read; for plain input the one block is all the channels."""
    block = kernel.target.block
    blocks = -(-kernel.out_channels // block)
    in_block = kernel.in_channels if kernel.plain else block
    outputs, inputs = kernel.out_channels // kernel.groups, kernel.in_channels // kernel.groups
    result: list[Reduction] = []
    start = offset = 0
    for vectors in vector_groups(blocks, kernel.target, widest=3 if kernel.window.taps > 1 else 4):
        first = start * block // outputs
        last = (min((start + vectors) * block, kernel.out_channels) - 1) // outputs
        low = first * inputs // in_block
        count = -(-(last + 1) * inputs // in_block) - low
        result.append(Reduction(start, vectors, low, count, offset))
        steps = sum(_channels(kernel, low + i) for i in range(count)) * kernel.window.taps
        offset += steps * vectors * block
        start += vectors
    return tuple(result)


@dataclass(frozen=True)
class Series:
    """`count` reductions of one shape whose places advance by equal steps: one loop instead of copies of the code."""

    first: Reduction
    count: int = 1
    step: tuple[int, int, int] = (0, 0, 0)


def series(kernel: Convolution) -> tuple[Series, ...]:
    """The reductions, joined where they form a series; `step` is that of start, low and offset."""
    joined: list[Series] = []
    previous: Reduction | None = None
    for piece in reductions(kernel):
        if previous is not None and _alike(kernel, previous, piece):
            last = joined[-1]
            step = (piece.start - previous.start, piece.low - previous.low, piece.offset - previous.offset)
            if last.count == 1 or step == last.step:
                joined[-1] = Series(last.first, last.count + 1, step)
                previous = piece
                continue
        joined.append(Series(piece))
        previous = piece
    return tuple(joined)


def _alike(kernel: Convolution, a: Reduction, b: Reduction) -> bool:
    shapes = [(r.vectors, r.count, _channels(kernel, r.low + r.count - 1)) for r in (a, b)]
    return shapes[0] == shapes[1]


def pack_convolution(kernel: Convolution, weights: Array, bias: Array | None) -> Array:
    """Bias [K padded], then for each group of output blocks [input channel][kernel row][kernel column][outputs].

    Args:
        kernel: decides groups and blocks.
        weights: [K, C / groups, kh, kw] float32.
        bias: [K] or None.
    """
    block = kernel.target.block
    padded_outputs = -(-kernel.out_channels // block) * block
    head = np.zeros(padded_outputs, np.float32)
    if bias is not None:
        head[: kernel.out_channels] = bias
    outputs, inputs = kernel.out_channels // kernel.groups, kernel.in_channels // kernel.groups
    in_block = kernel.in_channels if kernel.plain else block
    parts = [head]
    for piece in reductions(kernel):
        low = piece.low * in_block
        high = min((piece.low + piece.count) * in_block, kernel.in_channels)
        first, width = piece.start * block, piece.vectors * block
        panel = np.zeros((high - low, *kernel.window.kernel, width), np.float32)
        for group in range(first // outputs, -(-min(first + width, kernel.out_channels) // outputs)):
            k0, k1 = max(first, group * outputs), min(first + width, (group + 1) * outputs, kernel.out_channels)
            channels = slice(group * inputs - low, (group + 1) * inputs - low)
            panel[channels, :, :, k0 - first : k1 - first] = weights[k0:k1].transpose(1, 2, 3, 0)
        parts.append(panel.ravel())
    return np.concatenate(parts)


def _channels(kernel: Convolution, index: int) -> int:
    """Real channels of input block `index`."""
    block = kernel.in_channels if kernel.plain else kernel.target.block
    return min(block, kernel.in_channels - index * block)


@dataclass(frozen=True)
class _Part:
    """A stretch of one reduction: `blocks` whole input blocks or one smaller one, from its `low`-th block on."""

    low: int
    blocks: int
    channels: int
    first: bool
    last: bool


class _Emitter:
    """Writes one convolution kernel; the state is the function under construction."""

    def __init__(self, kernel: Convolution, function: Function) -> None:
        self.k = kernel
        self.f = function
        self.block = function.target.block
        widest = max(piece.vectors for piece in reductions(kernel))
        self.tiles = balanced(kernel.out_size[1], tile_pixels(function.target, widest))
        in_h, in_w = kernel.in_size
        # Distances in x, in floats.
        self.pixel = 1 if kernel.plain else self.block
        self.row = in_w * self.pixel
        self.channel = in_h * in_w if kernel.plain else 1
        self.in_plane = in_h * in_w * (kernel.in_channels if kernel.plain else self.block)
        self.in_image = self.in_plane * (1 if kernel.plain else -(-kernel.in_channels // self.block))
        place = kernel.place
        out_h, out_w = place.size if any(place.size) else kernel.out_size
        self.out_pixel, self.out_row = place.step[1] * self.block, place.step[0] * out_w * self.block
        self.out_plane = out_h * out_w * self.block
        self.out_start = (place.start[0] * out_w + place.start[1]) * self.block
        self.in_start = place.read[0] * self.row + place.read[1] * self.pixel
        self.out_blocks = -(-kernel.out_channels // self.block)
        floats = kernel.window.taps * kernel.in_channels // kernel.groups * self.out_blocks * self.block
        self.ahead = floats * 4 > _PREFETCH_BYTES
        self.slab = max(1, _SLAB_STEPS // (kernel.window.taps * self.block))

    def emit(self) -> Function:
        f, k = self.f, self.k
        seen = 0
        for run in series(k):
            low: Index = seen
            high: Index = seen + run.count
            if k.split == "groups":
                low, high = f.most("%lo", low), f.least("%hi", high)

            def piece(q: Index, _: Carried, run: Series = run, seen: int = seen) -> Carried:
                number = f.sub(q, seen)
                f.loop(0, k.batch, 1, lambda n, _: self._piece(run, number, n))
                return []

            f.loop(low, high, 1, piece)
            seen += run.count
        return f

    def _piece(self, run: Series, number: Index, n: Index) -> Carried:
        f, k = self.f, self.k
        piece = run.first
        start, low, offset = (
            f.add(base, f.mul(number, step))
            for base, step in zip((piece.start, piece.low, piece.offset), run.step, strict=True)
        )
        x = f.at("%x", f.add(f.add(f.mul(n, self.in_image), f.mul(low, self.in_plane)), self.in_start))
        here = f.add(f.mul(n, self.out_blocks * self.out_plane), f.mul(start, self.out_plane))
        here = f.add(here, self.out_start)
        extras = tuple(f.at(f"%e{i}", here) for i in range(k.extras))
        out = Output(f.at("%y", here), (), self.out_plane, piece.vectors, extras)
        panel = f.at("%w", f.add(self.out_blocks * self.block, offset))
        bias = f.at("%w", f.mul(start, self.block))
        for part, count in self._parts(piece):

            def body(index: Index, _: Carried, part: _Part = part) -> Carried:
                block = f.add(part.low, f.mul(index, part.blocks))
                per_block = k.window.taps * piece.vectors * self.block * _channels(k, 0)
                w = f.at(panel, f.mul(block, per_block))
                self._rows(part, n, (f.at(x, f.mul(block, self.in_plane)), w, bias), out)
                return []

            f.loop(0, count, 1, body)
        return []

    def _parts(self, piece: Reduction) -> list[tuple[_Part, int]]:
        """Parts with how often each stands: first, middle ones, the rest, and a smaller last block."""
        whole = _channels(self.k, 0)
        tail = _channels(self.k, piece.low + piece.count - 1)
        full = piece.count if tail == whole else piece.count - 1
        cuts = [(low, min(self.slab, full - low), whole) for low in range(0, full, self.slab)]
        if tail != whole:
            cuts.append((piece.count - 1, 1, tail))
        parts: list[tuple[_Part, int]] = []
        for index, (low, blocks, channels) in enumerate(cuts):
            first, last = index == 0, index == len(cuts) - 1
            part = _Part(low, blocks, channels, first, last)
            before = parts[-1][0] if parts else None
            same = before and not before.first and (before.blocks, before.channels) == (blocks, channels) and not last
            if same:
                parts[-1] = (parts[-1][0], parts[-1][1] + 1)
            else:
                parts.append((part, 1))
        return parts

    def _rows(self, part: _Part, n: Index, memory: tuple[str, str, str], out: Output) -> None:
        f, k = self.f, self.k
        x, w, bias = memory
        low: Index = 0
        high: Index = k.out_size[0]
        if k.split == "rows":
            base = f.mul(n, k.out_size[0])
            low, high = f.most(f.sub("%lo", base), 0), f.least(f.sub("%hi", base), high)

        def row(r: Index, _: Carried) -> Carried:
            xr = f.at(x, f.mul(r, k.window.strides[0] * self.row))
            offset = f.mul(r, self.out_row)
            extras = tuple(f.at(e, offset) for e in out.extras)
            here = Output(f.at(out.pointer, offset), (), out.stride, out.vectors, extras)
            self._tiles(part, r, (xr, w, bias), here)
            return []

        f.loop(low, high, 1, row)

    def _tiles(self, part: _Part, r: Index, memory: tuple[str, str, str], out: Output) -> None:
        f = self.f
        x, w, bias = memory
        step = self.k.window.strides[1] * self.pixel
        seen = 0
        for run in self.tiles:

            def tile(t: Index, _: Carried, run: Run = run, seen: int = seen) -> Carried:
                first = f.add(run.start, f.mul(t, run.size))
                offset = f.mul(first, self.out_pixel)
                extras = tuple(f.at(e, offset) for e in out.extras)
                pixels = tuple(i * self.out_pixel for i in range(run.size))
                here = Output(f.at(out.pointer, offset), pixels, out.stride, out.vectors, extras)
                number = f.add(f.mul(r, sum(other.count for other in self.tiles)), f.add(seen, t))
                self._tile(part, (f.at(x, f.mul(first, step)), w, bias), here, number)
                return []

            f.loop(0, run.count, 1, tile)
            seen += run.count

    def _tile(self, part: _Part, memory: tuple[str, str, str], out: Output, number: Index) -> None:
        f, window = self.f, self.k.window
        x, w, bias = memory
        sums = load_bias(f, bias, len(out.pixels), out.vectors) if part.first else load_sums(f, out)
        floats = part.blocks * part.channels * window.taps * out.vectors * self.block
        unroll = _UNROLL if window.taps == 1 and part.channels % _UNROLL == 0 and not self.k.plain else 1
        fetch = None
        if self.ahead:
            tiles = self.k.out_size[0] * sum(run.count for run in self.tiles)
            steps = part.blocks * part.channels // unroll
            lines = prefetch_lines(floats, tiles * steps)
            fetch = Prefetch(f.at(f.at(w, floats), f.mul(number, steps * lines * 16)), lines)
        width = window.taps * out.vectors * self.block
        pixels = [i * window.strides[1] * self.pixel for i in range(len(out.pixels))]

        def one_block(b: Index, carried: Carried) -> Carried:
            xb, wb = f.at(x, f.mul(b, self.in_plane)), f.at(w, f.mul(b, part.channels * width))

            def channel(c: Index, carried: Carried) -> Carried:
                if fetch:
                    fetch.step(f, f.add(f.mul(b, part.channels // unroll), f.div(c, unroll)))
                for u in range(unroll):
                    here = f.add(c, u)
                    carried = self._taps(
                        f.at(xb, f.mul(here, self.channel)), f.at(wb, f.mul(here, width)), pixels, carried
                    )
                return carried

            return f.loop(0, part.channels, unroll, channel, carried)

        sums = f.loop(0, part.blocks, 1, one_block, sums)
        store_sums(f, out, sums, self.k.epilogue if part.last else None)

    def _taps(self, x: str, w: str, pixels: list[int], sums: list[str]) -> list[str]:
        """All taps of one input channel: unrolled, or a loop over the kernel's rows when there are many."""
        f, window = self.f, self.k.window
        vectors = len(sums) // len(pixels)
        rows, columns = window.kernel

        def kernel_row(index: Index, carried: Carried) -> Carried:
            xr = f.at(x, f.mul(index, window.dilations[0] * self.row))
            wr = f.at(w, f.mul(index, columns * vectors * self.block))
            for column in range(columns):
                here = f.launder(xr) if window.taps > 1 else xr
                shifted = [pixel + column * window.dilations[1] * self.pixel for pixel in pixels]
                carried = multiply(f, carried, here, shifted, wr, column * vectors * self.block)
            return carried

        if window.taps > _UNROLLED_TAPS:
            return f.loop(0, rows, 1, kernel_row, sums)
        for index in range(rows):
            sums = kernel_row(index, sums)
        return sums
