"""Sampling at coordinates against the operator's reference."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
from support.kernels import run_kernel, targets_here, undefined_symbols

from alula.engine.kernels.grid_sample import GridSample
from alula.engine.kernels.target import Target
from alula.engine.operators.grid import grid_sample

Array = np.ndarray[Any, Any]
Mode = Literal["linear", "nearest"]
Padding = Literal["zeros", "border", "reflection"]
ON_ALL = pytest.mark.parametrize("target", targets_here(), ids=lambda t: t.name)
MODES = pytest.mark.parametrize("mode", ["linear", "nearest"])
PADDINGS = pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])


def run(x: Array, grid: Array, mode: Mode, padding: Padding, corners: int, target: Target) -> tuple[Array, Array]:
    """What the kernel and the reference give."""
    batch, channels, height, width = x.shape
    got = np.full((batch, channels, *grid.shape[1:3]), -7, np.float32)
    pixels = grid.shape[1] * grid.shape[2]
    kernel = GridSample(batch, channels, (height, width), pixels, mode, padding, bool(corners), target.lanes)
    run_kernel(kernel, target, [x, grid], [got], pieces=3)
    with np.errstate(invalid="ignore"):
        return got, grid_sample(x, grid, align_corners=corners, mode=mode, padding_mode=padding)


@ON_ALL
@MODES
@PADDINGS
@pytest.mark.parametrize("corners", [0, 1])
@pytest.mark.parametrize("size", [(1, 1, 1, 1), (3, 5, 4, 33), (7, 2, 9, 7), (16, 1, 1, 130)])
def test_places_in_and_around_the_picture_agree_with_the_reference(
    size: tuple[int, int, int, int], corners: int, padding: Padding, mode: Mode, target: Target
) -> None:
    """Rule: places far outside are as good as any, and no group of pixels reads another picture."""
    height, width, rows, columns = size
    chance = np.random.default_rng(height)
    x = chance.standard_normal((2, 3, height, width)).astype(np.float32)
    grid = chance.uniform(-3.3, 3.3, (2, rows, columns, 2)).astype(np.float32)

    got, want = run(x, grid, mode, padding, corners, target)

    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@ON_ALL
@MODES
@PADDINGS
def test_coordinates_that_are_no_numbers_read_nothing_outside(mode: Mode, padding: Padding, target: Target) -> None:
    """Attack: infinities, NaN and huge numbers as coordinates, which no integer holds."""
    odd = np.asarray([np.nan, np.inf, -np.inf, 1e30, -1e30, 0.0], np.float32)
    grid = np.stack(np.meshgrid(odd, odd), -1).reshape(1, 6, 6, 2)
    x = np.random.default_rng(0).standard_normal((1, 2, 4, 5)).astype(np.float32)

    got, want = run(x, grid, mode, padding, 1, target)

    finite = np.asarray(np.isfinite(grid).all(-1))
    if padding == "reflection":
        finite &= np.asarray((np.abs(grid) < 1e9).all(-1))  # how often 1e30 is mirrored is beyond a float's precision
    np.testing.assert_allclose(got[:, :, finite[0]], want[:, :, finite[0]], rtol=1e-5, atol=1e-5)


@ON_ALL
def test_an_infinity_beside_the_picture_s_edge_adds_nothing(target: Target) -> None:
    """Rule: with zeros around the picture, neighbours that are not there have no part in the sum."""
    x = np.full((1, 1, 2, 2), np.inf, np.float32)
    grid = np.full((1, 1, 3, 2), -3.0, np.float32)

    got, _ = run(x, grid, "linear", "zeros", 0, target)

    assert not got.any()


@ON_ALL
def test_no_function_of_a_library_is_called(target: Target) -> None:
    """Rule: a kernel is self-contained."""
    for padding in ("zeros", "border", "reflection"):
        kernel = GridSample(1, 2, (4, 5), 7, "linear", padding, align_corners=False, lanes=target.lanes)
        assert undefined_symbols(kernel, target) == set()
        near = GridSample(1, 2, (4, 5), 7, "nearest", padding, align_corners=True, lanes=target.lanes)
        assert undefined_symbols(near, target) == set()


@ON_ALL
@PADDINGS
def test_rows_longer_than_float32_can_count_are_not_read_beyond(padding: Padding, target: Target) -> None:
    """Attack: of 2^24 + 4 elements the last has a number that float32 rounds up to one that is outside."""
    size = (1, (1 << 24) + 4)
    got = np.full((1, 1, 1, 2), -7, np.float32)
    kernel = GridSample(1, 1, size, 2, "nearest", padding, align_corners=True, lanes=target.lanes)

    run_kernel(kernel, target, [np.zeros((1, 1, *size), np.float32), np.ones((1, 1, 2, 2), np.float32)], [got])

    assert not got.any()
