"""Pooling against numpy, window by window."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.kernels import from_blocks, run_kernel, targets_here, to_blocks, undefined_symbols

from alula.engine.kernels.global_pool import GlobalPool
from alula.engine.kernels.pool import Pool
from alula.engine.kernels.target import Target

Array = np.ndarray[Any, Any]
ON_ALL = pytest.mark.parametrize("target", targets_here(), ids=lambda t: t.name)


def reference(k: Pool, x: Array) -> Array:
    """The definition, one window at a time."""
    result = np.empty((k.batch, k.channels, k.out_h, k.out_w))
    for i in range(k.out_h):
        for j in range(k.out_w):
            rows = [i * k.stride_h - k.pad_top + r * k.dilation_h for r in range(k.kernel_h)]
            cols = [j * k.stride_w - k.pad_left + c * k.dilation_w for c in range(k.kernel_w)]
            window = x[:, :, [r for r in rows if 0 <= r < k.in_h]][:, :, :, [c for c in cols if 0 <= c < k.in_w]]
            if k.kind == "max":
                result[:, :, i, j] = window.max((2, 3))
                continue
            inside_h = len([r for r in rows if -k.pad_top <= r < k.in_h + k.pad_bottom])
            inside_w = len([c for c in cols if -k.pad_left <= c < k.in_w + k.pad_right])
            count = inside_h * inside_w if k.count_padding else window.shape[2] * window.shape[3]
            result[:, :, i, j] = window.sum((2, 3), dtype=np.float64) / count
    return result


def run(k: Pool, target: Target, x: Array) -> Array:
    """The kernel's result as a plain tensor; padding lanes of the input are NaN."""
    got = to_blocks(np.full((k.batch, k.channels, k.out_h, k.out_w), -7, np.float32), target.lanes)
    run_kernel(k, target, [to_blocks(x, target.lanes, np.nan)], [got], pieces=3)
    return from_blocks(got, k.channels)


def values(shape: tuple[int, ...]) -> Array:
    """Reproducible numbers."""
    return np.random.default_rng(3).standard_normal(shape).astype(np.float32)


@st.composite
def kernels(draw: st.DrawFn) -> tuple[Pool, Target]:
    """Any window that touches the map everywhere, rounded down or up, and a target."""
    target = draw(st.sampled_from(targets_here()))
    axes = []
    for _ in "hw":
        taps, stride, dilation = draw(st.sampled_from([1, 2, 3, 5])), draw(st.integers(1, 3)), draw(st.integers(1, 2))
        span = (taps - 1) * dilation + 1
        before, after = draw(st.integers(0, taps - 1)), draw(st.integers(0, taps - 1))
        before, after = (before, after) if dilation == 1 else (0, 0)
        size = max(draw(st.sampled_from([1, 2, 5, 8, 13, 30])), span - before - after)
        out = (size + before + after - span) // stride + 1
        up = draw(st.booleans()) and dilation == 1 and out * stride < size + before
        axes.append((size, out + up, taps, stride, dilation, before, after))
    (h, out_h, kh, sh, dh, top, bottom), (w, out_w, kw, sw, dw, left, right) = axes
    kind: Literal["max", "average"] = draw(st.sampled_from(["max", "average"]))
    padded, channels, batch = draw(st.booleans()), draw(st.sampled_from([3, 16, 21])), draw(st.integers(1, 2))
    block = target.lanes
    kernel = Pool(
        channels, h, w, out_h, out_w, kh, kw, sh, sw, dh, dw, top, left, batch, block, kind, bottom, right, padded
    )
    return kernel, target


@settings(max_examples=60, deadline=None)
@given(kernels())
def test_any_window_agrees_with_the_definition(situation: tuple[Pool, Target]) -> None:
    """Rule: padding is never part of a maximum, and of a mean's divisor only on demand."""
    kernel, target = situation
    x = values((kernel.batch, kernel.channels, kernel.in_h, kernel.in_w))

    got = run(kernel, target, x)

    np.testing.assert_allclose(got, reference(kernel, x), rtol=1e-5, atol=1e-6)


@ON_ALL
@pytest.mark.parametrize("kind", ["max", "average"])
def test_a_nan_reaches_exactly_the_windows_that_hold_it(kind: Literal["max", "average"], target: Target) -> None:
    """Rule: a NaN is not lost among numbers and does not leave its channel."""
    kernel = Pool(3, 6, 6, 3, 3, 2, 2, 2, 2, block=target.lanes, kind=kind)
    x = values((1, 3, 6, 6))
    x[0, 1, 2, 3] = np.nan

    got = run(kernel, target, x)

    assert np.argwhere(np.isnan(got)).tolist() == [[0, 1, 1, 1]]


@ON_ALL
@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize(("channels", "pixels"), [(5, 1), (33, 3), (16, 4), (40, 49), (3, 1021)])
def test_whole_maps_become_one_number(
    kind: Literal["max", "average"], channels: int, pixels: int, target: Target
) -> None:
    """Rule: every pixel counts once, whatever their number."""
    x = values((2, channels, pixels))
    got = to_blocks(np.full((2, channels, 1), -7, np.float32), target.lanes)
    kernel = GlobalPool(kind, channels, pixels, 2, target.lanes)

    run_kernel(kernel, target, [to_blocks(x, target.lanes, np.nan)], [got], pieces=2)

    want = x.max(2) if kind == "max" else x.mean(2, dtype=np.float64)
    np.testing.assert_allclose(from_blocks(got, channels)[:, :, 0], want, rtol=1e-5, atol=1e-6)


@ON_ALL
def test_no_function_of_a_library_is_called(target: Target) -> None:
    """Rule: a kernel is self-contained."""
    for kind in ("max", "average"):
        kernel = Pool(3, 9, 9, 9, 9, 3, 3, pad_top=1, pad_left=1, block=target.lanes, kind=kind)
        assert undefined_symbols(kernel, target) == set()
        assert undefined_symbols(GlobalPool(kind, 20, 81, 1, target.lanes), target) == set()
