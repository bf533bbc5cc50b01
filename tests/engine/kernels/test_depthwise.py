"""Depthwise convolution against sums in float64."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.kernels import assembly, from_blocks, run_kernel, targets_here, to_blocks, undefined_symbols

from alula.engine.graph.formula import FormulaBuilder
from alula.engine.kernels.depthwise import Depthwise, pack_depthwise
from alula.engine.kernels.target import Target

Array = np.ndarray[Any, Any]
ON_ALL = pytest.mark.parametrize("target", targets_here(), ids=lambda t: t.name)


def reference(k: Depthwise, x: Array, weights: Array, bias: Array) -> Array:
    """The definition: a sum over taps of the zero-padded map."""
    reach_h = (k.out_h - 1) * k.stride_h + (k.kernel_h - 1) * k.dilation_h + 1
    reach_w = (k.out_w - 1) * k.stride_w + (k.kernel_w - 1) * k.dilation_w + 1
    padded = np.zeros((k.batch, k.channels, max(reach_h, k.pad_top + k.in_h), max(reach_w, k.pad_left + k.in_w)))
    padded[:, :, k.pad_top : k.pad_top + k.in_h, k.pad_left : k.pad_left + k.in_w] = x
    total = np.zeros((k.batch, k.channels, k.out_h, k.out_w)) + bias[:, None, None]
    for i in range(k.kernel_h):
        for j in range(k.kernel_w):
            rows = padded[:, :, i * k.dilation_h :: k.stride_h, j * k.dilation_w :: k.stride_w]
            total += rows[:, :, : k.out_h, : k.out_w] * weights[:, 0, i, j, None, None]
    return total


def run(k: Depthwise, target: Target, x: Array, weights: Array, bias: Array, *extras: Array) -> Array:
    """The kernel's result as a plain tensor; padding lanes of the inputs are NaN."""
    got = to_blocks(np.full((k.batch, k.channels, k.out_h, k.out_w), np.nan, np.float32), target.lanes)
    packed = pack_depthwise(weights, bias, target.lanes, k.in_w)
    inputs = [to_blocks(array, target.lanes, np.nan) for array in (x, *extras)]
    run_kernel(k, target, [*inputs, packed], [got], pieces=3)
    return from_blocks(got, k.channels)


def operands(k: Depthwise) -> tuple[Array, Array, Array]:
    """Map, weights and bias of the kernel's shapes."""
    random = np.random.default_rng(7)
    shapes = (k.batch, k.channels, k.in_h, k.in_w), (k.channels, 1, k.kernel_h, k.kernel_w), (k.channels,)
    x, weights, bias = (random.standard_normal(shape).astype(np.float32) for shape in shapes)
    return x, weights, bias


@st.composite
def kernels(draw: st.DrawFn) -> tuple[Depthwise, Target]:
    """Any window over small maps, and a target."""
    target = draw(st.sampled_from(targets_here()))
    taps = [draw(st.sampled_from([1, 2, 3, 5, 7])) for _ in "hw"]
    stride = [draw(st.integers(1, 3)) for _ in "hw"]
    dilation = [draw(st.integers(1, 2)) for _ in "hw"]
    pads = [draw(st.integers(0, 2)) for _ in range(4)]
    size = [draw(st.sampled_from([1, 2, 5, 7, 13, 31])) for _ in "hw"]
    span = [(t - 1) * d + 1 for t, d in zip(taps, dilation, strict=True)]
    size = [max(n, s - a - b) for n, s, a, b in zip(size, span, pads[:2], pads[2:], strict=True)]
    out = [(n + a + b - s) // t + 1 for n, a, b, s, t in zip(size, pads[:2], pads[2:], span, stride, strict=True)]
    channels, batch = draw(st.sampled_from([1, 5, 16, 35])), draw(st.integers(1, 2))
    (h, w), (out_h, out_w), (kh, kw), (sh, sw), (dh, dw) = size, out, taps, stride, dilation
    top, left = pads[:2]
    block = target.lanes
    return Depthwise(channels, h, w, out_h, out_w, kh, kw, sh, sw, dh, dw, top, left, batch, block), target


@settings(max_examples=50, deadline=None)
@given(kernels())
def test_any_window_agrees_with_the_definition(situation: tuple[Depthwise, Target]) -> None:
    """Rule: strides, dilations, one-sided pads, tiny maps and odd channel counts all follow the definition."""
    kernel, target = situation
    arrays = operands(kernel)

    got = run(kernel, target, *arrays)

    np.testing.assert_allclose(got, reference(kernel, *arrays), rtol=1e-5, atol=2e-5)


@ON_ALL
@pytest.mark.parametrize(("taps", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2)])
def test_wide_maps_use_the_loop_over_inner_tiles(taps: int, stride: int, target: Target) -> None:
    """Rule: tiles away from the borders run in a loop and meet the border tiles exactly."""
    pad, size = taps // 2, 112
    out = (size - 1) // stride + 1
    low, low_out = size // 16, (size // 16 - 1) // stride + 1
    kernel = Depthwise(5, low, size, low_out, out, taps, taps, stride, stride, 1, 1, pad, pad, 1, target.lanes)
    arrays = operands(kernel)

    got = run(kernel, target, *arrays)

    np.testing.assert_allclose(got, reference(kernel, *arrays), rtol=1e-5, atol=2e-5)


