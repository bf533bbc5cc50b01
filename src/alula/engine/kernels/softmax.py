"""Softmax along one axis, or its logarithm.

In: dense float32 seen as [outer, axis, inner]. Out: the same shape, sums along `axis` equal to 1, or their logarithms.
"""

from __future__ import annotations

from dataclasses import dataclass

from alula.engine.kernels.ir import Carried, Function, Index, LoopBody, module
from alula.engine.kernels.loops import Groups
from alula.engine.kernels.maths import exp, log
from alula.engine.kernels.sums import across
from alula.engine.kernels.target import Target

# Inner columns of one unit; a multiple of every register width.
_GROUP = 16
# Vectors that are reduced side by side.
_CHAINS = 2


@dataclass(frozen=True)
class Softmax:
    """exp(x - max) / sum of the same. Operands: the tensor, the output.

    A row that holds a NaN, +inf or nothing but -inf becomes NaN, as in numpy. A work unit is one row where `inner` is
    1, else 16 columns.

    Attributes:
        logarithm: give (x - max) - log of the sum instead.
    """

    outer: int
    axis: int
    inner: int = 1
    logarithm: bool = False

    scratch = 0

    @property
    def family(self) -> str:
        """The algorithm."""
        return "log softmax" if self.logarithm else "softmax"

    @property
    def units(self) -> int:
        """Rows, or groups of columns."""
        return self.outer * Groups(self.inner, _GROUP).count

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        f = Function(name, ("x", "y"), target)

        def row(index: Index, _: Carried) -> Carried:
            offset = f.mul(index, self.axis)
            write = _emit_log_row if self.logarithm else emit_row
            write(f, self.axis, f.at("%x", offset), f.at("%y", offset))
            return []

        def columns(index: Index, _: Carried) -> Carried:
            groups = Groups(self.inner, _GROUP)
            outer, group = f.div(index, groups.count), f.mod(index, groups.count)
            start = f.add(f.mul(outer, self.axis * self.inner), f.mul(group, _GROUP))
            groups.emit(f, group, lambda count: self._emit_columns(f, start, count))
            return []

        f.loop("%lo", "%hi", 1, row if self.inner == 1 else columns)
        return module(f)

    def _emit_columns(self, f: Function, start: Index, count: int) -> None:
        for done in range(0, count, f.lanes):
            place = f.add(start, done)
            self._emit_vector(f, f.at("%x", place), f.at("%y", place), min(f.lanes, count - done))

    def _emit_vector(self, f: Function, x: str, y: str, count: int) -> None:
        """Up to one register of neighbouring columns: three walks along the axis."""

        def largest(index: Index, state: Carried) -> Carried:
            return [_larger(f, f.load_first(count, x, f.mul(index, self.inner)), state[0])]

        def total(index: Index, state: Carried) -> Carried:
            place = f.mul(index, self.inner)
            power = exp(f, f.arithmetic("fsub", f.load_first(count, x, place), peak))
            if not self.logarithm:
                f.store_first(count, power, y, place)
            return [f.arithmetic("fadd", state[0], power)]

        def scale(index: Index, _: Carried) -> Carried:
            place = f.mul(index, self.inner)
            f.store_first(count, f.arithmetic("fmul", f.load_first(count, y, place), factor), y, place)
            return []

        def lower(index: Index, _: Carried) -> Carried:
            place = f.mul(index, self.inner)
            difference = f.arithmetic("fsub", f.load_first(count, x, place), peak)
            f.store_first(count, f.arithmetic("fsub", difference, logarithm), y, place)
            return []

        peak = f.loop(0, self.axis, 1, largest, [f.constant(float("-inf"))])[0]
        sums = f.loop(0, self.axis, 1, total, [f.constant(0.0)])[0]
        if self.logarithm:
            logarithm = log(f, sums)
            f.loop(0, self.axis, 1, lower)
            return
        factor = f.arithmetic("fdiv", f.constant(1.0), sums)
        f.loop(0, self.axis, 1, scale)


