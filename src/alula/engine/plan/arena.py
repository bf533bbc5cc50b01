"""Memory for intermediates: offsets in one arena, so that values alive at the same time never overlap.

In: sizes and lifetimes in steps. Out: byte offsets and the size of the arena.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
    placed: list[tuple[int, int, Lifetime]] = []  # start and end in bytes
    offsets: dict[str, int] = {}
    for life in sorted(lifetimes, key=lambda item: (-item.size, item.first)):
        size = align(life.size)
        offset = 0
        for start, end in sorted((start, end) for start, end, other in placed if other.meets(life)):
            if offset + size <= start:
                break
            offset = max(offset, end)
        placed.append((offset, offset + size, life))
        offsets[life.name] = offset
    return offsets, max((end for _, end, _ in placed), default=0)


def align(size: int) -> int:
    """The size rounded up to a whole number of cache lines."""
    return -(-size // ALIGNMENT) * ALIGNMENT
