"""Where the largest or smallest element along an axis stands.

In: a dense tensor seen as [outer, axis, inner]. Out: int64 [outer, inner].
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
        return self.outer * Groups(self.inner, _GROUP).count

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        f = Function(name, ("x", "y"), target)
        groups = Groups(self.inner, _GROUP)

        def unit(index: Index, _: Carried) -> Carried:
            group, outer = f.mod(index, groups.count), f.div(index, groups.count)
            column = f.mul(group, _GROUP)
            x = f.add(f.mul(outer, self.axis * self.inner), column)
            y = f.add(f.mul(outer, self.inner), column)
            groups.emit(f, group, lambda count: self._columns(f, x, y, count))
            return []

        f.loop("%lo", "%hi", 1, unit)
        return module(f)

    def _columns(self, f: Function, x: Index, y: Index, count: int) -> None:
        wide = full_width(f, self.dtype)
        if self.inner == 1 and self.axis >= wide:
            self._row(Lanes(f, self.dtype, wide), x, y)
            return
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

    def _row(self, lanes: Lanes, x: Index, y: Index) -> None:
        """A row of neighbours: each lane has an extreme of its own; the last register overlaps the one before."""
        f, places = lanes.f, Lanes(lanes.f, DType.INT64, lanes.count)
        whole = self.axis - self.axis % lanes.count

        def step(at: Index, held: Carried) -> Carried:
            value = lanes.load("%x", f.add(x, at))
            better = self._better(lanes, value, held[0])
            return [lanes.choose(better, value, held[0]), places.choose(better, places.splat(str(at)), held[1])]

        held = [lanes.load("%x", x), places.zero]
        held = f.loop(lanes.count, whole, lanes.count, step, held, [lanes.kind, places.kind])
        if whole < self.axis:
            held = step(self.axis - lanes.count, held)
        numbers = "<" + ", ".join(f"i64 {lane}" for lane in range(lanes.count)) + ">"
        self._fold(lanes, held[0], places.arithmetic("add", held[1], numbers), y)

    def _fold(self, lanes: Lanes, value: str, place: str, y: Index) -> None:
        """Halve the registers until one extreme is left; among equals places decide."""
        f = lanes.f
        while lanes.count > 1:
            places = Lanes(f, DType.INT64, lanes.count)
            (low, high), (low_place, high_place) = lanes.halves(value), places.halves(place)
            lanes, places = lanes.of(lanes.count // 2), places.of(lanes.count // 2)
            booleans = f"<{lanes.count} x i1>"
            nearer = places.compare("gt" if self.last else "lt", high_place, low_place)
            equal = f.op(f"and {booleans} {self._same(lanes, low, high)}, {nearer}")
            better = f.op(f"or {booleans} {self._beyond(lanes, high, low)}, {equal}")
            value, place = lanes.choose(better, high, low), places.choose(better, high_place, low_place)
        Lanes(f, DType.INT64, 1).store(place, "%y", y)

    def _beyond(self, lanes: Lanes, value: str, held: str) -> str:
        """Whether `value` is the more extreme one, a NaN more than any number."""
        relation = "gt" if self.kind == "max" else "lt"
        if not lanes.is_float:
            return lanes.compare(relation, value, held)
        # Unordered: true where either is NaN.
        beyond = lanes.f.op(f"fcmp u{relation} {lanes.kind} {value}, {held}")
        return lanes.f.op(f"and <{lanes.count} x i1> {beyond}, {lanes.f.op(f'fcmp ord {lanes.kind} {held}, {held}')}")

    @staticmethod
    def _same(lanes: Lanes, one: str, other: str) -> str:
        """Whether two are equal, or both NaN."""
        if not lanes.is_float:
            return lanes.compare("eq", one, other)
        f, booleans = lanes.f, f"<{lanes.count} x i1>"
        nans = [f.op(f"fcmp uno {lanes.kind} {v}, {v}") for v in (one, other)]
        return f.op(f"or {booleans} {lanes.compare('eq', one, other)}, {f.op(f'and {booleans} {nans[0]}, {nans[1]}')}")

    def _better(self, lanes: Lanes, value: str, held: str) -> str:
        """Whether `value`, which comes later, takes the place of `held`, lane by lane."""
        beyond = self._beyond(lanes, value, held)
        if not self.last:
            return beyond
        return lanes.f.op(f"or <{lanes.count} x i1> {beyond}, {self._same(lanes, value, held)}")
