"""Kernels that pick, place and run along an axis, against numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.kernels import run_kernel, targets_here, undefined_symbols

from alula.base.tensors import DType
from alula.engine.kernels.extreme_place import ExtremePlace
from alula.engine.kernels.placed import OneHot, TurnSequences, triangle
from alula.engine.kernels.running import Running
from alula.engine.kernels.target import Target
from alula.engine.kernels.top_k import TopK

Array = np.ndarray[Any, Any]
ON_ALL = pytest.mark.parametrize("target", targets_here(), ids=lambda t: t.name)
SHAPES = pytest.mark.parametrize("shape", [(1, 1, 1), (3, 100, 1), (2, 7, 5), (1, 9, 130)])


def numbers(*shape: int, dtype: Any = np.float32) -> Array:
    """Small numbers with many equals."""
    return np.random.default_rng(1).integers(-9 if np.dtype(dtype).kind != "u" else 0, 9, shape).astype(dtype)


@ON_ALL
@SHAPES
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8])
@pytest.mark.parametrize("last", [False, True])
def test_the_place_of_an_extreme_is_found(
    shape: tuple[int, int, int], dtype: Any, target: Target, *, last: bool
) -> None:
    """Rule: the first of equals, or the last; NaN counts as the extreme."""
    x = numbers(*shape, dtype=dtype)
    if x.dtype.kind == "f" and x.size > 1:
        x[0, -3:, 0] = np.nan
    for kind, function in (("max", np.argmax), ("min", np.argmin)):
        want = x.shape[1] - 1 - function(np.flip(x, 1), 1) if last else function(x, 1)
        got = np.full((shape[0], shape[2]), -1)

        kernel = ExtremePlace("max" if kind == "max" else "min", DType(x.dtype.name), *shape, last)
        run_kernel(kernel, target, [x], [got], pieces=3)

        np.testing.assert_array_equal(got, want)


@ON_ALL
@pytest.mark.parametrize("length", [16, 17, 31, 64, 65, 100, 1000])
@pytest.mark.parametrize("last", [False, True])
def test_rows_of_equals_have_their_first_and_their_last(length: int, target: Target, *, last: bool) -> None:
    """Rule: places decide among equals, NaN among NaN too, wherever in a register they stand."""
    random = np.random.default_rng(length)
    x = random.integers(0, 3, (40, length, 1)).astype(np.float32)
    x[20:][random.random((20, length, 1)) < 3 / length] = np.nan
    x[0] = 1
    want = length - 1 - np.argmax(np.flip(x, 1), 1) if last else np.argmax(x, 1)
    got = np.full((40, 1), -1)

    run_kernel(ExtremePlace("max", DType.FLOAT32, 40, length, 1, last), target, [x], [got], pieces=3)

    np.testing.assert_array_equal(got, want)


@ON_ALL
@SHAPES
@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.int8, np.uint32])
@pytest.mark.parametrize("largest", [False, True])
def test_the_first_k_are_in_order(shape: tuple[int, int, int], dtype: Any, target: Target, *, largest: bool) -> None:
    """Rule: lower positions first among equals, any k up to all, NaN above everything."""
    x = numbers(*shape, dtype=dtype)
    if x.dtype.kind == "f" and x.size > 9:
        x[0, 3, 0], x[0, 5, 0], x[0, 1, 0], x[0, 2, 0], x[0, 6, 0] = np.nan, -np.nan, -0.0, 0.0, -np.inf
    order = np.argsort(np.flip(x, 1), 1, kind="stable")
    order = x.shape[1] - 1 - np.flip(order, 1) if largest else np.argsort(x, 1, kind="stable")
    for k in sorted({1, min(3, shape[1]), shape[1]}):
        values, places = np.zeros((shape[0], k, shape[2]), dtype), np.zeros((shape[0], k, shape[2]), np.int64)

        run_kernel(TopK(DType(x.dtype.name), *shape, k, largest), target, [x], [values, places], pieces=2)

        np.testing.assert_array_equal(places, order[:, :k])
        np.testing.assert_array_equal(values, np.take_along_axis(x, order[:, :k], 1))


@ON_ALL
@pytest.mark.parametrize("extreme", [np.iinfo(np.int32).min, np.iinfo(np.int32).max])
def test_the_ends_of_a_type_are_sorted_too(extreme: int, target: Target) -> None:
    """Rule: keys of the ends do not collide with those of nothing."""
    x = np.array([[[0], [extreme], [extreme]]], np.int32)
    values, places = np.zeros((1, 3, 1), np.int32), np.zeros((1, 3, 1), np.int64)

    run_kernel(TopK(DType.INT32, 1, 3, 1, 3), target, [x], [values, places])

    assert values.ravel().tolist() == sorted(x.ravel().tolist(), reverse=True)
    assert places.ravel().tolist() == ([1, 2, 0] if extreme > 0 else [0, 1, 2])


@ON_ALL
@SHAPES
@pytest.mark.parametrize("dtype", [np.float64, np.int32])
@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_sums_and_products_run_along_an_axis(
    shape: tuple[int, int, int], dtype: Any, target: Target, *, exclusive: bool, reverse: bool
) -> None:
    """Rule: from either end, with the element itself or without."""
    x = (numbers(*shape, dtype=dtype) % 3).astype(dtype)
    for kind, function, neutral in (("add", np.cumsum, 0), ("mul", np.cumprod, 1)):
        turned = np.flip(x, 1) if reverse else x
        want = function(turned, 1, dtype=dtype)
        if exclusive:
            want = np.concatenate([np.full_like(want[:, :1], neutral), want[:, :-1]], 1)
        got = np.zeros_like(x)

        kernel = Running("add" if kind == "add" else "mul", DType(x.dtype.name), *shape, exclusive, reverse)
        run_kernel(kernel, target, [x], [got], pieces=2)

        np.testing.assert_array_equal(got, np.flip(want, 1) if reverse else want)


@ON_ALL
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8])
@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize(("outer", "depth", "inner"), [(5, 10, 1), (2, 7, 9), (1, 1, 1), (3, 1000, 1)])
def test_one_place_is_on(outer: int, depth: int, inner: int, dtype: Any, index: Any, target: Target) -> None:
    """Rule: indices from either end; one from outside is on nowhere, whatever it is."""
    indices = np.random.default_rng(2).integers(-depth - 2, depth + 2, (outer, inner)).astype(index)
    indices[0, 0] = np.iinfo(index).min
    values = np.array([3, 7], dtype)
    turned = np.where(indices < 0, indices.astype(np.int64) + depth, indices)
    want = np.where(turned[:, None] == np.arange(depth)[:, None], values[1], values[0])
    got = np.zeros((outer, depth, inner), dtype)

    run_kernel(OneHot(outer, depth, inner, got.itemsize, indices.itemsize), target, [indices, values], [got], pieces=2)

    np.testing.assert_array_equal(got, want)


@ON_ALL
@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("k", [-9, -2, 0, 1, 3, 99, 2**62, -(2**62)])
@pytest.mark.parametrize("dtype", [np.float32, np.int8])
def test_triangles_are_cut_out(k: int, dtype: Any, target: Target, *, upper: bool) -> None:
    """Rule: any diagonal, known or computed, of matrices that are not square."""
    x = numbers(2, 5, 7, dtype=dtype)
    near = max(-99, min(k, 99))
    want = np.triu(x, near) if upper else np.tril(x, near)
    for diagonal, inputs in ((k, [x]), (None, [x, np.array([k])])):
        got = np.full_like(x, 55)

        run_kernel(triangle(x.shape, x.itemsize, upper=upper, diagonal=diagonal), target, inputs, [got], pieces=2)

        np.testing.assert_array_equal(got, want)


@ON_ALL
@pytest.mark.parametrize("time_first", [False, True])
@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_sequences_are_turned_round(index: Any, target: Target, *, time_first: bool) -> None:
    """Rule: the first steps of each sample; lengths beyond the ends are the ends."""
    x = numbers(4, 6, 5)
    lengths = np.array([0, 3, 6, 99, -5, 1][: 6 if time_first else 4], index)
    want = x.copy()
    for sample, length in enumerate(np.clip(lengths, 0, 4 if time_first else 6)):
        at = (slice(0, length), sample) if time_first else (sample, slice(0, length))
        want[at] = x[at][::-1]
    got = np.zeros_like(x)
    batch, steps = (6, 4) if time_first else (4, 6)

    run_kernel(TurnSequences(batch, steps, 20, lengths.itemsize, time_first), target, [x, lengths], [got], pieces=2)

    np.testing.assert_array_equal(got, want)


@ON_ALL
def test_no_function_of_a_library_is_called(target: Target) -> None:
    """Rule: a kernel is self-contained."""
    for kernel in (
        TopK(DType.FLOAT32, 2, 37, 3, 5),
        ExtremePlace("max", DType.FLOAT64, 2, 37, 3),
        Running("mul", DType.INT64, 2, 37, 3),
        OneHot(2, 300, 3, 4, 8),
        triangle((2, 3, 4), 8, upper=True, diagonal=None),
    ):
        assert undefined_symbols(kernel, target) == set()
