"""The neighbours of places between pixels: their numbers, weights, and whether they are there at all.

In: vectors of places along one axis. Out: `Neighbours`; pairs of two axes as `Tap`s, which are gathered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from alula.engine.kernels.ir import Function

Padding = Literal["zeros", "border", "reflection"]


@dataclass(frozen=True)
class Neighbours:
    """Neighbours of a vector of places along one axis: element numbers, weights, masks of those that are there."""

    numbers: tuple[str, ...]
    weights: tuple[str, ...]
    there: tuple[str, ...]


@dataclass(frozen=True)
class Tap:
    """One neighbour over two axes: a vector of offsets into a plane, of weights, and a mask."""

    offsets: str
    weight: str
    there: str


def linear_neighbours(f: Function, place: str, size: int, padding: Padding) -> Neighbours:
    """The elements below and above each place."""
    one = f.constant(1.0)
    below = f.intrinsic("floor", place)
    far = f.arithmetic("fsub", place, below)
    places = (below, f.arithmetic("fadd", below, one))
    return _neighbours(f, places, (f.arithmetic("fsub", one, far), far), (size, padding))


def nearest_neighbours(f: Function, place: str, size: int, padding: Padding) -> Neighbours:
    """The elements at whole places."""
    return _neighbours(f, (place,), (f.constant(1.0),), (size, padding))


def _neighbours(
    f: Function, places: tuple[str, ...], weights: tuple[str, ...], outside: tuple[int, Padding]
) -> Neighbours:
    """Whole places with their weights; a NaN is nowhere, but at the first element where borders go on."""
    size, padding = outside
    if padding == "border":
        masks = [everywhere(f)] * len(places)
    elif padding == "reflection":
        masks = [_inside(f, clamped(f, place, size), size) for place in places]
    else:
        masks = [_inside(f, place, size) for place in places]
    return Neighbours(tuple(_number(f, place, size) for place in places), weights, tuple(masks))


def clamped(f: Function, place: str, size: int) -> str:
    """Moved to the nearest element; a NaN stays one."""
    zero, last = f.constant(0.0), f.constant(_last(size))
    return f.select_less(last, place, last, f.select_less(place, zero, zero, place))


def _last(size: int) -> float:
    """The last element as float32 holds it: beyond 2^24 the nearest number may lie outside, the one below does not."""
    near = np.float32(size - 1)
    return float(near if int(near) < size else np.nextafter(near, np.float32(0)))


def _number(f: Function, place: str, size: int) -> str:
    """Element numbers that may be read whatever the place was."""
    bits = f"<{f.lanes} x i1>"
    ordered = f.op(f"fcmp ord {f.vector} {place}, {place}")
    known = f.op(f"select {bits} {ordered}, {f.vector} {place}, {f.vector} {f.constant(0.0)}")
    return f.op(f"fptosi {f.vector} {clamped(f, known, size)} to <{f.lanes} x i32>")


def _inside(f: Function, place: str, size: int) -> str:
    low = f.op(f"fcmp oge {f.vector} {place}, {f.constant(0.0)}")
    high = f.op(f"fcmp ole {f.vector} {place}, {f.constant(_last(size))}")
    return f.op(f"and <{f.lanes} x i1> {low}, {high}")


def taps_of(f: Function, rows: Neighbours, columns: Neighbours, width: int) -> tuple[Tap, ...]:
    """All pairs of a row and a column of planes that are `width` wide."""
    ints, bits = f"<{f.lanes} x i32>", f"<{f.lanes} x i1>"
    step = "<" + ", ".join([f"i32 {width}"] * f.lanes) + ">"
    found = []
    for row, tall, here in zip(rows.numbers, rows.weights, rows.there, strict=True):
        start = f.op(f"mul {ints} {row}, {step}")
        for column, wide, there in zip(columns.numbers, columns.weights, columns.there, strict=True):
            offsets = f.op(f"add {ints} {start}, {column}")
            weight = f.arithmetic("fmul", tall, wide)
            found.append(Tap(offsets, weight, f.op(f"and {bits} {here}, {there}")))
    return tuple(found)


def weighted(f: Function, plane: str, taps: Sequence[Tap]) -> str:
    """The sum of the taps of a plane; one tap alone is taken as it is. What is not there is not read, and adds 0."""
    values = [gather(f, plane, tap.offsets, tap.there) for tap in taps]
    if len(taps) == 1:
        return values[0]
    total = f.constant(0.0)
    for value, tap in zip(values, taps, strict=True):
        total = f.fma(value, tap.weight, total)
    return total


def gather(f: Function, plane: str, numbers: str, there: str = "") -> str:
    """The floats at `numbers`, <lanes x i32>, from a pointer on; lanes that are not `there` are 0 and not read."""
    pointers = f.op(f"getelementptr inbounds float, ptr {plane}, <{f.lanes} x i32> {numbers}")
    name = f"@llvm.masked.gather.v{f.lanes}f32.v{f.lanes}p0"
    f.declare(f"declare {f.vector} {name}(<{f.lanes} x ptr>, i32, <{f.lanes} x i1>, {f.vector})")
    masked = f"<{f.lanes} x i1> {there or everywhere(f)}, {f.vector} zeroinitializer"
    return f.op(f"call {f.vector} {name}(<{f.lanes} x ptr> {pointers}, i32 4, {masked})")


def everywhere(f: Function) -> str:
    """The mask of all lanes."""
    return "<" + ", ".join(["i1 true"] * f.lanes) + ">"
