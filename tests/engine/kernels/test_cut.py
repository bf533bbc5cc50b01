"""How loops are shared out."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from alula.engine.kernels.cut import cut_loops

EXTENTS = st.lists(st.integers(1, 3000), min_size=1, max_size=4).map(tuple)


@given(EXTENTS, st.sampled_from([16, 1024]))
def test_the_pieces_cover_the_cut_loop_and_none_is_empty(shape: tuple[int, ...], shortest: int) -> None:
    """Rule: a gap would leave elements unwritten, an empty piece would run a loop backwards."""
    cut = cut_loops(shape, shortest)

    assert (cut.pieces - 1) * cut.piece < shape[cut.depth] <= cut.pieces * cut.piece
    assert cut.outer == math.prod(shape[: cut.depth])


@given(EXTENTS)
def test_pieces_of_the_innermost_loop_are_whole_registers(shape: tuple[int, ...]) -> None:
    """Rule: only the last piece of a row may have a tail."""
    cut = cut_loops(shape, 64)

    assert cut.depth < len(shape) - 1 or cut.piece % 64 == 0


@given(st.integers(2, 200), st.integers(1000, 100000))
def test_large_tensors_have_work_for_several_workers(rows: int, length: int) -> None:
    """Rule: fewer than 8 units would leave workers idle or uneven."""
    assert cut_loops((rows, length), 1024).units >= min(8, rows * length // 1024)
