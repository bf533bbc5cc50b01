"""The largest element of each window of a plain tensor, of any numbers, and where it stands.

In: x [planes, D, H, W]. Out: y [planes, out D, out H, out W]; if wanted, int64 places in the whole of x.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from alula.base.tensors import DType
from alula.engine.kernels.ir import Carried, Function, Index, module
from alula.engine.kernels.lanes import Lanes
from alula.engine.kernels.target import Target

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class WindowExtreme:
    """MaxPool without blocks, one element at a time. Operands: x, y, places where `placed`.

    The first of equal elements wins, a NaN before all, as in numpy. Padding is in no window; a window of nothing else
    gives the least number. A work unit is one row of the output.

    Attributes:
        pads: rows before each axis that windows may begin in.
        steps: of a place along each axis: row-major or column-major.
    """

    dtype: DType
    planes: int
    size: Triple
    out: Triple
    kernel: Triple
    strides: Triple
    dilations: Triple
    pads: Triple
    steps: Triple
    placed: bool = False

    family = "largest of windows"
    scratch = 0

    @property
    def units(self) -> int:
        """Rows of all planes."""
        return self.planes * self.out[0] * self.out[1]

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        f = Function(name, ("x", "y", "places") if self.placed else ("x", "y"), target)

        def unit(index: Index, _: Carried) -> Carried:
            row, above = f.mod(index, self.out[1]), f.div(index, self.out[1])
            slab, plane = f.mod(above, self.out[0]), f.div(above, self.out[0])

            def column(place: Index, _: Carried) -> Carried:
                self._window(f, plane, (slab, row, place), f.add(f.mul(index, self.out[2]), place))
                return []

            f.loop(0, self.out[2], 1, column)
            return []

        f.loop("%lo", "%hi", 1, unit)
        return module(f)

    def _window(self, f: Function, plane: Index, at: tuple[Index, Index, Index], result: Index) -> None:
        """One window: three loops over those of its taps that are inside."""
        lanes, places = Lanes(f, self.dtype, 1), Lanes(f, DType.INT64, 1)
        start = f.mul(plane, math.prod(self.size))
        kinds = [lanes.kind, places.kind]

        def along(axis: int, offset: Index, place: Index, held: Carried) -> Carried:
            first, low, high = self._taps(f, axis, at[axis])
            below = math.prod(self.size[axis + 1 :])

            def step(tap: Index, held: Carried) -> Carried:
                inside = f.add(first, f.mul(tap, self.dilations[axis]))
                here, there = f.add(offset, f.mul(inside, below)), f.add(place, f.mul(inside, self.steps[axis]))
                if axis + 1 < len(self.size):
                    return along(axis + 1, here, there, held)
                return self._better(lanes, places, (f.add(start, here), f.add(start, there)), held)

            return f.loop(low, high, 1, step, held, kinds)

        best, place = along(0, 0, 0, [lanes.lowest, places.constant(-1)])
        lanes.store(best, "%y", result)
        if self.placed:
            places.store(place, "%places", result)

    def _taps(self, f: Function, axis: int, at: Index) -> tuple[Index, Index, Index]:
        """Where tap 0 of a window would be, and which of its taps are inside."""
        gap, size = self.dilations[axis], self.size[axis]
        first = f.sub(f.mul(at, self.strides[axis]), self.pads[axis])
        low = f.div(f.add(f.most(f.sub(0, first), 0), gap - 1), gap)
        high = f.div(f.add(f.most(f.sub(size, first), 0), gap - 1), gap)
        return first, low, f.least(high, self.kernel[axis])

    def _better(self, lanes: Lanes, places: Lanes, at: tuple[Index, Index], held: Carried) -> Carried:
        f, booleans = lanes.f, "<1 x i1>"
        value, place = lanes.load("%x", at[0]), places.splat(str(at[1]))
        if lanes.is_float:
            more = f.op(f"fcmp ugt {lanes.kind} {value}, {held[0]}")
            more = f.op(f"and {booleans} {more}, {f.op(f'fcmp ord {lanes.kind} {held[0]}, {held[0]}')}")
        else:
            more = lanes.compare("gt", value, held[0])
        if not self.placed:
            return [lanes.choose(more, value, held[0]), held[1]]
        more = f.op(f"or {booleans} {more}, {places.compare('lt', held[1], places.zero)}")
        return [lanes.choose(more, value, held[0]), places.choose(more, place, held[1])]
