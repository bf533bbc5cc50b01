"""Rows to mean 0 and variance 1, or to mean square 1, then scaled and shifted.

In: float32 rows in plain memory. Out: the same shape. Layer, RMS, instance and group normalisation are all this.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from alula.engine.kernels.ir import Carried, Function, Index, module
from alula.engine.kernels.loops import each_vector
from alula.engine.kernels.sums import BlockSum, across
from alula.engine.kernels.target import Target

# Sums that grow side by side, so that additions do not wait for each other.
_CHAINS = 4
_Term = Callable[[str, int], str]


@dataclass(frozen=True)
class NormaliseRows:
    """(x - mean) / sqrt(variance + epsilon) * scale + shift. Operands: x, [scale], [shift], y.

    A row is `channels` times `pixels` neighbours; its parameters are one number a channel, and row r has those of
    row r modulo `groups`. The variance is taken of the differences from the mean, in a second walk. A work unit is a
    row.

    Attributes:
        centred: take the mean off; without, divide by the root of the mean square.
        scaled: whether there is a scale; `shifted` likewise.
    """

    rows: int
    channels: int
    pixels: int
    groups: int
    epsilon: float
    centred: bool = True
    scaled: bool = True
    shifted: bool = True

    family = "normalise rows"
    scratch = 0

    @property
    def units(self) -> int:
        """Rows."""
        return self.rows

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        pointers = ["x", *["scale"] * self.scaled, *["shift"] * self.shifted, "y"]
        f = Function(name, pointers, target)
        length = self.channels * self.pixels

        def unit(row: Index, _: Carried) -> Carried:
            start = f.mul(row, length)
            own = f.mul(f.mod(row, self.groups), self.channels)
            _Row(self, f, f.at("%x", start), f.at("%y", start), own).emit()
            return []

        f.loop("%lo", "%hi", 1, unit)
        return module(f)


class _Row:
    """Writes one row; `own` is the place of its parameters."""

    def __init__(self, kernel: NormaliseRows, f: Function, x: str, y: str, own: Index) -> None:
        self._k = kernel
        self._f = f
        self._x = x
        self._y = y
        self._own = own
        self._length = kernel.channels * kernel.pixels

    def emit(self) -> None:
        f = self._f
        mean = f.constant(0.0)
        if self._k.centred:
            mean = self._mean(lambda x, _: x)

        def square(x: str, count: int) -> str:
            difference = f.arithmetic("fsub", x, mean) if self._k.centred else x
            return _masked(f, f.arithmetic("fmul", difference, difference), count)

        root = f.intrinsic("sqrt", f.arithmetic("fadd", self._mean(square), f.constant(self._k.epsilon)))
        factor = f.arithmetic("fdiv", f.constant(1.0), root)
        if self._k.pixels == 1:
            self._finish_elements(mean, factor)
        else:
            self._finish_channels(mean, factor)

    def _mean(self, term: _Term) -> str:
        """The mean over the row of a term of every register, in every lane; `term` gets x and how many count."""
        f, length = self._f, self._length
        whole = length - length % f.lanes
        chains = max(1, min(_CHAINS, whole // f.lanes))
        bulk = whole - whole % (chains * f.lanes)

        def pick(index: Index, held: Carried) -> Carried:
            places = (f.add(index, i * f.lanes) for i in range(chains))
            return [
                f.arithmetic("fadd", sum_, term(f.load(self._x, p), f.lanes))
                for sum_, p in zip(held, places, strict=True)
            ]

        def join(a: str, b: str) -> str:
            return f.arithmetic("fadd", a, b)

        zero = f.constant(0.0)
        sums = BlockSum(f, chains * f.lanes, pick, zero, join).run(0, bulk, [zero] * chains)
        sums += [
            term(f.load_first(min(f.lanes, length - at), self._x, at), min(f.lanes, length - at))
            for at in range(bulk, length, f.lanes)
        ]
        while len(sums) > 1:
            sums = [*sums[2:], join(sums[0], sums[1])]
        return f.arithmetic("fdiv", across(f, sums[0], join), f.constant(float(length)))

    def _finish_elements(self, mean: str, factor: str) -> None:
        """A parameter for each element."""
        f, k = self._f, self._k

        def vector(index: Index, count: int) -> None:
            place = f.add(self._own, index)
            scale = f.load_first(count, "%scale", place) if k.scaled else None
            shift = f.load_first(count, "%shift", place) if k.shifted else None
            value = self._normal(f.load_first(count, self._x, index), mean, factor)
            f.store_first(count, _affine(f, value, scale, shift), self._y, index)

        each_vector(f, self._length, vector)

    def _finish_channels(self, mean: str, factor: str) -> None:
        """A parameter for each stretch of `pixels`."""
        f, k = self._f, self._k

        def channel(index: Index, _: Carried) -> Carried:
            place = f.add(self._own, index)
            scale = f.broadcast("%scale", place) if k.scaled else None
            shift = f.broadcast("%shift", place) if k.shifted else None

            def vector(at: Index, count: int) -> None:
                here = f.add(f.mul(index, k.pixels), at)
                value = self._normal(f.load_first(count, self._x, here), mean, factor)
                f.store_first(count, _affine(f, value, scale, shift), self._y, here)

            each_vector(f, k.pixels, vector)
            return []

        f.loop(0, k.channels, 1, channel)

    def _normal(self, x: str, mean: str, factor: str) -> str:
        f = self._f
        return f.arithmetic("fmul", f.arithmetic("fsub", x, mean) if self._k.centred else x, factor)


def _affine(f: Function, value: str, scale: str | None, shift: str | None) -> str:
    if scale is None:
        return value if shift is None else f.arithmetic("fadd", value, shift)
    return f.arithmetic("fmul", value, scale) if shift is None else f.fma(value, scale, shift)


def _masked(f: Function, value: str, count: int) -> str:
    """Lanes beyond `count` become 0."""
    if count == f.lanes:
        return value
    return f.op(f"select {f.first_lanes(count)}, {f.vector} {value}, {f.vector} zeroinitializer")
