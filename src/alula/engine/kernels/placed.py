"""Rows made by a rule: one-hot rows, triangles of matrices, sequences turned round.

In: a dense tensor of any element type, or indices. Out: a dense tensor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from alula.engine.kernels.indices import copy_bytes, load_integer
from alula.engine.kernels.ir import Carried, Function, Index, module
from alula.engine.kernels.lanes import widths_of
from alula.engine.kernels.target import Target

_FLOAT_BYTES = 4


@dataclass(frozen=True)
class OneHot:
    """y[o, d, i] = on where index[o, i] is d (counted from the end if negative), else off.

    Operands: indices [outer, inner], values (off, on), y. An index outside of the depth is nowhere on. A work unit is
    one outer position.
    """

    outer: int
    depth: int
    inner: int
    element: int
    index_size: int

    family = "one hot"
    scratch = 0

    @property
    def units(self) -> int:
        """Outer positions."""
        return self.outer

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        f = Function(name, ("i", "v", "y"), target)
        kind = f"i{8 * self.element}"
        off = f.op(f"load {kind}, ptr %v, align 1")
        on = f.op(f"load {kind}, ptr {f.at('%v', 1, kind)}, align 1")

        def unit(outer: Index, _: Carried) -> Carried:
            y = f.at("%y", f.mul(outer, self.depth * self.inner), kind)
            self._fill(f, y, off)

            def one(i: Index, _: Carried) -> Carried:
                index = load_integer(f, "%i", f.add(f.mul(outer, self.inner), i), self.index_size)
                turned = f.choose(f.compare("slt", index, 0), str(f.add(index, self.depth)), index, "i64")
                place = f.at(y, f.add(f.mul(turned, self.inner), i), kind)
                # Unsigned, a number that is still negative is larger than every depth.
                f.when(f.compare("ult", turned, self.depth), lambda: f.line(f"store {kind} {on}, ptr {place}, align 1"))
                return []

            f.loop(0, self.inner, 1, one)
            return []

        f.loop("%lo", "%hi", 1, unit)
        return module(f)

    def _fill(self, f: Function, y: str, off: str) -> None:
        kind, count = f"i{8 * self.element}", self.depth * self.inner
        wide = f.lanes * _FLOAT_BYTES // self.element

        def store(at: Index, width: int) -> None:
            vector = f"<{width} x {kind}>"
            first = f.op(f"insertelement {vector} poison, {kind} {off}, i32 0")
            value = f.op(f"shufflevector {vector} {first}, {vector} poison, <{width} x i32> zeroinitializer")
            f.line(f"store {vector} {value}, ptr {f.at(y, at, kind)}, align 1")

        def body(at: Index, _: Carried) -> Carried:
            store(at, wide)
            return []

        whole = count - count % wide
        f.loop(0, whole, wide, body)
        for start, width in widths_of(count - whole, wide):
            store(whole + start, width)


@dataclass(frozen=True)
class Triangle:
    """x where the column is at least the row plus k (`upper`), or at most (else), and 0 elsewhere.

    Operands: x [batch, rows, columns], [k, one int64, where `diagonal` is None], y. A work unit is a row.
    """

    batch: int
    rows: int
    columns: int
    element: int
    upper: bool
    diagonal: int | None = 0

    family = "triangle"
    scratch = 0

    @property
    def units(self) -> int:
        """Rows of all matrices."""
        return self.batch * self.rows

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        f = Function(name, ("x", *(("k",) if self.diagonal is None else ()), "y"), target)
        kind = f"i{8 * self.element}"
        far = self.rows + self.columns
        shift = self.diagonal if self.diagonal is not None else f.op("load i64, ptr %k, align 1")
        shift = f.most(f.least(shift, far), -far)

        def unit(row: Index, _: Carried) -> Carried:
            start = f.mul(row, self.columns)
            border = f.add(f.add(f.mod(row, self.rows), shift), 0 if self.upper else 1)
            border = f.most(f.least(border, self.columns), 0)

            def kept(column: Index, _: Carried) -> Carried:
                place = f.add(start, column)
                value = f.op(f"load {kind}, ptr {f.at('%x', place, kind)}, align 1")
                f.line(f"store {kind} {value}, ptr {f.at('%y', place, kind)}, align 1")
                return []

            def cleared(column: Index, _: Carried) -> Carried:
                f.line(f"store {kind} 0, ptr {f.at('%y', f.add(start, column), kind)}, align 1")
                return []

            before, behind = (cleared, kept) if self.upper else (kept, cleared)
            f.loop(0, border, 1, before)
            f.loop(border, self.columns, 1, behind)
            return []

        f.loop("%lo", "%hi", 1, unit)
        return module(f)


@dataclass(frozen=True)
class TurnSequences:
    """y[b, t] = x[b, length[b] - 1 - t] for t below the length of sample b, x[b, t] behind. Operands: x, lengths, y.

    A length outside of [0, steps] is taken to be the nearest end. A work unit is one step of one sample.

    Attributes:
        time_first: x is [steps, batch, ...], else [batch, steps, ...].
        inner: bytes of one step of one sample.
        index_size: bytes of a length, 4 or 8.
    """

    batch: int
    steps: int
    inner: int
    index_size: int
    time_first: bool

    family = "turn sequences"
    scratch = 0

    @property
    def units(self) -> int:
        """Steps of all samples."""
        return self.batch * self.steps

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        f = Function(name, ("x", "n", "y"), target)

        def unit(index: Index, _: Carried) -> Carried:
            fast = self.batch if self.time_first else self.steps
            slow, quick = f.div(index, fast), f.mod(index, fast)
            sample, step = (quick, slow) if self.time_first else (slow, quick)
            length = f.least(f.most(load_integer(f, "%n", sample, self.index_size), 0), self.steps)
            turned = f.sub(f.sub(length, 1), step)
            source = f.choose(f.compare("slt", step, length), str(turned), str(step), "i64")
            place = f.add(f.mul(source, self.batch), sample) if self.time_first else f.add(f.mul(sample, fast), source)
            x, y = f.at("%x", f.mul(place, self.inner), "i8"), f.at("%y", f.mul(index, self.inner), "i8")
            copy_bytes(f, x, y, self.inner)
            return []

        f.loop("%lo", "%hi", 1, unit)
        return module(f)


def triangle(shape: tuple[int, ...], element: int, *, upper: bool, diagonal: int | None) -> Triangle:
    """The triangle of each matrix of a stack."""
    return Triangle(math.prod(shape[:-2]), shape[-2], shape[-1], element, upper, diagonal)
