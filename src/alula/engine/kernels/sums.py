"""Long sums in blocks, whose error grows with the logarithm of their length; and all lanes of a register as one.

In: what one step adds, or puts together. Out: the loops around it; the result in every lane.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from alula.engine.kernels.ir import Carried, Function, Index, LoopBody

# Sums of this many steps, and of this many such sums, are made apart: the error grows with the length of a sum
# (N. J. Higham, "The accuracy of floating point summation", 1993, section 3).
_BLOCK = 64


@dataclass(frozen=True)
class BlockSum:
    """A sum, or another reduction, over a stretch of elements.

    Attributes:
        step: elements that one call of `pick` reads.
        pick: takes an index and the partial results, gives the new ones, as in `Function.loop`.
        fresh: a register that changes nothing, to begin with.
        join: puts two partial results together.
        kind: LLVM's type of the registers, by default the function's vectors.
    """

    f: Function
    step: int
    pick: LoopBody
    fresh: str
    join: Callable[[str, str], str]
    kind: str = ""

    def run(self, low: Index, length: int, sums: Carried) -> Carried:
        """Append the loops from `low` on over `length` elements, a multiple of the step; returns the new sums."""
        if not length:
            return list(sums)
        size = self.step
        while size * _BLOCK < length:
            size *= _BLOCK

        def part(index: Index, held: Carried) -> Carried:
            inner = self.run(index, size, [self.fresh] * len(held))
            return [self.join(a, b) for a, b in zip(held, inner, strict=True)]

        done = length - length % size
        body = part if size > self.step else self.pick
        held = self.f.loop(low, self.f.add(low, done), size, body, sums, self.kind)
        return self.run(self.f.add(low, done), length - done, held)


def across(f: Function, value: str, join: Callable[[str, str], str]) -> str:
    """All lanes of a register of floats put together, the result in every lane."""
    distance = f.lanes // 2
    while distance:
        turned = ", ".join(f"i32 {(lane + distance) % f.lanes}" for lane in range(f.lanes))
        other = f.op(f"shufflevector {f.vector} {value}, {f.vector} poison, <{f.lanes} x i32> <{turned}>")
        value = join(value, other)
        distance //= 2
    return value
