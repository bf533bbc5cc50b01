"""Reductions: sums, means, extremes, products, norms and logarithms of sums along any axes.

In: a dense tensor. Out: one number for each index of the axes that are kept, dense.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from alula.base.tensors import DType
from alula.engine.kernels import maths
from alula.engine.kernels.cut import decompose
from alula.engine.kernels.ir import Carried, Function, Index, module
from alula.engine.kernels.lanes import Lanes, full_width, widths_of
from alula.engine.kernels.loops import Groups
from alula.engine.kernels.sums import BlockSum
from alula.engine.kernels.target import Target

ReduceKind = Literal[
    "sum", "mean", "max", "min", "prod", "l1", "l2", "sum_square", "log_sum", "log_sum_exp"
]  # fmt: skip

# Neighbouring columns of one unit; a multiple of every register width.
_GROUP = 64
# Registers that are reduced side by side, so that additions do not wait for each other.
_CHAINS = 4

_Step = Callable[[Lanes, int, str, str], str]


@dataclass(frozen=True)
class Reduce:
    """One number a kept index. Operands: the tensor, the output.

    Float kinds round after every step in the element's type; a NaN anywhere makes the result NaN; the maximum is taken
    off before `log_sum_exp` raises. Integers wrap, their mean is rounded towards 0.

    Attributes:
        shape: extents, none 0; best with neighbours joined by `collapse_axes`.
        reduced: which of them are reduced.
    """

    kind: ReduceKind
    dtype: DType
    shape: tuple[int, ...]
    reduced: tuple[bool, ...]

    scratch = 0

    @property
    def family(self) -> str:
        """The algorithm."""
        return f"reduce {self.kind.replace('_', ' ')}"

    @property
    def columns(self) -> int:
        """Neighbouring results whose inputs are neighbours too: 1 where the last axis is reduced."""
        return 1 if self.reduced[-1] else self.shape[-1]

    @property
    def count(self) -> int:
        """How many numbers become one."""
        return math.prod(extent for extent, gone in zip(self.shape, self.reduced, strict=True) if gone)

    @property
    def units(self) -> int:
        """Groups of neighbouring results."""
        results = math.prod(self.shape) // self.count
        return results // self.columns * Groups(self.columns, _GROUP).count

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        return module(_Emitter(self, Function(name, ("x", "y"), target)).emit())


def collapse_axes(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """Join neighbours that are reduced, or kept, together: extents, and which of them are reduced."""
    extents, reduced = [1], [False]
    for axis, extent in enumerate(shape):
        gone = axis in axes
        if extent == 1:
            continue
        if gone == reduced[-1]:
            extents[-1] *= extent
        else:
            extents.append(extent)
            reduced.append(gone)
    if len(extents) > 1 and extents[0] == 1:
        del extents[0], reduced[0]
    return tuple(extents), tuple(reduced)


class _Emitter:
    """Writes one reduction; the state is the function under construction."""

    def __init__(self, kernel: Reduce, f: Function) -> None:
        self.k = kernel
        self.f = f
        self.wide = Lanes(f, kernel.dtype, full_width(f, kernel.dtype))
        strides = [math.prod(kernel.shape[d + 1 :]) for d in range(len(kernel.shape))]
        loops = list(zip(kernel.shape, strides, strict=True))
        last = len(loops) - 1
        pairs = list(zip(loops, kernel.reduced, strict=True))
        self.kept = [loop for axis, (loop, gone) in enumerate(pairs) if not gone and axis != last]
        self.gone = [loop for axis, (loop, gone) in enumerate(pairs) if gone and axis != last]
        self.row = kernel.shape[-1] if kernel.reduced[-1] else 0

    def emit(self) -> Function:
        f, columns = self.f, self.k.columns
        groups = Groups(columns, _GROUP)

        def unit(index: Index, _: Carried) -> Carried:
            group, outer = f.mod(index, groups.count), f.div(index, groups.count)
            column = f.mul(group, _GROUP)
            x = f.at("%x", f.add(decompose(f, outer, self.kept), column), self.wide.element)
            y = f.at("%y", f.add(f.mul(outer, columns), column), self.wide.element)
            if self.row:
                self._row(x, y)
            else:
                groups.emit(f, group, lambda count: self._columns(x, y, count))
            return []

        f.loop("%lo", "%hi", 1, unit)
        return f

    def _columns(self, x: str, y: str, count: int) -> None:
        """`count` neighbouring results, a few registers at a time."""
        pieces = widths_of(count, self.wide.count)
        for first in range(0, len(pieces), _CHAINS):
            chunk = pieces[first : first + _CHAINS]
            registers = [(start, self.wide.of(width)) for start, width in chunk]

            def walk(step: _Step, start: str, registers: list[tuple[int, Lanes]] = registers) -> list[str]:
                sums = [getattr(lanes, start) for _, lanes in registers]

                def visit(pointer: str, held: Carried) -> Carried:
                    return [
                        step(lanes, i, sum_, lanes.load(pointer, place))
                        for i, ((place, lanes), sum_) in enumerate(zip(registers, held, strict=True))
                    ]

                return self._nest(0, x, visit, sums, [lanes.kind for _, lanes in registers])

            for (place, lanes), value in zip(registers, self._reduced(walk, [r for _, r in registers]), strict=True):
                lanes.store(value, y, place)

    def _row(self, x: str, y: str) -> None:
        """One result, of registers along the last axis that are folded at the end."""
        wide = self.wide.count
        chains = max(1, min(_CHAINS, self.row // wide)) if self.row >= wide else 0
        tails = [(place, self.wide.of(width)) for place, width in widths_of(self.row, wide) if width < wide]
        registers = [self.wide] * chains + [lanes for _, lanes in tails]

        def walk(step: _Step, start: str) -> list[str]:
            sums = [getattr(lanes, start) for lanes in registers]

            def visit(pointer: str, held: Carried) -> Carried:
                bulk = self._bulk(pointer, step, start, held[:chains])
                pairs = enumerate(zip(tails, held[chains:], strict=True), chains)
                return [*bulk, *(step(t, i, sum_, t.load(pointer, place)) for i, ((place, t), sum_) in pairs)]

            sums = self._nest(0, x, visit, sums, [lanes.kind for lanes in registers])
            return [self._folded(registers, sums)]

        (value,) = self._reduced(walk, [self.wide.of(1)])
        self.wide.of(1).store(value, y)

    def _nest(
        self, depth: int, pointer: str, visit: Callable[[str, Carried], Carried], sums: Carried, kinds: list[str]
    ) -> Carried:
        """The reduced loops but the last axis."""
        if depth == len(self.gone):
            return visit(pointer, sums)
        extent, stride = self.gone[depth]

        def body(index: Index, held: Carried) -> Carried:
            here = self.f.at(pointer, self.f.mul(index, stride), self.wide.element)
            return self._nest(depth + 1, here, visit, held, kinds)

        return self.f.loop(0, extent, 1, body, sums, kinds)

    def _bulk(self, pointer: str, step: _Step, start: str, sums: Carried) -> Carried:
        """Whole registers of a row in blocks, whose results are put together."""
        f, wide, chains = self.f, self.wide, len(sums)
        if not chains:
            return []
        whole = self.row - self.row % wide.count
        stride = wide.count * chains

        def pick(index: Index, held: Carried) -> Carried:
            return [
                step(wide, i, sum_, wide.load(pointer, f.add(index, i * wide.count))) for i, sum_ in enumerate(held)
            ]

        def join(a: str, b: str) -> str:
            return self._combined(wide, a, b)

        bulk = whole - whole % stride
        sums = BlockSum(f, stride, pick, getattr(wide, start), join, wide.kind).run(0, bulk, sums)
        for i, place in enumerate(range(bulk, whole, wide.count)):
            sums[i] = step(wide, i, sums[i], wide.load(pointer, place))
        return sums

    def _folded(self, registers: list[Lanes], sums: list[str]) -> str:
        """All elements of all registers put together."""
        waiting: dict[int, list[str]] = {}
        for lanes, value in zip(registers, sums, strict=True):
            waiting.setdefault(lanes.count, []).append(value)
        width = max(waiting)
        while True:
            lanes, values = self.wide.of(width), waiting.pop(width, [])
            while len(values) > 1:
                values = [*values[2:], self._combined(lanes, values[0], values[1])]
            if width == 1:
                return values[0]
            low, high = lanes.halves(values[0])
            width //= 2
            waiting.setdefault(width, []).append(self._combined(self.wide.of(width), low, high))

    def _combined(self, lanes: Lanes, a: str, b: str) -> str:
        """Two partial results."""
        if self.k.kind in {"max", "min"} or self._peaking:
            return lanes.extreme("min" if self.k.kind == "min" else "max", a, b)
        return lanes.arithmetic("mul" if self.k.kind == "prod" else "add", a, b)

    _peaking = False

    def _reduced(self, walk: Callable[[_Step, str], list[str]], registers: list[Lanes]) -> list[str]:
        """The results: one walk, or one for the peaks and one for the powers."""
        if self.k.kind != "log_sum_exp":
            return [self._finished(lanes, v) for lanes, v in zip(registers, walk(self._step, self._start), strict=True)]
        self._peaking = True
        found = walk(lambda lanes, _, a, b: lanes.extreme("max", a, b), "lowest")
        self._peaking = False
        peaks = [_finite(lanes, peak) for lanes, peak in zip(registers, found, strict=True)]

        def power(lanes: Lanes, index: int, held: str, x: str) -> str:
            own = peaks[index] if not self.row else lanes.splat(registers[0].first(peaks[0]))
            with self.f.of_width(lanes.count):
                return lanes.arithmetic("add", held, maths.exp(self.f, lanes.arithmetic("sub", x, own)))

        results = []
        for lanes, total, peak in zip(registers, walk(power, "zero"), peaks, strict=True):
            with self.f.of_width(lanes.count):
                results.append(lanes.arithmetic("add", maths.log(self.f, total), peak))
        return results

    @property
    def _start(self) -> str:
        """The property of `Lanes` that changes nothing."""
        return {"max": "lowest", "min": "highest", "prod": "one"}.get(self.k.kind, "zero")

    def _step(self, lanes: Lanes, _index: int, held: str, x: str) -> str:
        """One more register."""
        if self.k.kind == "l1":
            return lanes.arithmetic("add", held, lanes.size(x))
        if self.k.kind in {"l2", "sum_square"}:
            if lanes.is_float and self.f.target.fma:
                return lanes.intrinsic("fma", x, x, held)
            return lanes.arithmetic("add", held, lanes.arithmetic("mul", x, x))
        return self._combined(lanes, held, x)

    def _finished(self, lanes: Lanes, value: str) -> str:
        if self.k.kind == "mean":
            return lanes.divided(value, self.k.count)
        if self.k.kind == "l2":
            return lanes.intrinsic("sqrt", value)
        if self.k.kind == "log_sum":
            with self.f.of_width(lanes.count):
                return maths.log(self.f, value)
        return value


def _finite(lanes: Lanes, peak: str) -> str:
    """The peak, or 0 where it is infinite or NaN: then the powers say it all."""
    inside = lanes.compare("lt", lanes.size(peak), lanes.constant(float("inf")))
    return lanes.choose(inside, peak, lanes.zero)
