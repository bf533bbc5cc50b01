"""A transposed convolution along one axis as ordinary ones: outputs that are `stride` apart see the same taps.

    y[o] = sum over k of x[(o + pad - k dilation) / stride] w[k], where that divides

In: sizes of an axis. Out: one `Phase` for each remainder of o, and the zeros that x needs around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Phase:
    """Outputs first, first + stride, ... of one axis: a convolution of stride 1.

    Attributes:
        count: how many outputs.
        taps: the kernel's elements in the order in which the input is read.
        read: the input element under the first tap of the first output; negative in front of the input.
        dilation: distance of the elements under neighbouring taps.
    """

    first: int
    count: int
    taps: tuple[int, ...]
    read: int
    dilation: int

    @property
    def end(self) -> int:
        """The input element under the last tap of the last output."""
        return self.read + self.count - 1 + (len(self.taps) - 1) * self.dilation


def phases_of(outputs: int, kernel: int, stride: int, dilation: int, pad: int) -> tuple[Phase, ...]:
    """The phases of one axis that have outputs; those of a stride beyond the kernel may have no taps."""
    found = []
    for remainder in range(stride):
        first = (remainder - pad) % stride
        count = -((first - outputs) // stride)
        if count < 1:
            continue
        taps = [k for k in range(kernel) if (k * dilation - remainder) % stride == 0]
        back = [(k * dilation - remainder) // stride for k in taps]
        read = (first + pad) // stride - max(back, default=0)
        found.append(Phase(first, count, tuple(reversed(taps)), read, back[1] - back[0] if back[1:] else 1))
    return tuple(found)


def zeros_around(phases: Sequence[Phase], inputs: int) -> tuple[int, int]:
    """Zeros before and behind the input, so that no phase reads outside."""
    before = max(max(-phase.read, 0) for phase in phases)
    return before, max(max(phase.end - inputs + 1, 0) for phase in phases)
