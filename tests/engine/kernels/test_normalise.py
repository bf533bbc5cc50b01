"""Normalised rows against float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.kernels import run_kernel, targets_here, undefined_symbols

from alula.engine.kernels.normalise import NormaliseRows
from alula.engine.kernels.target import Target

Array = np.ndarray[Any, Any]
ON_ALL = pytest.mark.parametrize("target", targets_here(), ids=lambda t: t.name)


def reference(k: NormaliseRows, x: Array, scale: Array, shift: Array) -> Array:
    """The definition."""
    wide = x.astype(np.float64).reshape(k.rows, -1)
    if k.centred:
        wide = wide - wide.mean(1, keepdims=True)
    wide = wide / np.sqrt((wide * wide).mean(1, keepdims=True) + k.epsilon)
    y = wide.reshape(k.rows // k.groups, k.groups, k.channels, k.pixels)
    y = y * scale[..., None] if k.scaled else y
    return np.asarray((y + shift[..., None] if k.shifted else y).reshape(x.shape))


def posed(k: NormaliseRows, offset: float = 0.0) -> tuple[Array, Array, Array]:
    """x, scale and shift."""
    random = np.random.default_rng(8)
    x = random.standard_normal((k.rows, k.channels * k.pixels)) + offset
    scale, shift = random.standard_normal((2, k.groups, k.channels))
    return x.astype(np.float32), scale.astype(np.float32), shift.astype(np.float32)


def run(k: NormaliseRows, target: Target, arrays: tuple[Array, Array, Array]) -> Array:
    """The kernel's result."""
    x, scale, shift = arrays
    got = np.full_like(x, 99)
    run_kernel(k, target, [x, *[scale] * k.scaled, *[shift] * k.shifted], [got], pieces=3)
    return got


@ON_ALL
@pytest.mark.parametrize("kernel", [
    NormaliseRows(5, 768, 1, 1, 1e-5),
    NormaliseRows(3, 37, 1, 1, 1e-3, centred=False, shifted=False),
    NormaliseRows(4, 1, 1, 2, 1e-5),
    NormaliseRows(6, 1, 49, 3, 1e-5),
    NormaliseRows(4, 3, 50, 2, 1e-5),
    NormaliseRows(4, 3, 5, 2, 1e-5, shifted=False),
    NormaliseRows(2, 1, 70_000, 1, 1e-6, scaled=False, shifted=False),
    NormaliseRows(2, 5, 7, 1, 1e-6, scaled=False),
])  # fmt: skip
def test_rows_agree_with_the_definition(kernel: NormaliseRows, target: Target) -> None:
    """Rule: any length, parameters by element or by channel, with or without mean, scale and shift."""
    arrays = posed(kernel)

    got = run(kernel, target, arrays)

    np.testing.assert_allclose(got, reference(kernel, *arrays), rtol=1e-5, atol=1e-5)


@ON_ALL
def test_a_large_mean_does_not_drown_the_variance(target: Target) -> None:
    """Rule: the variance is that of the differences, not the difference of two large sums."""
    kernel = NormaliseRows(2, 1, 1000, 1, 1e-5)
    arrays = posed(kernel, offset=1000.0)

    got = run(kernel, target, arrays)

    np.testing.assert_allclose(got, reference(kernel, *arrays), rtol=1e-3, atol=2e-4)


@ON_ALL
@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_a_nan_or_an_infinity_spoils_its_row_only(odd: float, target: Target) -> None:
    """Rule: other rows see nothing of it."""
    kernel = NormaliseRows(3, 37, 1, 1, 1e-5)
    x, scale, shift = posed(kernel)
    x[1, 36] = odd

    got = run(kernel, target, (x, scale, shift))

    assert np.isnan(got[1]).any()
    assert np.isfinite(got[[0, 2]]).all()


@ON_ALL
def test_no_function_of_a_library_is_called(target: Target) -> None:
    """Rule: a kernel is self-contained."""
    assert undefined_symbols(NormaliseRows(2, 3, 50, 1, 1e-5), target) == set()
