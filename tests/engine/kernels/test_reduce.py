"""Reductions against numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.kernels import run_kernel, targets_here, undefined_symbols

from alula.base.tensors import DType
from alula.engine.kernels.reduce import Reduce, ReduceKind, collapse_axes
from alula.engine.kernels.target import Target

Array = np.ndarray[Any, Any]
ON_ALL = pytest.mark.parametrize("target", targets_here(), ids=lambda t: t.name)

DEFINITIONS: dict[ReduceKind, Callable[[Array, tuple[int, ...]], Any]] = {
    "sum": lambda x, a: x.sum(a),
    "mean": lambda x, a: x.mean(a),
    "max": lambda x, a: x.max(a),
    "min": lambda x, a: x.min(a),
    "prod": lambda x, a: x.prod(a),
    "l1": lambda x, a: np.abs(x).sum(a),
    "l2": lambda x, a: np.sqrt((x * x).sum(a)),
    "sum_square": lambda x, a: (x * x).sum(a),
    "log_sum": lambda x, a: np.log(x.sum(a)),
    "log_sum_exp": lambda x, a: np.log(np.exp(x).sum(a)),
}
CASES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((7,), (0,)),
    ((1000,), (0,)),
    ((3, 5000), (1,)),
    ((5, 3), (1,)),
    ((4, 67), (0,)),
    ((3, 9, 130), (1,)),
    ((2, 3, 5, 7), (0, 2)),
    ((2, 3, 5, 7), (1, 3)),
    ((2, 3, 4, 5, 6), (0, 2, 4)),
    ((4, 6), ()),
    ((1, 1), (0, 1)),
]


def run(kind: ReduceKind, x: Array, axes: tuple[int, ...], target: Target) -> Array:
    """The kernel's result."""
    got = np.full([n for axis, n in enumerate(x.shape) if axis not in axes] or [1], 99, x.dtype)
    run_kernel(Reduce(kind, DType(x.dtype.name), *collapse_axes(x.shape, axes)), target, [x], [got], pieces=3)
    return got


@ON_ALL
@pytest.mark.parametrize(("shape", "axes"), CASES)
@pytest.mark.parametrize("kind", list(DEFINITIONS))
def test_reductions_agree_with_the_definition(
    kind: ReduceKind, shape: tuple[int, ...], axes: tuple[int, ...], target: Target
) -> None:
    """Rule: any axes, neighbours or not, rows and columns of any length."""
    random = np.random.default_rng(1)
    near_one = kind in {"prod", "log_sum"}
    x = (random.uniform(0.9, 1.1, shape) if near_one else random.standard_normal(shape)).astype(np.float32)

    got = run(kind, x, axes, target)

    want = np.asarray(DEFINITIONS[kind](x.astype(np.float64), axes))
    scale = np.sqrt(max(1, x.size / got.size))
    np.testing.assert_allclose(got.reshape(want.shape), want, rtol=1e-5, atol=1e-6 * scale)


@ON_ALL
@pytest.mark.parametrize("dtype", ["float64", "int32", "int64", "int8", "uint8"])
@pytest.mark.parametrize("kind", ["sum", "max", "min", "prod", "l1", "sum_square"])
def test_other_element_types_are_reduced_too(kind: ReduceKind, dtype: str, target: Target) -> None:
    """Rule: integers wrap in their own type."""
    x = np.random.default_rng(2).integers(0, 9, (3, 37, 5)).astype(dtype)
    if not dtype.startswith("u"):
        x = (x - 4).astype(dtype)

    for axes in ((1,), (0, 2), (0, 1, 2)):
        got = run(kind, x, axes, target)

        exact = np.asarray(DEFINITIONS[kind](x.astype(np.int64 if dtype[0] != "f" else dtype), axes))
        np.testing.assert_allclose(got.reshape(exact.shape), exact.astype(dtype), rtol=1e-12)


@ON_ALL
def test_the_mean_of_integers_is_rounded_towards_0(target: Target) -> None:
    """Rule: as a conversion of the exact mean."""
    x = np.random.default_rng(2).integers(-9, 9, (3, 37, 5))

    for axes in ((1,), (0, 2)):
        assert run("mean", x, axes, target).tolist() == np.trunc(x.mean(axes)).tolist()


@ON_ALL
def test_booleans_have_extremes(target: Target) -> None:
    """Rule: the largest boolean says "any", the smallest "all"."""
    x = np.random.default_rng(3).random((4, 33)) > 0.05

    assert run("max", x, (1,), target).tolist() == x.any(1).tolist()
    assert run("min", x, (0,), target).tolist() == x.all(0).tolist()


@ON_ALL
@pytest.mark.parametrize("axes", [(0,), (1,)])
@pytest.mark.parametrize("kind", ["sum", "max", "min", "mean", "log_sum_exp", "l2"])
def test_nan_and_infinities_reach_their_result_only(kind: ReduceKind, axes: tuple[int, ...], target: Target) -> None:
    """Rule: NaN wins, infinities are kept, other results see nothing of them."""
    x = np.random.default_rng(4).standard_normal((37, 37)).astype(np.float32)
    x[3, 36], x[36, 4], x[5, 5] = np.nan, np.inf, -np.inf

    got = run(kind, x, axes, target)

    with np.errstate(all="ignore"):
        np.testing.assert_allclose(got, DEFINITIONS[kind](x.astype(np.float64), axes), rtol=1e-5, atol=1e-5)


@ON_ALL
def test_powers_of_large_numbers_do_not_overflow(target: Target) -> None:
    """Rule: the largest is taken off before raising; a row of -inf has the logarithm of nothing."""
    x = np.array([[1000.0, 1000.0], [-1000.0, -1000.0], [-np.inf, -np.inf]], np.float32)

    got = run("log_sum_exp", x, (1,), target)

    np.testing.assert_allclose(got, [1000 + np.log(2), -1000 + np.log(2), -np.inf], rtol=1e-6)


@ON_ALL
def test_a_long_sum_is_as_right_as_one_in_blocks(target: Target) -> None:
    """Rule: the error of a sum of a million numbers stays near the rounding of one."""
    x = np.full((1 << 20,), 0.1, np.float32)

    got = run("sum", x, (0,), target)

    np.testing.assert_allclose(got, [np.float64(np.float32(0.1)) * (1 << 20)], rtol=2e-6)


def test_neighbouring_axes_are_joined() -> None:
    """Rule: what is walked through in one go is one axis, and axes of 1 are none."""
    assert collapse_axes((2, 3, 1, 4, 5), (1, 2)) == ((2, 3, 20), (False, True, False))
    assert collapse_axes((1, 3, 4), (1, 2)) == ((12,), (True,))
    assert collapse_axes((), ()) == ((1,), (False,))


@ON_ALL
def test_no_function_of_a_library_is_called(target: Target) -> None:
    """Rule: a kernel is self-contained."""
    for kind in DEFINITIONS:
        assert undefined_symbols(Reduce(kind, DType.FLOAT32, (3, 37, 5), (False, True, False)), target) == set()
        assert undefined_symbols(Reduce(kind, DType.FLOAT32, (3, 37), (False, True)), target) == set()
