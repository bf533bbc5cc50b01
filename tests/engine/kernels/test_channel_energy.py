"""Sums of squares over neighbouring channels, against float64."""

from __future__ import annotations

import numpy as np
import pytest
from support.kernels import run_kernel, targets_here, undefined_symbols

from alula.engine.graph.formula import FormulaBuilder
from alula.engine.kernels.channel_energy import ChannelEnergy
from alula.engine.kernels.target import Target

ON_ALL = pytest.mark.parametrize("target", targets_here(), ids=lambda t: t.name)


def kernel(shape: tuple[int, int, int], before: int, after: int) -> ChannelEnergy:
    """x / (2 + energy)."""
    b = FormulaBuilder(2)
    x, energy = b.arguments()
    b.div(x, b.add(energy, 2.0))
    return ChannelEnergy(*shape, before, after, b.build())


def reference(x: np.ndarray, before: int, after: int) -> np.ndarray:
    """The definition, channel by channel."""
    wide = x.astype(np.float64)
    channels = range(x.shape[1])
    energy = np.stack([(wide[:, max(0, c - before) : c + after + 1] ** 2).sum(1) for c in channels], 1)
    return np.asarray(wide / (energy + 2))


@ON_ALL
@pytest.mark.parametrize("window", [(0, 0), (2, 2), (1, 2), (9, 9)])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 5, 7), (1, 8, 64), (1, 3, 16 * 9 + 5), (2, 6, 33)])
def test_results_agree_with_the_definition(
    shape: tuple[int, int, int], window: tuple[int, int], target: Target
) -> None:
    """Rule: windows are clipped at the first and last channel of each image, rows may have any length."""
    x = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
    got = np.full_like(x, np.nan)

    run_kernel(kernel(shape, *window), target, [x], [got], pieces=3)

    np.testing.assert_allclose(got, reference(x, *window), rtol=2e-6)


@ON_ALL
def test_a_nan_reaches_the_windows_that_hold_it(target: Target) -> None:
    """Rule: other channels and other pixels keep their numbers."""
    x = np.ones((1, 6, 20), np.float32)
    x[0, 1, 18] = np.nan
    got = np.empty_like(x)

    run_kernel(kernel((1, 6, 20), 1, 1), target, [x], [got])

    spoiled = np.argwhere(np.isnan(got[0])).tolist()
    assert spoiled == [[0, 18], [1, 18], [2, 18]]


@ON_ALL
def test_code_calls_nothing_outside(target: Target) -> None:
    """Rule: a plan is closed in itself."""
    assert undefined_symbols(kernel((1, 6, 20), 2, 2), target) == set()
