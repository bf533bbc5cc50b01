"""Pointwise (1x1, stride 1) convolution in channel blocks, as a matrix product.

In: x [N, C/B, P, B], weights packed by `pack_pointwise`. Out: y [N, K/B, P, B]; P pixels, float32.

Loops: slab of input channels, group of output blocks, tile of pixels; partial sums go through the output, so that the
weights of one slab and group stay in the first cache for all pixels, while the next ones are fetched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from alula.engine.graph.formula import IDENTITY, Formula
from alula.engine.graph.nodes import Array
from alula.engine.kernels.ir import Carried, Function, Index, module
from alula.engine.kernels.target import Target
from alula.engine.kernels.tile import (
    Output,
    Prefetch,
    Run,
    balanced,
    grouped,
    load_bias,
    load_sums,
    multiply,
    prefetch_lines,
    store_sums,
    tile_pixels,
    vector_groups,
)

# Channels of one slab; 48 to 96 measured equal, one slab of 64 x 64 weights is 16 KiB.
_SLAB = 64
_UNROLL = 4
# Weights beyond this do not stay in the second cache between two runs and are worth fetching ahead.
_PREFETCH_BYTES = 128 << 10


@dataclass(frozen=True)
class Pointwise:
    """A 1x1 convolution with stride 1. Operands: x, extras (laid out as y), weights, y."""

    batch: int
    pixels: int
    in_channels: int
    out_channels: int
    target: Target
    split: Literal["pixels", "groups"] = "pixels"
    epilogue: Formula = IDENTITY
    extras: int = 0

    family = "pointwise"
    scratch = 0

    @property
    def units(self) -> int:
        """Groups of output blocks, or tiles of pixels."""
        groups = vector_groups(-(-self.out_channels // self.target.block), self.target)
        if self.split == "groups":
            return len(groups)
        return self.batch * sum(run.count for run in balanced(self.pixels, tile_pixels(self.target, max(groups))))

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        pointers = ["x", *(f"e{i}" for i in range(self.extras)), "w", "y"]
        return module(_Emitter(self, Function(name, pointers, target)).emit())


def pack_pointwise(weights: Array, bias: Array | None, target: Target) -> Array:
    """Bias [K padded], then weights [slab][group][channel][group's outputs], float32, 1-D.

    Args:
        weights: [K, C] float32.
        bias: [K] or None.
        target: decides block and groups.
    """
    outputs, channels = weights.shape
    block = target.block
    blocks = -(-outputs // block)
    padded = np.zeros((blocks * block, channels), np.float32)
    padded[:outputs] = weights
    start = np.zeros(blocks * block, np.float32)
    if bias is not None:
        start[:outputs] = bias
    parts = [start]
    for low in range(0, channels, _SLAB):
        for run in grouped(vector_groups(blocks, target)):
            for group in range(run.count):
                first = (run.start + group * run.size) * block
                parts.append(padded[first : first + run.size * block, low : low + _SLAB].T.ravel())
    return np.concatenate(parts)


@dataclass(frozen=True)
class _Slab:
    """Input channels [start, start + size); whether sums begin and end here."""

    start: Index
    size: int
    first: bool
    last: bool


class _Emitter:
    """Writes one pointwise kernel; the state is the function under construction."""

    def __init__(self, kernel: Pointwise, function: Function) -> None:
        self.k = kernel
        self.f = function
        self.block = function.target.block
        self.blocks = -(-kernel.out_channels // self.block)
        self.groups = vector_groups(self.blocks, function.target)
        self.tiles = balanced(kernel.pixels, tile_pixels(function.target, max(self.groups)))
        self.tile_count = sum(run.count for run in self.tiles)
        self.plane = kernel.pixels * self.block
        self.ahead = kernel.in_channels * self.blocks * self.block * 4 > _PREFETCH_BYTES

    def emit(self) -> Function:
        f, k = self.f, self.k

        def image(n: Index, _: Carried) -> Carried:
            x = f.at("%x", f.mul(n, -(-k.in_channels // self.block) * self.plane))
            out = f.mul(n, self.blocks * self.plane)
            y, extras = f.at("%y", out), tuple(f.at(f"%e{i}", out) for i in range(k.extras))
            for slab, count in _slabs(k.in_channels):
                self._slab_loop(slab, count, n, (x, y, extras))
            return []

        f.loop(0, k.batch, 1, image)
        return f

    def _slab_loop(self, slab: _Slab, count: int, n: Index, memory: tuple[str, str, tuple[str, ...]]) -> None:
        def body(index: Index, _: Carried) -> Carried:
            start = self.f.add(slab.start, self.f.mul(index, slab.size))
            self._slab(_Slab(start, slab.size, slab.first, slab.last), n, memory)
            return []

        self.f.loop(0, count, 1, body)

    def _slab(self, slab: _Slab, n: Index, memory: tuple[str, str, tuple[str, ...]]) -> None:
        f, block = self.f, self.block
        x, y, extras = memory
        x = f.at(x, f.mul(slab.start, self.k.pixels))
        weights = f.at("%w", f.add(self.blocks * block, f.mul(slab.start, self.blocks * block)))
        seen = 0
        for run in grouped(self.groups):
            low, high = self._group_range(seen, run)

            def group(q: Index, _: Carried, run: Run = run, seen: int = seen) -> Carried:
                first = f.add(run.start, f.mul(f.sub(q, seen), run.size))
                w = f.at(weights, f.mul(first, slab.size * block))
                bias = f.at("%w", f.mul(first, block))
                offset = f.mul(first, self.plane)
                out = Output(f.at(y, offset), (), self.plane, run.size, tuple(f.at(e, offset) for e in extras))
                self._tiles(slab, n, x, (w, bias), out)
                return []

            f.loop(low, high, 1, group)
            seen += run.count

    def _group_range(self, seen: int, run: Run) -> tuple[Index, Index]:
        if self.k.split == "pixels":
            return seen, seen + run.count
        return self.f.most("%lo", seen), self.f.least("%hi", seen + run.count)

    def _tile_range(self, n: Index, seen: int, run: Run) -> tuple[Index, Index]:
        if self.k.split == "groups":
            return seen, seen + run.count
        base = self.f.mul(n, self.tile_count)
        low = self.f.most(self.f.sub("%lo", base), seen)
        return low, self.f.least(self.f.sub("%hi", base), seen + run.count)

    def _tiles(self, slab: _Slab, n: Index, x: str, weights: tuple[str, str], out: Output) -> None:
        f, block = self.f, self.block
        seen = 0
        for run in self.tiles:
            low, high = self._tile_range(n, seen, run)

            def tile(t: Index, _: Carried, run: Run = run, seen: int = seen) -> Carried:
                offset = f.mul(f.add(run.start, f.mul(f.sub(t, seen), run.size)), block)
                pixels = tuple(i * block for i in range(run.size))
                extras = tuple(f.at(e, offset) for e in out.extras)
                here = Output(f.at(out.pointer, offset), pixels, out.stride, out.vectors, extras)
                self._tile(slab, f.at(x, offset), weights, here, t)
                return []

            f.loop(low, high, 1, tile)
            seen += run.count

    def _tile(self, slab: _Slab, x: str, weights: tuple[str, str], out: Output, number: Index) -> None:
        f = self.f
        w, bias = weights
        sums = load_bias(f, bias, len(out.pixels), out.vectors) if slab.first else load_sums(f, out)
        fetch = None
        if self.ahead:
            steps = -(-slab.size // _UNROLL)
            lines = prefetch_lines(slab.size * out.vectors * f.lanes, self.tile_count * steps)
            share = f.mul(number, steps * lines * 16)
            fetch = Prefetch(f.at(f.at(w, slab.size * out.vectors * f.lanes), share), lines)
        sums = self._reduce(slab.size, x, w, out, sums, fetch)
        store_sums(f, out, sums, self.k.epilogue if slab.last else None)

    def _reduce(self, channels: int, x: str, w: str, out: Output, sums: list[str], fetch: Prefetch | None) -> list[str]:
        f, block = self.f, self.block
        row = out.vectors * f.lanes
        chunks = block // _UNROLL

        def chunk(x: str, w: str, count: int, sums: list[str]) -> list[str]:
            for u in range(count):
                sums = multiply(f, sums, f.at(x, u), out.pixels, w, u * row)
            return sums

        def one_block(b: Index, carried: Carried) -> Carried:
            xb, wb = f.at(x, f.mul(b, self.plane)), f.at(w, f.mul(b, block * row))

            def one_chunk(c: Index, carried: Carried) -> Carried:
                if fetch:
                    fetch.step(f, f.add(f.mul(b, chunks), c))
                return chunk(f.at(xb, f.mul(c, _UNROLL)), f.at(wb, f.mul(c, _UNROLL * row)), _UNROLL, carried)

            return f.loop(0, chunks, 1, one_chunk, carried)

        whole, rest = divmod(channels, block)
        sums = f.loop(0, whole, 1, one_block, sums)
        return chunk(f.at(x, whole * self.plane), f.at(w, whole * block * row), rest, sums)


def _slabs(channels: int) -> list[tuple[_Slab, int]]:
    """Slabs with how often each stands: the first, those between, and the last, which may be smaller."""
    count = -(-channels // _SLAB)
    if count == 1:
        return [(_Slab(0, channels, first=True, last=True), 1)]
    slabs = [(_Slab(0, _SLAB, first=True, last=False), 1)]
    if count > 2:  # noqa: PLR2004  something stands between first and last
        slabs.append((_Slab(_SLAB, _SLAB, first=False, last=False), count - 2))
    start = (count - 1) * _SLAB
    slabs.append((_Slab(start, channels - start, first=False, last=True), 1))
    return slabs
