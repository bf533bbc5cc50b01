"""Where a kernel works inside of larger tensors: a corner to read from, and every so many pixels to write.

In: sizes in rows and columns. Out: `Place`.
"""

from __future__ import annotations

from dataclasses import dataclass

Pair = tuple[int, int]


@dataclass(frozen=True)
class Place:
    """A part of the maps that a convolution reads and writes; rows first.

    Attributes:
        read: the pixel of x that the first window starts at.
        start: the pixel of y that is written first.
        step: distance of neighbouring results in y.
        size: height and width of y; (0, 0) where y is all results.
    """

    read: Pair = (0, 0)
    start: Pair = (0, 0)
    step: Pair = (1, 1)
    size: Pair = (0, 0)


WHOLE = Place()
