"""How a nest of loops is shared out among workers, and where in it a running index stands.

In: the extents of the loops. Out: `Cut`, the work units; offsets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from alula.engine.kernels.ir import Function, Index

# Units of work that are enough to share among the workers, and how many are still cheap to count.
_ENOUGH = 16
_MANY = 64


@dataclass(frozen=True)
class Cut:
    """Work units: every index of the first `depth` loops, `outer` together, times `pieces` of `piece` of the next."""

    depth: int
    outer: int
    piece: int
    pieces: int

    @property
    def units(self) -> int:
        """How many."""
        return self.outer * self.pieces


def cut_loops(shape: tuple[int, ...], shortest: int, loops: int | None = None) -> Cut:
    """Cut the outer loops of a nest.

    Args:
        shape: the extents, at least one, none 0.
        shortest: a piece of the last of the loops has a multiple of that many steps.
        loops: how many of the loops may be cut; all by default.
    """
    last = (len(shape) if loops is None else loops) - 1
    depth, outer = 0, 1
    while depth < last and outer < _ENOUGH and outer * shape[depth] <= _MANY:
        outer *= shape[depth]
        depth += 1
    extent = shape[depth]
    piece = math.ceil(extent / max(1, _ENOUGH // outer))
    if depth == last:
        piece = math.ceil(piece / shortest) * shortest
    return Cut(depth, outer, piece, math.ceil(extent / piece))


def decompose(f: Function, index: Index, loops: Sequence[tuple[int, int]]) -> Index:
    """The offset of a running index through loops, each an extent and a stride."""
    offset: Index = 0
    for position, (extent, stride) in reversed(list(enumerate(loops))):
        here = f.mod(index, extent) if position else index
        index = f.div(index, extent)
        offset = f.add(offset, f.mul(here, stride))
    return offset
