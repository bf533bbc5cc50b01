"""How work is cut into register tiles."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alula.engine.kernels.target import TARGETS, Target
from alula.engine.kernels.tile import balanced, grouped, prefetch_lines, tile_pixels, vector_groups

ON_ALL = pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)


@ON_ALL
@pytest.mark.parametrize("vectors", [1, 2, 3, 4])
def test_a_tile_and_what_it_multiplies_fit_into_the_registers(vectors: int, target: Target) -> None:
    """Rule: accumulators, weights, one broadcast and (without fma) one product are there at the same time."""
    pixels = tile_pixels(target, vectors)

    needed = pixels * vectors + vectors + (1 if target.fma else 2)
    assert pixels >= 1
    assert needed <= target.registers


@ON_ALL
@given(blocks=st.integers(1, 200), widest=st.sampled_from([3, 4]))
def test_groups_cover_all_blocks_and_none_is_lonely(blocks: int, widest: int, target: Target) -> None:
    """Rule: every block is in one group; a group of one, bound by broadcasts, stands only where there is one block."""
    groups = vector_groups(blocks, target, widest=widest)

    assert sum(groups) == blocks
    assert max(groups) <= widest
    assert min(groups) > 1 or blocks == 1


@given(st.integers(1, 300), st.integers(1, 24))
def test_balanced_pieces_cover_everything_once_and_differ_by_one_at_most(total: int, most: int) -> None:
    """Rule: a tail of one pixel would cost as much as a whole tile."""
    runs = balanced(total, most)

    pieces = [(run.start + i * run.size, run.size) for run in runs for i in range(run.count)]
    covered = [pixel for start, size in pieces for pixel in range(start, start + size)]
    sizes = {size for _, size in pieces}
    assert covered == list(range(total))
    assert max(sizes) <= most
    assert max(sizes) - min(sizes) <= 1
    assert len(pieces) == -(-total // most)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=20))
def test_grouping_neighbours_loses_nothing(groups: list[int]) -> None:
    """Rule: runs list the same groups, at the blocks where they start."""
    runs = grouped(groups)

    assert [run.size for run in runs for _ in range(run.count)] == groups
    assert [run.start for run in runs] == [sum(groups[: sum(r.count for r in runs[:i])]) for i in range(len(runs))]


@given(st.integers(1, 10**6), st.integers(0, 10**4))
def test_prefetching_reaches_the_end_of_the_weights(floats: int, steps: int) -> None:
    """Rule: the lines of all steps cover the weights of the next slab."""
    lines = prefetch_lines(floats, steps)

    assert lines * max(1, steps) * 16 >= floats
