"""Depthwise convolution: every channel has its own small filter.

In: float32 in blocks, [N, ceil(C/B), H, W, B]. Out: the same layout.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from alula.engine.graph.formula import IDENTITY, Formula
from alula.engine.graph.nodes import Array
from alula.engine.kernels.blocks import check_block
from alula.engine.kernels.formula import emit_formula, emit_rows, is_dear
from alula.engine.kernels.ir import Function, Index, module
from alula.engine.kernels.loops import each_stretch_of_rows
from alula.engine.kernels.target import Target
from alula.engine.kernels.window import BlockWindows, Strip, columns, largest_tile, tile_axis

# Registers beside sums and weights: input columns and the bias; without multiply-add, products as well.
_OTHERS = 3
_OTHERS_UNFUSED = 6

# No instruction; keeps LLVM's scheduler from loading the next kernel row's columns early and spilling sums for them.
_BARRIER = 'call void asm sideeffect "", "~{memory}"()'


@dataclass(frozen=True)
class Depthwise(BlockWindows):
    """One output row of one channel block at a time, in tiles of columns whose sums stay in registers.

    Every input column is loaded once for each kernel row and feeds all its taps. Rows outside of the map read a row of
    zeros behind the weights; columns outside are left out when the code is made. Operands: the map, `extras` tensors
    of the output's shape, the weights as `pack_depthwise` lays them out for `in_w`, the output.

    Attributes:
        epilogue: applied to the sum with bias (register 0) and the extra tensors (registers 1 and up); on the tile, or,
            where it is dear, in a second walk over the finished row.
    """

    epilogue: Formula = IDENTITY
    extras: int = 0

    family = "depthwise"
    scratch = 0

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        check_block(self.family, self.block, target)
        extras = [f"e{index}" for index in range(self.extras)]
        function = Function(name, ("x", *extras, "w", "y"), target)
        _Emitter(self, function).emit()
        return module(function)


def pack_depthwise(weights: Array, bias: Array | None, block: int, width: int) -> Array:
    """Weights [C, 1, KH, KW] and bias [C] as [ceil(C/B), KH*KW + 1, B], the bias last, then `width` x B zeros.

    Returns:
        A flat float32 array; lanes beyond C hold 0.
    """
    channels, _, height, width_taps = weights.shape
    blocks = math.ceil(channels / block)
    table = np.zeros((blocks * block, height * width_taps + 1), np.float32)
    table[:channels, :-1] = weights.reshape(channels, -1)
    if bias is not None:
        table[:channels, -1] = bias
    packed = table.reshape(blocks, block, -1).transpose(0, 2, 1)
    return np.concatenate([packed.reshape(-1), np.zeros(width * block, np.float32)])


class _Emitter:
    """Emits one kernel."""

    def __init__(self, kernel: Depthwise, function: Function) -> None:
        self._f = function
        self._k = kernel
        self._taps = kernel.kernel_h * kernel.kernel_w
        registers = function.target.registers
        others = _OTHERS if function.target.fma else _OTHERS_UNFUSED
        narrow = largest_tile(registers, self._taps + others)
        self._keep_weights = narrow >= min(largest_tile(registers, others), kernel.out_w)
        self._largest = narrow if self._keep_weights else largest_tile(registers, kernel.kernel_w + others)
        self._late = is_dear(kernel.epilogue)
        self._row_length = kernel.in_w * function.lanes

    def emit(self) -> None:
        k, f = self._k, self._f

        def stretch(plane: Index, first: Index, last: Index) -> None:
            block = plane if k.batch == 1 else f.mod(plane, k.blocks)
            self._emit_plane(plane, block, first, last)

        each_stretch_of_rows(f, k.out_h, k.rows, stretch)

    def _emit_plane(self, plane: Index, block: Index, first: Index, last: Index) -> None:
        k, f = self._k, self._f
        image = f.at("%x", f.mul(plane, k.in_h * self._row_length))
        weights = f.at("%w", f.mul(block, (self._taps + 1) * f.lanes))
        bias = f.load(weights, self._taps * f.lanes)
        kept = [f.load(weights, tap * f.lanes) for tap in range(self._taps)] if self._keep_weights else []
        out_plane = f.mul(plane, k.out_h * k.out_w * f.lanes)

        def row(y: Index, _: list[str]) -> list[str]:
            pointers = [self._row_pointer(image, y, tap) for tap in range(k.kernel_h)]
            out = f.add(out_plane, f.mul(y, k.out_w * f.lanes))
            for strip in tile_axis(k.horizontal, self._largest):
                self._emit_strip(strip, _Row(pointers, out, weights, bias, kept))
            if self._late:
                extras = [f.at(f"%e{index}", out) for index in range(k.extras)]
                emit_rows(f, k.epilogue, k.out_w, f.at("%y", out), extras)
            return []

        f.loop(first, last, 1, row)

    def _row_pointer(self, image: str, y: Index, tap: int) -> str:
        """The input row under kernel row `tap`, or the row of zeros."""
        k, f, axis = self._k, self._f, self._k.vertical
        position = f.add(f.mul(y, k.stride_h), tap * k.dilation_h - k.pad_top)
        pointer = f.at(image, f.mul(position, self._row_length))
        always = axis.start(0) + tap * k.dilation_h >= 0
        if always and axis.start(k.out_h - 1) + tap * k.dilation_h < k.in_h:
            return pointer
        zeros = f.at("%w", k.blocks * (self._taps + 1) * f.lanes)
        return f.choose(f.compare("ult", position, k.in_h), pointer, zeros)

    def _emit_strip(self, strip: Strip, row: _Row) -> None:
        def tile(x: Index, _: list[str]) -> list[str]:
            self._emit_tile(strip, row, x)
            return []

        self._f.loop(strip.first, strip.first + strip.size * strip.count, strip.size, tile)

    def _emit_tile(self, strip: Strip, row: _Row, x: Index) -> None:
        k, f = self._k, self._f
        base = f.mul(f.sub(f.mul(x, k.stride_w), k.pad_left), f.lanes)
        used = columns(k.horizontal, strip)
        sums = [row.bias] * strip.size
        for line in range(k.kernel_h):
            f.line(_BARRIER)
            taps = range(line * k.kernel_w, (line + 1) * k.kernel_w)
            weights = [row.kept[t] if row.kept else f.load(row.weights, t * f.lanes) for t in taps]
            for column in used:
                value = f.load(row.pointers[line], f.add(base, column.offset * f.lanes))
                for output, tap in column.uses:
                    sums[output] = f.fma(value, weights[tap], sums[output])
        place = f.add(row.out, f.mul(x, f.lanes))
        for output, total in enumerate(sums):
            here = f.add(place, output * f.lanes)
            f.store(total if self._late else self._finish(total, here), "%y", here)

    def _finish(self, total: str, place: Index) -> str:
        f = self._f
        extras = [f.load(f"%e{index}", place) for index in range(self._k.extras)]
        return emit_formula(f, self._k.epilogue, [total, *extras])


@dataclass(frozen=True)
class _Row:
    """What the tiles of one output row share."""

    pointers: list[str]
    out: Index
    weights: str
    bias: str
    kept: list[str]
