"""Matrix products of numbers that the tuned kernels do not know: float64 and integers, plainly tiled.

In: a [batch..., rows, inner], b [batch..., inner, columns], dense, of one type. Out: y [batch..., rows, columns].
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from alula.base.tensors import DType
from alula.engine.kernels.cut import decompose
from alula.engine.kernels.ir import Carried, Function, Index, module
from alula.engine.kernels.lanes import Lanes, full_width, widths_of
from alula.engine.kernels.loops import Groups
from alula.engine.kernels.target import Target

# Rows and registers of a tile: 8 sums and 2 registers of b leave room for the factor in 16 registers.
_ROWS = 4
_REGISTERS = 2


@dataclass(frozen=True)
class Product:
    """y = a b. Operands: a, b, y.

    Sums run along `inner` in order, one a lane; integers wrap around. A work unit is up to 4 rows of one product.

    Attributes:
        loops: of the batch, from the outermost: extent, and elements of a and of b from one index to the next, 0 where
            a side repeats.
    """

    dtype: DType
    rows: int
    inner: int
    columns: int
    loops: tuple[tuple[int, int, int], ...] = ()

    family = "product"
    scratch = 0

    @property
    def units(self) -> int:
        """Groups of rows."""
        return math.prod(extent for extent, _, _ in self.loops) * Groups(self.rows, _ROWS).count

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        f = Function(name, ("a", "b", "y"), target)
        groups = Groups(self.rows, _ROWS)

        def unit(index: Index, _: Carried) -> Carried:
            group, batch = f.mod(index, groups.count), f.div(index, groups.count)
            first = f.mul(group, _ROWS)
            a, b = (decompose(f, batch, [(loop[0], loop[side]) for loop in self.loops]) for side in (1, 2))
            a = f.add(a, f.mul(first, self.inner))
            y = f.mul(f.add(f.mul(batch, self.rows), first), self.columns)
            groups.emit(f, group, lambda rows: self._stripe(f, (a, b, y), rows))
            return []

        f.loop("%lo", "%hi", 1, unit)
        return module(f)

    def _stripe(self, f: Function, places: tuple[Index, Index, Index], rows: int) -> None:
        """Some rows, all columns."""
        a, b, y = places
        wide = full_width(f, self.dtype)
        whole = self.columns - self.columns % (_REGISTERS * wide)

        def tile(column: Index, width: int, registers: int) -> None:
            lanes = Lanes(f, self.dtype, width)
            self._tile(lanes, (a, f.add(b, column), f.add(y, column)), rows, registers)

        def step(column: Index, _: Carried) -> Carried:
            tile(column, wide, _REGISTERS)
            return []

        f.loop(0, whole, _REGISTERS * wide, step)
        for start, width in widths_of(self.columns - whole, wide):
            tile(whole + start, width, 1)

    def _tile(self, lanes: Lanes, places: tuple[Index, Index, Index], rows: int, registers: int) -> None:
        f, (a, b, y) = lanes.f, places

        def step(k: Index, sums: Carried) -> Carried:
            row_b = f.add(b, f.mul(k, self.columns))
            right = [lanes.load("%b", f.add(row_b, index * lanes.count)) for index in range(registers)]
            made = []
            for row in range(rows):
                place = f.at("%a", f.add(f.add(a, row * self.inner), k), lanes.element)
                left = lanes.splat(f.op(f"load {lanes.element}, ptr {place}, align 1"))
                made += [_summed(lanes, left, one, sums[row * registers + i]) for i, one in enumerate(right)]
            return made

        sums = f.loop(0, self.inner, 1, step, [lanes.zero] * (rows * registers), lanes.kind)
        for row in range(rows):
            for index in range(registers):
                place = f.add(y, row * self.columns + index * lanes.count)
                lanes.store(sums[row * registers + index], "%y", place)


def _summed(lanes: Lanes, a: str, b: str, c: str) -> str:
    """A * b + c; one rounding where the machine has it in one instruction."""
    if lanes.is_float and lanes.f.target.fma:
        return lanes.intrinsic("fma", a, b, c)
    return lanes.arithmetic("add", lanes.arithmetic("mul", a, b), c)
