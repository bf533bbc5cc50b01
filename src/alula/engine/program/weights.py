"""Lays the arrays of a plan into the weights part of its file; equal arrays are stored once.

In: arrays. Out: `WeightLayout`: an offset for each, the distinct arrays in order, the size of all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from alula.base.plan_format import ALIGNMENT, rounded_up
from alula.engine.graph.nodes import Array


@dataclass(frozen=True)
class WeightLayout:
    """Where arrays lie.

    Attributes:
        offsets: byte offset of each array of the plan; those of equal arrays are equal.
        distinct: the arrays that are stored, with their offsets, ascending.
        size: bytes of the part, without padding behind the last array.
    """

    offsets: tuple[int, ...]
    distinct: tuple[tuple[int, Array], ...]
    size: int

    def chunks(self) -> Iterator[memoryview]:
        """The bytes of the part, piece by piece, zeros between arrays."""
        at = 0
        for offset, array in self.distinct:
            yield memoryview(bytes(offset - at))
            yield raw_bytes(array)
            at = offset + array.nbytes


def raw_bytes(array: Array) -> memoryview:
    """The elements in row-major order, little-endian; a view where the array lies so already."""
    ordered = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return ordered.reshape(-1).view(np.uint8).data


class WeightPool:
    """Lays out the arrays of one plan after another into one part; equal arrays are stored once.

    Owned by one writer. Only the first of equal arrays is kept in memory.
    """

    def __init__(self) -> None:
        self._places: dict[bytes, int] = {}
        self._distinct: list[tuple[int, Array]] = []
        self._end = 0

    def add(self, arrays: Sequence[Array]) -> WeightLayout:
        """Give every array a place on a border of 64 bytes; the layout holds all arrays so far, `offsets` these."""
        known: dict[int, int] = {}
        offsets: list[int] = []
        for array in arrays:
            if id(array) not in known:
                known[id(array)] = self._place(array)
            offsets.append(known[id(array)])
        return WeightLayout(tuple(offsets), tuple(self._distinct), self._end)

    def _place(self, array: Array) -> int:
        digest = hashlib.sha256(raw_bytes(array)).digest()
        if digest not in self._places:
            self._places[digest] = rounded_up(self._end, ALIGNMENT)
            self._distinct.append((self._places[digest], array))
            self._end = self._places[digest] + array.nbytes
        return self._places[digest]


def lay_out_weights(arrays: Sequence[Array]) -> WeightLayout:
    """Give every array of one plan a place."""
    return WeightPool().add(arrays)
