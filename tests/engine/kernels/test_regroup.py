"""Channels of blocked tensors put together anew, against numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.kernels import from_blocks, run_kernel, targets_here, to_blocks, undefined_symbols

from alula.engine.kernels.regroup import Regroup, Run
from alula.engine.kernels.target import Target

Array = np.ndarray[Any, Any]
ON_ALL = pytest.mark.parametrize("target", targets_here(), ids=lambda t: t.name)
SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=4)


def values(channels: int, pixels: int) -> Array:
    """Reproducible numbers for two pictures."""
    return np.random.default_rng(channels).standard_normal((2, channels, pixels)).astype(np.float32)


def run(kernel: Regroup, arrays: list[Array], target: Target) -> list[Array]:
    """The kernel's outputs in blocks; padding lanes of the inputs are NaN."""
    channels = [sum(piece.count for piece in runs) for runs in kernel.outputs]
    got = [to_blocks(np.full((2, count, kernel.pixels), -7, np.float32), target.lanes) for count in channels]
    run_kernel(kernel, target, [to_blocks(x, target.lanes, np.nan) for x in arrays], got, pieces=3)
    return got


@settings(max_examples=60, deadline=None)
@given(SIZES, st.sampled_from([1, 63, 64, 130]), st.sampled_from(targets_here()))
def test_joined_channels_follow_one_another(sizes: list[int], pixels: int, target: Target) -> None:
    """Rule: Concat, whatever the blocks; lanes behind the last channel are zeros, not what lay in the inputs."""
    arrays = [values(size, pixels) for size in sizes]
    runs = tuple(Run(index, 0, size) for index, size in enumerate(sizes))

    (got,) = run(Regroup(2, pixels, tuple(sizes), (runs,), target.lanes), arrays, target)

    np.testing.assert_array_equal(got, to_blocks(np.concatenate(arrays, 1), target.lanes))


@settings(max_examples=60, deadline=None)
@given(SIZES, st.sampled_from([1, 63, 64, 130]), st.sampled_from(targets_here()))
def test_cut_channels_are_stretches_of_the_input(sizes: list[int], pixels: int, target: Target) -> None:
    """Rule: Split, whatever the blocks."""
    x = values(sum(sizes), pixels)
    starts = np.cumsum([0, *sizes])
    runs = tuple((Run(0, int(start), size),) for start, size in zip(starts, sizes, strict=False))

    got = run(Regroup(2, pixels, (sum(sizes),), runs, target.lanes), [x], target)

    for array, start, size in zip(got, starts, sizes, strict=False):
        np.testing.assert_array_equal(from_blocks(array, size), x[:, start : start + size])


@ON_ALL
def test_no_function_of_a_library_is_called(target: Target) -> None:
    """Rule: a kernel is self-contained."""
    runs = (Run(0, 3, 7), Run(1, 0, 5))
    assert undefined_symbols(Regroup(1, 70, (20, 9), (runs,), target.lanes), target) == set()
