"""Where the largest or smallest element along an axis stands.

In: a dense tensor seen as [outer, axis, inner]. Out: int64 [outer, inner].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from alula.base.tensors import DType
from alula.engine.kernels.ir import Carried, Function, Index, module
from alula.engine.kernels.lanes import Lanes, full_width, widths_of
from alula.engine.kernels.target import Target

# Neighbouring columns of one unit; a multiple of every register width.
_GROUP = 64


@dataclass(frozen=True)
class ExtremePlace:
    """ArgMax or ArgMin. Operands: x, y.

    A NaN counts as the extreme, as in numpy. A work unit is up to 64 neighbouring columns of one outer position.

    Attributes:
        last: of several equal extremes the last one, else the first.
    """

    kind: Literal["max", "min"]
    dtype: DType
    outer: int
    axis: int
    inner: int
    last: bool = False

    scratch = 0

    @property
    def family(self) -> str:
        """The algorithm."""
        return f"place of {self.kind}"

    @property
    def units(self) -> int:
        """Groups of columns."""
        return self.outer * math.ceil(self.inner / _GROUP)

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        f = Function(name, ("x", "y"), target)
        groups = math.ceil(self.inner / _GROUP)
        rest = self.inner - (groups - 1) * _GROUP

        def unit(index: Index, _: Carried) -> Carried:
            group, outer = f.mod(index, groups), f.div(index, groups)
            column = f.mul(group, _GROUP)
            x = f.add(f.mul(outer, self.axis * self.inner), column)
            y = f.add(f.mul(outer, self.inner), column)
            if groups == 1 or rest == _GROUP:
                self._columns(f, x, y, rest)
            else:
                f.when(f.compare("ne", group, groups - 1), lambda: self._columns(f, x, y, _GROUP))
                f.when(f.compare("eq", group, groups - 1), lambda: self._columns(f, x, y, rest))
            return []

        f.loop("%lo", "%hi", 1, unit)
        return module(f)

    def _columns(self, f: Function, x: Index, y: Index, count: int) -> None:
        for start, width in widths_of(count, full_width(f, self.dtype)):
            self._vector(Lanes(f, self.dtype, width), f.add(x, start), f.add(y, start))

    def _vector(self, lanes: Lanes, x: Index, y: Index) -> None:
        """One register of columns: the extreme so far, and its place, along the axis."""
        f, places = lanes.f, Lanes(lanes.f, DType.INT64, lanes.count)

        def step(row: Index, held: Carried) -> Carried:
            value = lanes.load("%x", f.add(x, f.mul(row, self.inner)))
            better = self._better(lanes, value, held[0])
            return [lanes.choose(better, value, held[0]), places.choose(better, places.splat(str(row)), held[1])]

        first = [lanes.load("%x", x), places.zero]
        _, found = f.loop(1, self.axis, 1, step, first, [lanes.kind, places.kind])
        places.store(found, "%y", y)

    def _better(self, lanes: Lanes, value: str, held: str) -> str:
        """Whether `value` takes the place of `held`, lane by lane."""
        f, booleans = lanes.f, f"<{lanes.count} x i1>"
        relation = ("ge" if self.last else "gt") if self.kind == "max" else ("le" if self.last else "lt")
        if not lanes.is_float:
            return lanes.compare(relation, value, held)
        # Unordered: true where either is NaN. Then a NaN that is held stays, or gives way to a later one.
        beyond = f.op(f"fcmp u{relation} {lanes.kind} {value}, {held}")
        number = f.op(f"fcmp ord {lanes.kind} {held}, {held}")
        better = f.op(f"and {booleans} {beyond}, {number}")
        if not self.last:
            return better
        return f.op(f"or {booleans} {better}, {f.op(f'fcmp uno {lanes.kind} {value}, {value}')}")
