"""Running sums and products along an axis.

In: a dense tensor seen as [outer, axis, inner]. Out: the same shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from alula.base.tensors import DType
from alula.engine.kernels.ir import Carried, Function, Index, module
from alula.engine.kernels.lanes import Lanes, full_width, widths_of
from alula.engine.kernels.loops import Groups
from alula.engine.kernels.target import Target

# Neighbouring columns of one unit; a multiple of every register width.
_GROUP = 64


@dataclass(frozen=True)
class Running:
    """y[a] joins x[0], ..., x[a]. Operands: x, y.

    A work unit is up to 64 neighbouring columns of one outer position.

    Attributes:
        exclusive: leave x[a] itself out.
        reverse: begin at the end.
    """

    kind: Literal["add", "mul"]
    dtype: DType
    outer: int
    axis: int
    inner: int
    exclusive: bool = False
    reverse: bool = False

    scratch = 0

    @property
    def family(self) -> str:
        """The algorithm."""
        return "running sum" if self.kind == "add" else "running product"

    @property
    def units(self) -> int:
        """Groups of columns."""
        return self.outer * Groups(self.inner, _GROUP).count

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        f = Function(name, ("x", "y"), target)
        groups = Groups(self.inner, _GROUP)
        wide = Lanes(f, self.dtype, full_width(f, self.dtype))

        def unit(index: Index, _: Carried) -> Carried:
            group, outer = f.mod(index, groups.count), f.div(index, groups.count)
            start = f.add(f.mul(outer, self.axis * self.inner), f.mul(group, _GROUP))
            groups.emit(f, group, lambda count: self._columns(wide, start, count))
            return []

        f.loop("%lo", "%hi", 1, unit)
        return module(f)

    def _columns(self, wide: Lanes, start: Index, count: int) -> None:
        f = wide.f
        pieces = [(place, wide.of(width)) for place, width in widths_of(count, wide.count)]

        def step(index: Index, held: Carried) -> Carried:
            row = f.sub(self.axis - 1, index) if self.reverse else index
            results = []
            for (column, lanes), before in zip(pieces, held, strict=True):
                place = f.add(f.add(start, f.mul(row, self.inner)), column)
                after = lanes.arithmetic(self.kind, before, lanes.load("%x", place))
                lanes.store(before if self.exclusive else after, "%y", place)
                results.append(after)
            return results

        first = [lanes.one if self.kind == "mul" else lanes.zero for _, lanes in pieces]
        f.loop(0, self.axis, 1, step, first, [lanes.kind for _, lanes in pieces])
