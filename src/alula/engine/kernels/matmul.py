"""Matrix product on plain row-major memory, with the right-hand side packed when it is constant.

In: a [batch, M, K] (any strides), b packed by `pack_matmul` or plain [batch, K, N]. Out: y [batch, M, N], float32.

A fully connected layer at batch 1 is M = 1: it streams the weights once and is bound by memory, so they are fetched
some kilobytes ahead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from alula.engine.graph.formula import IDENTITY, Formula
from alula.engine.graph.nodes import Array
from alula.engine.kernels.cut import decompose
from alula.engine.kernels.ir import Carried, Function, Index, module
from alula.engine.kernels.target import Target
from alula.engine.kernels.tile import (
    Output,
    Run,
    balanced,
    grouped,
    load_bias,
    store_sums,
    tile_pixels,
    vector_groups,
)

_UNROLL = 4
# How far ahead of the multiplication weights are fetched; 1 to 4 KiB measured equal.
_AHEAD_FLOATS = 512
_STREAMING_ROWS = 2


@dataclass(frozen=True)
class Batch:
    """A batch of products: how many, and the floats from one to the next (0 repeats the same matrix).

    Attributes:
        loops: where one distance does not say it: the batch axes, outermost first, each its extent and the floats from
            one to the next on both sides; `a` and `b` then only say whether a side changes at all.
    """

    count: int = 1
    a: int = 0
    b: int = 0
    loops: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True)
class MatMul:
    """Y = epilogue(a @ b + bias). Operands: a, [b when not packed], extras (laid out as y), weights, y.

    The weights hold the bias [N padded] and, when `packed`, b; without a bias they hold zeros.

    Attributes:
        a_strides: floats from row to row and from column to column of a.
        packed: b is constant and part of the weights.
        split: what a work unit is: one row tile of one product, or one group of columns of all products.
    """

    rows: int
    inner: int
    columns: int
    target: Target
    packed: bool = True
    a_strides: tuple[int, int] = (0, 1)
    batch: Batch = Batch()
    split: Literal["rows", "columns"] = "columns"
    epilogue: Formula = IDENTITY
    extras: int = 0

    family = "matmul"
    scratch = 0

    @property
    def units(self) -> int:
        """Groups of columns, or tiles of rows times products."""
        groups = vector_groups(-(-self.columns // self.target.lanes), self.target)
        if self.split == "columns":
            return len(groups)
        tiles = balanced(self.rows, tile_pixels(self.target, max(groups)))
        return self.batch.count * sum(run.count for run in tiles)

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        extras = [f"e{i}" for i in range(self.extras)]
        pointers = ["a", *([] if self.packed else ["b"]), *extras, "w", "y"]
        return module(_Emitter(self, Function(name, pointers, target)).emit())


def pack_matmul(weights: Array | None, bias: Array | None, columns: int, target: Target) -> Array:
    """Bias [N padded], then b as [group of columns][K][group's columns], float32, 1-D.

    Args:
        weights: b [K, N] float32, or None when it is not constant.
        bias: [N] or None.
        columns: N.
        target: decides the groups.
    """
    lanes = target.lanes
    blocks = -(-columns // lanes)
    head = np.zeros(blocks * lanes, np.float32)
    if bias is not None:
        head[:columns] = bias
    parts = [head]
    if weights is not None:
        padded = np.zeros((weights.shape[0], blocks * lanes), np.float32)
        padded[:, :columns] = weights
        for run in grouped(vector_groups(blocks, target)):
            for group in range(run.count):
                first = (run.start + group * run.size) * lanes
                parts.append(padded[:, first : first + run.size * lanes].ravel())
    return np.concatenate(parts)


class _Emitter:
    """Writes one matrix product; the state is the function under construction."""

    def __init__(self, kernel: MatMul, function: Function) -> None:
        self.k = kernel
        self.f = function
        self.lanes = function.lanes
        self.blocks = -(-kernel.columns // self.lanes)
        self.groups = vector_groups(self.blocks, function.target)
        self.tiles = balanced(kernel.rows, tile_pixels(function.target, max(self.groups)))
        self.tile_count = sum(run.count for run in self.tiles)

    def emit(self) -> Function:
        f, k = self.f, self.k

        def product(p: Index, _: Carried) -> Carried:
            a = f.at("%a", self._place(p, k.batch.a, 1))
            b = "%w" if k.packed else f.at("%b", self._place(p, k.batch.b, 2))
            seen = 0
            for run in self._runs():
                low, high = self._group_range(seen, run)

                def group(q: Index, _: Carried, run: Run = run, seen: int = seen) -> Carried:
                    first = f.add(run.start, f.mul(f.sub(q, seen), run.size))
                    self._group(p, (a, b), first, run)
                    return []

                f.loop(low, high, 1, group)
                seen += run.count
            return []

        f.loop(0, k.batch.count, 1, product)
        return f

    def _place(self, p: Index, step: int, side: int) -> Index:
        """Where the matrix of product p begins on side 1 or 2."""
        loops = self.k.batch.loops
        if not loops or not step:
            return self.f.mul(p, step)
        return decompose(self.f, p, [(loop[0], loop[side]) for loop in loops])

    def _runs(self) -> list[Run]:
        """Groups of columns; where N is no multiple of the lanes the last group stands alone, for its tail."""
        runs = list(grouped(self.groups))
        last = runs[-1]
        if self.k.columns % self.lanes and last.count > 1:
            runs[-1] = Run(last.start, last.count - 1, last.size)
            runs.append(Run(last.start + (last.count - 1) * last.size, 1, last.size))
        return runs

    def _group_range(self, seen: int, run: Run) -> tuple[Index, Index]:
        if self.k.split == "rows":
            return seen, seen + run.count
        return self.f.most("%lo", seen), self.f.least("%hi", seen + run.count)

    def _tile_range(self, p: Index, seen: int, run: Run) -> tuple[Index, Index]:
        if self.k.split == "columns":
            return seen, seen + run.count
        base = self.f.mul(p, self.tile_count)
        low = self.f.most(self.f.sub("%lo", base), seen)
        return low, self.f.least(self.f.sub("%hi", base), seen + run.count)

    def _group(self, p: Index, matrices: tuple[str, str], first: Index, run: Run) -> None:
        f, k = self.f, self.k
        a, b = matrices
        column = f.mul(first, self.lanes)
        b = f.at(b, f.add(self.blocks * self.lanes, f.mul(column, k.inner)) if k.packed else column)
        bias = f.at("%w", column)
        whole = run.start + run.count * run.size < self.blocks
        last = 0 if whole else k.columns % self.lanes
        base = f.add(f.mul(p, k.rows * k.columns), column)
        seen = 0
        for tile_run in self.tiles:
            low, high = self._tile_range(p, seen, tile_run)

            def tile(t: Index, _: Carried, tile_run: Run = tile_run, seen: int = seen) -> Carried:
                row = f.add(tile_run.start, f.mul(f.sub(t, seen), tile_run.size))
                offset = f.add(base, f.mul(row, k.columns))
                extras = tuple(f.at(f"%e{i}", offset) for i in range(k.extras))
                pixels = tuple(i * k.columns for i in range(tile_run.size))
                out = Output(f.at("%y", offset), pixels, self.lanes, run.size, extras, last)
                self._tile(f.at(a, f.mul(row, k.a_strides[0])), b, bias, out)
                return []

            f.loop(low, high, 1, tile)
            seen += tile_run.count

    def _tile(self, a: str, b: str, bias: str, out: Output) -> None:
        f, k = self.f, self.k
        row = out.vectors * self.lanes if k.packed else k.columns
        sums = load_bias(f, bias, len(out.pixels), out.vectors)
        rows = [i * k.a_strides[0] for i in range(len(out.pixels))]

        def step(index: Index, carried: Carried, count: int = _UNROLL) -> Carried:
            here, weights = f.at(a, f.mul(index, k.a_strides[1])), f.at(b, f.mul(index, row))
            if k.packed and k.rows <= _STREAMING_ROWS:
                for line in range(0, count * row, 16):
                    f.prefetch(weights, _AHEAD_FLOATS + line, 1)
            for u in range(count):
                carried = self._multiply(carried, f.at(here, u * k.a_strides[1]), rows, f.at(weights, u * row), out)
            return carried

        whole = k.inner - k.inner % _UNROLL
        sums = f.loop(0, whole, _UNROLL, step, sums)
        if k.inner % _UNROLL:
            sums = step(whole, sums, k.inner % _UNROLL)
        store_sums(f, out, sums, k.epilogue)

    def _multiply(self, sums: list[str], a: str, rows: list[int], b: str, out: Output) -> list[str]:
        f = self.f
        lanes = [self.lanes if self.k.packed else out.lanes(f, j) for j in range(out.vectors)]
        weights = [f.load_first(lanes[j], b, j * self.lanes) for j in range(out.vectors)]
        result = list(sums)
        for i, row in enumerate(rows):
            value = f.broadcast(a, row)
            for j in range(out.vectors):
                result[i * out.vectors + j] = f.fma(value, weights[j], result[i * out.vectors + j])
        return result
