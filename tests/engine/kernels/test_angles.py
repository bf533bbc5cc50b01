"""Angles, hyperbolic functions and powers against float64, over all of float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.kernels import run_kernel, targets_here, undefined_symbols

from alula.engine.graph.formula import Formula, Register, Step
from alula.engine.kernels.elementwise import Access, Elementwise
from alula.engine.kernels.target import Target

Array = np.ndarray[Any, Any]
ON_ALL = pytest.mark.parametrize("target", targets_here(), ids=lambda t: t.name)
INF, NAN = np.inf, np.nan
TRUTH: dict[str, Callable[[Array], Array]] = {
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
    "sinh": np.sinh, "cosh": np.cosh, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh,
}  # fmt: skip
# First the float nearest to a multiple of pi/2 (J.-M. Muller, "Elementary Functions", 2006), then low multiples.
HARD = [16367173 * 2.0**72, 6.2831855, 3.1415927, 1.5707964, 0.7853982]


def applied(op: str, target: Target, *arrays: Array) -> Array:
    """Run one primitive over vectors of float32."""
    result = np.empty_like(arrays[0])
    operands = tuple(Register(index) for index in range(len(arrays)))
    kernel = Elementwise(Formula(len(arrays), (Step(op, operands),)), result.shape, (Access((1,)),) * len(arrays))
    run_kernel(kernel, target, arrays, [result])
    return result


def arguments(op: str) -> Array:
    """Any bits, and more where the function is not NaN or flat."""
    chance = np.random.default_rng(5)
    bits = chance.integers(0, 1 << 32, 40000, np.uint64).astype(np.uint32).view(np.float32)
    low, high = {"asin": (-1, 1), "acos": (-1, 1), "atanh": (-1, 1), "acosh": (1, 9), "sinh": (-90, 90),
                 "cosh": (-90, 90)}.get(op, (-100, 100))  # fmt: skip
    near = [np.geomspace(1e-37, 1, 2000), 1 - np.geomspace(1e-7, 1, 2000), 1 + np.geomspace(1e-7, 1, 2000)]
    edges = [0.0, -0.0, 1.0, -1.0, INF, -INF, NAN, 3.4e38, -3.4e38, *HARD]
    parts = [bits, chance.uniform(low, high, 40000), *near, *(-part for part in near), edges]
    return np.concatenate([np.asarray(part, np.float32) for part in parts])


def worst(got: Array, exact: Array) -> float:
    """The largest distance in units of the float32 spacing; what is not finite must be so on both sides."""
    with np.errstate(all="ignore"):
        rounded = exact.astype(np.float32)
        normal = np.isfinite(rounded) & (np.abs(rounded) >= np.finfo(np.float32).tiny)
        np.testing.assert_array_equal(got[~normal & ~(np.abs(rounded) > 0)], rounded[~normal & ~(np.abs(rounded) > 0)])
        np.testing.assert_array_equal(got[np.isinf(rounded)], rounded[np.isinf(rounded)])
        distance = np.abs(got[normal] - exact[normal]) / np.spacing(np.abs(rounded[normal])).astype(np.float64)
    return float(distance.max())


@ON_ALL
@pytest.mark.parametrize("op", sorted(TRUTH))
def test_errors_stay_below_what_the_file_states(op: str, target: Target) -> None:
    """Rule: within 4 ulp for every float32, however large the angle."""
    x = arguments(op)

    got = applied(op, target, x)

    with np.errstate(all="ignore"):
        assert worst(got, TRUTH[op](x.astype(np.float64))) <= 4.0


@ON_ALL
@pytest.mark.parametrize("op", ["sin", "tan", "asin", "atan", "sinh", "asinh", "atanh"])
def test_odd_functions_keep_the_sign_of_zero(op: str, target: Target) -> None:
    """Rule: f(-0) is -0."""
    zeros = np.array([0.0, -0.0], np.float32)

    assert np.signbit(applied(op, target, zeros)).tolist() == [False, True]


@ON_ALL
def test_powers_are_rounded_nearly_right(target: Target) -> None:
    """Rule: within 1 ulp, overflow and underflow included."""
    chance = np.random.default_rng(6)
    x = np.concatenate(
        [chance.uniform(0, 10, 20000), chance.uniform(-5, 5, 20000), np.exp(chance.uniform(-80, 80, 20000))]
    )
    y = np.concatenate([chance.uniform(-10, 10, 20000), chance.integers(-9, 9, 20000), chance.uniform(-2, 2, 20000)])
    pair = [x.astype(np.float32), y.astype(np.float32)]

    got = applied("pow", target, *pair)

    with np.errstate(all="ignore"):
        assert worst(got, np.power(pair[0].astype(np.float64), pair[1].astype(np.float64))) <= 1.0


@ON_ALL
def test_special_powers_are_those_of_the_standard(target: Target) -> None:
    """Rule: IEEE 754, 9.2.1: signs of zeros and infinities, roots of negative numbers, 1 to the NaN."""
    numbers = np.array(
        [0.0, -0.0, 1, -1, 2, -2, 0.5, -0.5, 3, -3, INF, -INF, NAN, 1e30, -1e30, 16777217, 3e38], np.float32
    )
    x, y = (grid.reshape(-1).copy() for grid in np.meshgrid(numbers, numbers))

    got = applied("pow", target, x, y)

    with np.errstate(all="ignore"):
        want = np.power(x.astype(np.float64), y.astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(got, want, rtol=1e-7, atol=1e-37)
    flat = (want == 0) | np.isinf(want)
    np.testing.assert_array_equal(np.signbit(got[flat]), np.signbit(want[flat]))


@ON_ALL
@pytest.mark.parametrize("op", sorted(TRUTH))
def test_no_function_of_a_library_is_called(op: str, target: Target) -> None:
    """Rule: a plan runs without libm; the table is in its own image."""
    kernel = Elementwise(Formula(1, (Step(op, (Register(0),)),)), (100,), (Access((1,)),))

    assert undefined_symbols(kernel, target) == set()
