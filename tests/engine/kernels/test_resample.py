"""Interpolation by tables against numpy, element by element."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.kernels import run_kernel, targets_here, undefined_symbols

from alula.engine.kernels.resample import Resample
from alula.engine.kernels.target import Target

Array = np.ndarray[Any, Any]
ON_ALL = pytest.mark.parametrize("target", targets_here(), ids=lambda t: t.name)


def tables(before: int, after: int, taps: int) -> tuple[Array, Array]:
    """Any inputs with any weights."""
    chance = np.random.default_rng(before * 100 + after + taps)
    weights = chance.uniform(-1, 1, (after, taps)) if taps > 1 else np.ones((after, 1))
    return chance.integers(0, before, (after, taps)).astype(np.int32), weights.astype(np.float32)


def by_vectors(table: Array, lanes: int) -> Array:
    """A table of columns as plain rows read it: [taps, columns padded to whole vectors]."""
    return np.ascontiguousarray(np.pad(table.T, ((0, 0), (0, -len(table) % lanes))))


@ON_ALL
@pytest.mark.parametrize("layout", ["blocked", "plain", "channels last"])
@pytest.mark.parametrize("taps", [(1, 1), (2, 2), (4, 4), (1, 2), (2, 1), (11, 9)])
@pytest.mark.parametrize("size", [((1, 1), (1, 1)), ((5, 7), (9, 33)), ((6, 40), (3, 5)), ((3, 17), (20, 16))])
def test_outputs_are_weighted_sums_over_the_tables(
    size: tuple[tuple[int, int], tuple[int, int]], taps: tuple[int, int], layout: str, target: Target
) -> None:
    """Rule: no element of another plane or row is read or written, whatever does not divide."""
    (height, width), (rows, columns) = size
    block = {"blocked": target.lanes, "plain": 1, "channels last": 21}[layout]
    x = np.random.default_rng(1).standard_normal((3, height, width, block)).astype(np.float32)
    (ri, rw), (ci, cw) = tables(height, rows, taps[0]), tables(width, columns, taps[1])
    kernel = Resample(3, size[0], size[1], taps, (taps[0] == 1, taps[1] == 1), block)
    placed = [ci, cw] if block > 1 else [by_vectors(ci, target.lanes), by_vectors(cw, target.lanes)]
    got = np.full((3, rows, columns, block), -7, np.float32)

    run_kernel(kernel, target, [x, ri, rw, *placed], [got], pieces=3)

    want = np.einsum("pytwb,yt->pywb", x.astype(np.float64)[:, ri], rw)
    want = np.einsum("pyxtb,xt->pyxb", want[:, :, ci], cw)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@ON_ALL
def test_copied_elements_keep_their_bits(target: Target) -> None:
    """Rule: nearest neighbours are no arithmetic: NaN and infinities stay where they are."""
    x = np.asarray([np.nan, np.inf, -0.0, 1e-42], np.float32).reshape(1, 2, 2, 1)
    numbers, weights = tables(2, 5, 1)
    got = np.empty((1, 5, 5, 1), np.float32)

    run_kernel(
        Resample(1, (2, 2), (5, 5), (1, 1), (True, True), 1),
        target,
        [x, numbers, weights, by_vectors(numbers, target.lanes), by_vectors(weights, target.lanes)],
        [got],
    )

    want = x[:, numbers[:, 0]][:, :, numbers[:, 0]]
    np.testing.assert_array_equal(got.view(np.int32), want.view(np.int32))


@ON_ALL
def test_no_function_of_a_library_is_called(target: Target) -> None:
    """Rule: a kernel is self-contained."""
    for block in (1, target.lanes):
        assert undefined_symbols(Resample(2, (5, 6), (7, 9), (9, 2), (False, False), block), target) == set()