@ON_ALL
def test_the_epilogue_sees_the_sum_and_the_extra_tensors(target: Target) -> None:
    """Rule: register 0 is the sum with its bias, register 1 the first extra tensor."""
    b = FormulaBuilder(2)
    total, extra = b.arguments()
    b.add(b.clamp(total, 0.0, 6.0), b.mul(extra, 3.0))
    kernel = Depthwise(9, 6, 6, 6, 6, 3, 3, 1, 1, 1, 1, 1, 1, 2, target.lanes, b.build(), 1)
    x, weights, bias = operands(kernel)

    got = run(kernel, target, x, weights, bias, x)

    np.testing.assert_allclose(got, reference(kernel, x, weights, bias).clip(0, 6) + 3 * x, rtol=1e-5, atol=2e-5)


@ON_ALL
def test_a_dear_epilogue_gives_the_same(target: Target) -> None:
    """Rule: a formula that runs over the finished row sees the same registers."""
    b = FormulaBuilder(2)
    total, extra = b.arguments()
    b.mul(extra, b.div(1.0, b.add(1.0, b.exp(b.neg(total)))))
    kernel = Depthwise(9, 6, 6, 6, 6, 3, 3, 1, 1, 1, 1, 1, 1, 2, target.lanes, b.build(), 1)
    x, weights, bias = operands(kernel)

    got = run(kernel, target, x, weights, bias, x)

    np.testing.assert_allclose(got, x / (1 + np.exp(-reference(kernel, x, weights, bias))), rtol=1e-5, atol=1e-6)


@ON_ALL
def test_no_function_of_a_library_is_called(target: Target) -> None:
    """Rule: a kernel is self-contained."""
    kernel = Depthwise(9, 16, 16, 16, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1, target.lanes)

    assert undefined_symbols(kernel, target) == set()


@pytest.mark.skipif(targets_here()[0].lanes < 16, reason="needs AVX-512")
@pytest.mark.parametrize("taps", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_tiles_keep_their_sums_in_registers(taps: int, stride: int) -> None:
    """Rule: hardly a vector register is spilled.

    Counted are instructions of the whole kernel that move a 512-bit register to or from the stack; the bound is one for
    every hundred multiply-adds, below what can be measured. Sums that do not fit cost dozens.
    """
    kernel = Depthwise(32, 112, 112, 112, 112, taps, taps, pad_top=taps // 2, pad_left=taps // 2)
    kernel = replace(kernel, stride_h=stride, stride_w=stride, out_h=112 // stride, out_w=112 // stride)

    text = assembly(kernel, targets_here()[0])

    spills = [line for line in text.splitlines() if "(%rsp)" in line and "%zmm" in line]
    assert len(spills) * 100 <= len(re.findall("vfmadd", text))
