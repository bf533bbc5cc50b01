"""Memory for intermediates: offsets in one arena, so that values alive at the same time never overlap.

In: sizes and lifetimes in steps. Out: byte offsets and the size of the arena.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from alula.engine.graph.nodes import Array

ALIGNMENT = 64


@dataclass(frozen=True)
class Lifetime:
    """A value that occupies `size` bytes from step `first` to step `last`, both included."""

    name: str
    size: int
    first: int
    last: int

    def meets(self, other: Lifetime) -> bool:
        """Whether both are alive at some step."""
        return self.first <= other.last and other.first <= self.last


def place_lifetimes(lifetimes: Sequence[Lifetime]) -> tuple[Mapping[str, int], int]:
    """Offsets by name, aligned to 64 bytes, and the bytes needed in all.

    Greedy by size, largest first, each at the lowest offset that fits (Pisarchyk and Lee, "Efficient Memory Management
    for Deep Neural Net Inference", 2020, section 5.3).
    """
    order = sorted(lifetimes, key=lambda item: (-item.size, item.first))
    first, last, starts, ends = (np.zeros(len(order), np.int64) for _ in range(4))
    offsets: dict[str, int] = {}
    for count, life in enumerate(order):
        met = np.flatnonzero((first[:count] <= life.last) & (last[:count] >= life.first))
        size = align(life.size)
        offset = _lowest_gap(starts[met], ends[met], size)
        first[count], last[count], starts[count], ends[count] = life.first, life.last, offset, offset + size
        offsets[life.name] = offset
    return offsets, int(ends.max(initial=0))


def _lowest_gap(starts: Array, ends: Array, size: int) -> int:
    """The lowest offset at which `size` bytes meet none of the stretches from `starts` to `ends`."""
    order = np.argsort(starts, kind="stable")
    free = np.concatenate(([0], np.maximum.accumulate(ends[order])))  # the first byte behind all stretches up to each
    fits = np.flatnonzero(free[:-1] + size <= starts[order])
    return int(free[fits[0]] if fits.size else free[-1])


def align(size: int) -> int:
    """The size rounded up to a whole number of cache lines."""
    return -(-size // ALIGNMENT) * ALIGNMENT
