"""Blocks of columns added up to pictures: every output row collects the taps that reach it.

In: columns [planes, kernel rows * kernel columns, blocks down * blocks across] float32. Out: y [planes, H, W].
"""

from __future__ import annotations

from dataclasses import dataclass

from alula.engine.kernels.ir import Function, Index, module
from alula.engine.kernels.loops import each_vector
from alula.engine.kernels.target import Target

Pair = tuple[int, int]


@dataclass(frozen=True)
class Col2Im:
    """Operands: columns, y. Numbers are for rows, then columns.

    Attributes:
        pads: rows above and columns to the left of y that blocks reach into.
    """

    planes: int
    kernel: Pair
    blocks: Pair
    size: Pair
    strides: Pair
    dilations: Pair
    pads: Pair

    family = "col2im"
    scratch = 0

    @property
    def units(self) -> int:
        """Rows of all planes."""
        return self.planes * self.size[0]

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        f = Function(name, ("x", "y"), target)
        _Emitter(self, f).emit()
        return module(f)

    def reach(self, tap: int) -> tuple[int, int]:
        """The blocks of a row whose `tap`-th column is inside of the picture: first, and one behind the last."""
        shift = self.pads[1] - tap * self.dilations[1]
        first = max(0, -(-shift // self.strides[1]))
        last = min(self.blocks[1], -(-(self.size[1] + shift) // self.strides[1]))
        return first, max(first, last)


class _Emitter:
    """Writes one kernel; the state is the function under construction."""

    def __init__(self, kernel: Col2Im, function: Function) -> None:
        self.k = kernel
        self.f = function

    def emit(self) -> None:
        f, k = self.f, self.k
        area = k.blocks[0] * k.blocks[1]

        def unit(index: Index, _: list[str]) -> list[str]:
            plane, row = f.div(index, k.size[0]), f.mod(index, k.size[0])
            source = f.at("%x", f.mul(plane, k.kernel[0] * k.kernel[1] * area))
            out = f.at("%y", f.mul(index, k.size[1]))
            self._clear(out)

            def tap(down: Index, _: list[str]) -> list[str]:
                taps = f.at(source, f.mul(down, k.kernel[1] * area))
                place = f.sub(f.add(row, k.pads[0]), f.mul(down, k.dilations[0]))
                f.when(f.compare("sge", place, 0), lambda: self._block_row(taps, out, place))
                return []

            f.loop(0, k.kernel[0], 1, tap)
            return []

        f.loop("%lo", "%hi", 1, unit)

    def _clear(self, out: str) -> None:
        f = self.f
        each_vector(f, self.k.size[1], lambda at, count: f.store_first(count, f.constant(0.0), out, at))

    def _block_row(self, taps: str, out: str, place: Index) -> None:
        """Blocks that begin `place` rows above, if there is such a row of blocks."""
        f, k = self.f, self.k
        block, over = f.div(place, k.strides[0]), f.mod(place, k.strides[0])
        hit = f.op(f"and i1 {f.compare('eq', over, 0)}, {f.compare('slt', block, k.blocks[0])}")
        f.when(hit, lambda: self._columns(f.at(taps, f.mul(block, k.blocks[1])), out))

    def _columns(self, source: str, out: str) -> None:
        k = self.k
        for across in range(k.kernel[1]):
            first, last = k.reach(across)
            here = self.f.at(source, across * k.blocks[0] * k.blocks[1] + first)
            column = first * k.strides[1] + across * k.dilations[1] - k.pads[1]
            self._add(here, self.f.at(out, column), last - first)

    def _add(self, source: str, out: str, count: int) -> None:
        """A row of blocks onto every `stride`-th element."""
        f, stride = self.f, self.k.strides[1]

        def vector(at: Index, lanes: int) -> None:
            total = f.arithmetic("fadd", f.load_first(lanes, out, at), f.load_first(lanes, source, at))
            f.store_first(lanes, total, out, at)

        def scalar(at: Index, _: list[str]) -> list[str]:
            place = f.at(out, f.mul(at, stride))
            f.store_scalar(f.op(f"fadd float {f.load_scalar(place)}, {f.load_scalar(source, at)}"), place)
            return []

        if stride > 1:
            f.loop(0, count, 1, scalar)
        else:
            each_vector(f, count, vector)
