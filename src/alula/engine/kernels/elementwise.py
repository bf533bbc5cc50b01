"""Elementwise kernels: a formula over tensors that broadcast against each other.

In: operands of the types that the formula says, each with one stride for every dimension of the output. Out: a dense
tensor of the type of the formula's result, plain or (float32 only) in blocks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from alula.engine.graph.dims import is_static, static
from alula.engine.graph.formula import Formula
from alula.engine.graph.nodes import Value
from alula.engine.kernels.cut import Cut, cut_loops
from alula.engine.kernels.elements import broadcast_element, load_elements, memory_kind, store_elements
from alula.engine.kernels.formula import cost, emit_formula
from alula.engine.kernels.ir import Function, Index, module
from alula.engine.kernels.target import Target

# Shortest piece of the innermost dimension; a multiple of every register width times every unrolling.
_PIECE = 1024
# Arithmetic below which a loop over vectors is unrolled by 4 and by 2.
_CHEAP = 8
_MODERATE = 40


@dataclass(frozen=True)
class Access:
    """How one operand is read: its element stride along each dimension of the loop nest, 0 where it is repeated.

    The innermost stride is 0 or 1.
    """

    strides: tuple[int, ...]


@dataclass(frozen=True)
class Elementwise:
    """`output[i] = formula(operand 0 at i, operand 1 at i, ...)` for every index of `shape`.

    The output is dense and row-major over `shape`. Operands: one pointer for each access, then the output.
    """

    formula: Formula
    shape: tuple[int, ...]
    operands: tuple[Access, ...]

    family = "elementwise"
    scratch = 0

    @property
    def units(self) -> int:
        """Indices of the outer dimensions times pieces of the next one."""
        return self.cut.units

    @cached_property
    def cut(self) -> Cut:
        """The work units."""
        return cut_loops(self.shape, _PIECE)

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        pointers = [f"x{index}" for index in range(len(self.operands))]
        function = Function(name, [*pointers, "y"], target)
        _Nest(self, function).emit()
        return module(function)


class _Nest:
    """Emits the loops of one kernel."""

    def __init__(self, kernel: Elementwise, function: Function) -> None:
        self._f = function
        self._kernel = kernel
        self._cut = kernel.cut
        self._shape = kernel.shape
        dense = [math.prod(kernel.shape[d + 1 :]) for d in range(len(kernel.shape))]
        self._strides = [list(access.strides) for access in kernel.operands] + [dense]
        self._types = [*kernel.formula.input_types, kernel.formula.result_type]
        self._kinds = [memory_kind(dtype, function.target) for dtype in self._types]
        self._last = len(kernel.shape) - 1
        expense = cost(kernel.formula)
        self._unroll = 4 if expense <= _CHEAP else 2 if expense <= _MODERATE else 1

    def emit(self) -> None:
        def unit(index: Index, _: list[str]) -> list[str]:
            f, cut = self._f, self._cut
            piece, outer = f.mod(index, cut.pieces), f.div(index, cut.pieces)
            pointers = [f"%x{i}" for i in range(len(self._strides) - 1)] + ["%y"]
            for dim in reversed(range(cut.depth)):
                here = f.mod(outer, self._shape[dim]) if dim else outer
                outer = f.div(outer, self._shape[dim])
                pointers = self._advance(pointers, dim, here)
            begin = f.mul(piece, cut.piece)
            end: Index = self._shape[cut.depth]
            if cut.pieces > 1:
                end = f.least(f.add(begin, cut.piece), end)
            self._dimension(cut.depth, begin, end, pointers, {})
            return []

        self._f.loop("%lo", "%hi", 1, unit)

    def _advance(self, pointers: Sequence[str], dim: int, index: Index) -> list[str]:
        f = self._f
        return [
            f.at(p, f.mul(index, strides[dim]), kind) if strides[dim] else p
            for p, strides, kind in zip(pointers, self._strides, self._kinds, strict=True)
        ]

    def _dimension(self, dim: int, begin: Index, end: Index, pointers: list[str], loaded: dict[int, str]) -> None:
        """Loop from `begin` to `end`; `loaded` holds the operands that no longer change."""
        loaded = self._load_constant(dim, pointers, loaded)
        if dim == self._last:
            self._row(begin, end, pointers, loaded)
            return

        def body(index: Index, _: list[str]) -> list[str]:
            self._dimension(dim + 1, 0, self._shape[dim + 1], self._advance(pointers, dim, index), loaded)
            return []

        self._f.loop(begin, end, 1, body)

    def _load_constant(self, dim: int, pointers: list[str], loaded: dict[int, str]) -> dict[int, str]:
        """Read, before a loop, the operands that are one number or one short row throughout it."""
        found = dict(loaded)
        inner = self._shape[-1]
        for index in range(len(self._strides) - 1):
            if index in found:
                continue
            strides = self._strides[index]
            if not any(strides[dim:]):
                found[index] = broadcast_element(self._f, self._types[index], pointers[index])
            elif inner <= self._f.lanes and not any(strides[dim:-1]):
                found[index] = load_elements(self._f, self._types[index], inner, pointers[index])
        return found

    def _row(self, begin: Index, end: Index, pointers: list[str], loaded: dict[int, str]) -> None:
        f, extent = self._f, self._shape[-1]
        whole = extent - extent % f.lanes
        stop = f.least(end, whole)
        step = self._unroll * f.lanes
        length = f.sub(stop, begin)
        bulk = f.sub(stop, f.mod(length, step))

        def many(index: Index, _: list[str]) -> list[str]:
            for part in range(self._unroll):
                self._vector(f.add(index, part * f.lanes), f.lanes, pointers, loaded)
            return []

        def one(index: Index, _: list[str]) -> list[str]:
            self._vector(index, f.lanes, pointers, loaded)
            return []

        f.loop(begin, bulk, step, many)
        f.loop(bulk, stop, f.lanes, one)
        if extent > whole:
            self._tail(end, whole, pointers, loaded)

    def _tail(self, end: Index, whole: int, pointers: list[str], loaded: dict[int, str]) -> None:
        extent = self._shape[-1]

        def body() -> None:
            self._vector(whole, extent - whole, pointers, loaded)

        if isinstance(end, int):
            body()
        else:
            self._f.when(self._f.compare("eq", end, extent), body)

    def _vector(self, index: Index, count: int, pointers: list[str], loaded: dict[int, str]) -> None:
        f = self._f
        registers = [
            loaded[operand] if operand in loaded else load_elements(f, dtype, count, pointers[operand], index)
            for operand, dtype in enumerate(self._types[:-1])
        ]
        result = emit_formula(f, self._kernel.formula, registers)
        store_elements(f, self._types[-1], count, result, pointers[-1], index)


def elementwise(formula: Formula, output: Value, inputs: Sequence[Value], block: int = 0) -> Elementwise | None:
    """The kernel that computes `output` from `inputs`, broadcast as in numpy.

    Args:
        formula: one register for each input.
        output: of static shape; `output.block` decides the loop nest.
        inputs: of static shape, plain or in the output's blocks. Next to a blocked output, a plain input must be one
            number, have one channel, or be as [C, 1, 1] with C a multiple of the block; any other vector of channels
            is given as `blocks.pack_channels` lays it out, under a value record that says so.
        block: channels a block of the output; must equal `output.block`.

    Returns:
        None if layouts or shapes mix in a way that has no kernel, or the types are not the formula's.
    """
    values = [output, *inputs]
    types = (*formula.input_types, formula.result_type)
    if output.block != block or tuple(v.dtype for v in (*inputs, output)) != types:
        return None
    shapes = [static(v.shape) for v in values if v.shape is not None and is_static(v.shape)]
    if len(shapes) != len(values) or not math.prod(shapes[0]):
        return None
    rank = len(shapes[0])
    accesses = [_strides(shape, value.block, shapes[0], block) for value, shape in zip(inputs, shapes[1:], strict=True)]
    known = [strides for strides in accesses if strides is not None]
    if len(known) != len(accesses) or (block and rank < _CHANNEL_RANK):
        return None
    shape = _blocked(shapes[0], block) if block else shapes[0]
    return _collapsed(formula, shape, known)


_CHANNEL_RANK = 2


def _blocked(shape: tuple[int, ...], block: int) -> tuple[int, ...]:
    return (shape[0], math.ceil(shape[1] / block), *shape[2:], block)


def _dense(shape: Sequence[int]) -> list[int]:
    """Row-major strides, 0 where the extent is 1."""
    return [math.prod(shape[d + 1 :]) if extent != 1 else 0 for d, extent in enumerate(shape)]


def _strides(shape: tuple[int, ...], block: int, out: tuple[int, ...], out_block: int) -> list[int] | None:
    """Strides of an input along the output's stored dimensions; None where there is no way."""
    if len(shape) > len(out):
        return None
    full = (1,) * (len(out) - len(shape)) + shape
    if any(mine not in (1, theirs) for mine, theirs in zip(full, out, strict=True)):
        return None
    if math.prod(full) == 1:
        return [0] * (len(out) + (out_block > 0))
    if block == out_block == 0:
        return _dense(full)
    if block == out_block:
        strides = _dense(_blocked(full, block))
        return [*strides[:-1], 0] if full[1] < out[1] else strides
    if block or len(out) < _CHANNEL_RANK:
        return None
    if full[1] == 1:
        return [*_dense(full), 0]
    if full[1] % out_block == 0 and math.prod(full[2:]) == 1:
        return _dense(_blocked(full, out_block))
    return None


def _collapsed(formula: Formula, shape: tuple[int, ...], strides: Sequence[Sequence[int]]) -> Elementwise:
    """Drop dimensions of 1 and join neighbours that every operand walks through as one."""
    extents: list[int] = []
    walks: list[tuple[int, ...]] = []
    for dim, extent in enumerate(shape):
        walk = tuple(s[dim] for s in strides)
        if extent == 1:
            continue
        if walks and all(before == here * extent for before, here in zip(walks[-1], walk, strict=True)):
            extents[-1] *= extent
            walks[-1] = walk
        else:
            extents.append(extent)
            walks.append(walk)
    if not walks:
        extents, walks = [1], [tuple(0 for _ in strides)]
    return Elementwise(formula, tuple(extents), tuple(Access(walk) for walk in zip(*walks, strict=True)))