def emit_row(f: Function, length: int, x: str, y: str) -> None:
    """One row of neighbouring elements; a row of one register never leaves it."""
    rest = length % f.lanes
    whole = length - rest
    tail = [_padded(f, f.load_first(rest, x, whole), rest)] if rest else []
    peak = _peak(f, whole, x, tail)
    powers = [exp(f, f.arithmetic("fsub", value, peak)) for value in tail]
    sums = _powers(f, whole, x, y, peak)
    factor = f.arithmetic("fdiv", f.constant(1.0), _across(f, [*sums, *powers], "fadd"))

    def scale(index: Index, _: Carried) -> Carried:
        f.store(f.arithmetic("fmul", f.load(y, index), factor), y, index)
        return []

    f.loop(0, whole, f.lanes, scale)
    for power in powers:
        f.store_first(rest, f.arithmetic("fmul", power, factor), y, whole)


def _emit_log_row(f: Function, length: int, x: str, y: str) -> None:
    """The logarithm of a row; powers are summed and not stored."""
    rest = length % f.lanes
    whole = length - rest
    tail = [_padded(f, f.load_first(rest, x, whole), rest)] if rest else []
    peak = _peak(f, whole, x, tail)

    def power(value: str) -> str:
        return exp(f, f.arithmetic("fsub", value, peak))

    def body(index: Index, state: Carried) -> Carried:
        places = (f.add(index, chain * f.lanes) for chain in range(len(state)))
        return [f.arithmetic("fadd", held, power(f.load(x, place))) for held, place in zip(state, places, strict=True)]

    sums = [*_in_chains(f, whole, body, 0.0), *map(power, tail)]
    logarithm = log(f, _across(f, sums, "fadd"))

    def lower(index: Index, _: Carried) -> Carried:
        difference = f.arithmetic("fsub", f.load(x, index), peak)
        f.store(f.arithmetic("fsub", difference, logarithm), y, index)
        return []

    f.loop(0, whole, f.lanes, lower)
    for value in tail:
        f.store_first(rest, f.arithmetic("fsub", f.arithmetic("fsub", value, peak), logarithm), y, whole)


def _peak(f: Function, whole: int, x: str, tail: list[str]) -> str:
    """The largest element of the row in every lane."""

    def body(index: Index, state: Carried) -> Carried:
        return [_larger(f, f.load(x, f.add(index, i * f.lanes)), held) for i, held in enumerate(state)]

    return _across(f, [*_in_chains(f, whole, body, float("-inf")), *tail], "max")


def _powers(f: Function, whole: int, x: str, y: str, peak: str) -> list[str]:
    """Write exp(x - peak); returns partial sums."""

    def body(index: Index, state: Carried) -> Carried:
        results = []
        for chain, held in enumerate(state):
            place = f.add(index, chain * f.lanes)
            power = exp(f, f.arithmetic("fsub", f.load(x, place), peak))
            f.store(power, y, place)
            results.append(f.arithmetic("fadd", held, power))
        return results

    return _in_chains(f, whole, body, 0.0)


def _in_chains(f: Function, whole: int, body: LoopBody, start: float) -> list[str]:
    """Run `body` over all whole vectors with as many carried registers as it may use, then over the odd one."""
    if not whole:
        return []
    step = _CHAINS * f.lanes
    bulk = whole - whole % step
    state = f.loop(0, bulk, step, body, [f.constant(start)] * _CHAINS)
    if bulk < whole:
        state = [*body(bulk, state[:1]), *state[1:]]
    return state


def _padded(f: Function, value: str, count: int) -> str:
    """Lanes beyond `count` become -inf, whose power is 0."""
    return f.op(f"select {f.first_lanes(count)}, {f.vector} {value}, {f.vector} {f.constant(float('-inf'))}")


def _larger(f: Function, a: str, b: str) -> str:
    """The larger of two; which one is returned when one is NaN does not matter, its power is NaN in any case."""
    return f.select_less(b, a, a, b)


def _across(f: Function, values: list[str], op: str) -> str:
    """Reduce registers to one that holds the result in every lane."""

    def combine(a: str, b: str) -> str:
        return _larger(f, a, b) if op == "max" else f.arithmetic(op, a, b)

    result = values[0]
    for value in values[1:]:
        result = combine(result, value)
    return across(f, result, combine)
