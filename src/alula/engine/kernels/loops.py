"""Loops that kernels share: neighbours by vectors, groups of which the last is smaller, rows of planes.

In: sizes and the body of a loop. Out: the loops around it, appended to a function.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from alula.engine.kernels.ir import Carried, Function, Index


@dataclass(frozen=True)
class Groups:
    """`length` neighbours cut into groups of `size`, of which the last may be smaller."""

    length: int
    size: int

    @property
    def count(self) -> int:
        """How many groups."""
        return math.ceil(self.length / self.size)

    @property
    def rest(self) -> int:
        """Neighbours of the last group."""
        return self.length - (self.count - 1) * self.size

    def emit(self, f: Function, index: Index, body: Callable[[int], None]) -> None:
        """Append `body` of the size of group `index`: once, or for whole groups and for the last one apart."""
        last = self.count - 1
        if not last or self.rest == self.size:
            body(self.rest)
            return
        f.when(f.compare("ne", index, last), lambda: body(self.size))
        f.when(f.compare("eq", index, last), lambda: body(self.rest))


def each_vector(f: Function, length: int, body: Callable[[Index, int], None]) -> None:
    """Append a loop over the whole vectors of `length` neighbours, then what remains; `body` gets place and lanes."""
    rest = length % f.lanes

    def vector(at: Index, _: Carried) -> Carried:
        body(at, f.lanes)
        return []

    f.loop(0, length - rest, f.lanes, vector)
    if rest:
        body(length - rest, rest)


def each_vector_of_groups(f: Function, length: int, size: int, body: Callable[[Index, Index, int], None]) -> None:
    """Append the loop over work units: groups of `size` of `length` neighbours, of every outer index.

    Args:
        f: where to append.
        length: neighbours of one outer index.
        size: of a group; a multiple of the lanes.
        body: gets the outer index, the place and the lanes of each vector.
    """
    groups, rest = math.ceil(length / size), length % f.lanes

    def unit(index: Index, _: Carried) -> Carried:
        outer, first = f.div(index, groups), f.mul(f.mod(index, groups), size)

        def vector(at: Index, _: Carried) -> Carried:
            body(outer, at, f.lanes)
            return []

        f.loop(first, f.least(f.add(first, size), length - rest), f.lanes, vector)
        if rest:
            ends = f.compare("sge", f.add(first, size), length)
            f.when(ends, lambda: body(outer, length - rest, rest))
        return []

    f.loop("%lo", "%hi", 1, unit)


def each_stretch_of_rows(f: Function, length: int, size: int, body: Callable[[Index, Index, Index], None]) -> None:
    """Append the loop over work units: `size` of the `length` rows of a plane; `body` gets plane, first row, end."""
    groups = math.ceil(length / size)

    def unit(index: Index, _: Carried) -> Carried:
        plane, first = f.div(index, groups), f.mul(f.mod(index, groups), size)
        body(plane, first, length if groups == 1 else f.least(f.add(first, size), length))
        return []

    f.loop("%lo", "%hi", 1, unit)
