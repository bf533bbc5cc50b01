"""Softmax against float64."""

from __future__ import annotations

import numpy as np
import pytest
from support.kernels import run_kernel, targets_here, undefined_symbols

from alula.engine.kernels.softmax import Softmax
from alula.engine.kernels.target import Target

ON_ALL = pytest.mark.parametrize("target", targets_here(), ids=lambda t: t.name)
SHAPES = [(1, 1, 1), (3, 5, 1), (2, 16, 1), (2, 1000, 1), (3, 33, 1), (1, 48, 1), (2, 21, 50), (1, 7, 3), (2, 4, 32)]


def reference(x: np.ndarray) -> np.ndarray:
    """The definition along axis 1, the difference rounded to float32 as its definition over float32 says."""
    with np.errstate(invalid="ignore"):
        powers = np.exp((x - x.max(1, keepdims=True)).astype(np.float64))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def run(x: np.ndarray, target: Target) -> np.ndarray:
    """The kernel over [outer, axis, inner]."""
    got = np.full_like(x, -1)
    run_kernel(Softmax(*x.shape), target, [x], [got], pieces=2)
    return got


@ON_ALL
@pytest.mark.parametrize("shape", SHAPES)
def test_results_agree_with_the_definition(shape: tuple[int, int, int], target: Target) -> None:
    """Rule: rows of any length, and columns at any distance."""
    x = (np.random.default_rng(5).standard_normal(shape) * 20).astype(np.float32)

    np.testing.assert_allclose(run(x, target), reference(x), rtol=2e-6, atol=1e-30)


@ON_ALL
@pytest.mark.parametrize("inner", [1, 3])
@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_a_nan_or_an_infinity_spoils_its_row_only(inner: int, odd: float, target: Target) -> None:
    """Rule: what numpy says of NaN and +inf holds, in the tail of a row too."""
    x = np.random.default_rng(6).standard_normal((2, 37, inner)).astype(np.float32)
    x[1, 36, 0] = odd
    x[0, 3, 0] = -np.inf

    got = run(x, target)

    np.testing.assert_allclose(got[0], reference(x)[0], rtol=2e-6)
    assert np.isnan(got[1, :, 0]).any()
    assert not np.isnan(got[1, :, 1:]).any()


@ON_ALL
@pytest.mark.parametrize("size", [1e30, 88.0, 1e-30])
def test_the_largest_element_is_taken_off_first(size: float, target: Target) -> None:
    """Rule: large arguments do not overflow."""
    x = np.array([[[size], [0.0], [-size]]], np.float32)

    np.testing.assert_allclose(run(x, target), reference(x), rtol=2e-6, atol=1e-37)


@ON_ALL
@pytest.mark.parametrize("shape", SHAPES)
def test_logarithms_agree_with_the_definition(shape: tuple[int, int, int], target: Target) -> None:
    """Rule: the logarithm is right where the power itself has long become 0."""
    x = (np.random.default_rng(5).standard_normal(shape) * 100).astype(np.float32)
    got = np.full_like(x, 9)

    run_kernel(Softmax(*shape, logarithm=True), target, [x], [got], pieces=2)

    lowered = x.astype(np.float64) - x.max(1, keepdims=True)
    np.testing.assert_allclose(got, lowered - np.log(np.exp(lowered).sum(1, keepdims=True)), rtol=2e-6, atol=1e-6)


@ON_ALL
def test_no_function_of_a_library_is_called(target: Target) -> None:
    """Rule: a kernel is self-contained."""
    assert undefined_symbols(Softmax(2, 37), target) == set()
    assert undefined_symbols(Softmax(2, 37, 21), target) == set()
    assert undefined_symbols(Softmax(2, 37, 21, logarithm=True), target) == set()
