"""Pointwise convolution against the matrix product in float64."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.kernels import assembly, from_blocks, run_kernel, targets_here, to_blocks, undefined_symbols

from alula.engine.graph.formula import FormulaBuilder
from alula.engine.kernels.pointwise import Pointwise, pack_pointwise
from alula.engine.kernels.target import Target

Array = np.ndarray[Any, Any]
ON_ALL = pytest.mark.parametrize("target", targets_here(), ids=lambda t: t.name)


def operands(k: Pointwise) -> tuple[Array, Array, Array]:
    """Map, weights and bias of the kernel's shapes."""
    random = np.random.default_rng(3)
    shapes = (k.batch, k.in_channels, k.pixels), (k.out_channels, k.in_channels), (k.out_channels,)
    x, weights, bias = (random.standard_normal(shape).astype(np.float32) for shape in shapes)
    return x, weights, bias


def reference(x: Array, weights: Array, bias: Array) -> Array:
    """The definition."""
    product: Array = np.einsum("kc,ncp->nkp", weights.astype(float), x.astype(float))
    return product + bias[:, None]


def run(k: Pointwise, arrays: tuple[Array, Array, Array], *extras: Array, pieces: int = 3) -> Array:
    """The kernel's result as a plain tensor; padding lanes of the inputs are NaN."""
    x, weights, bias = arrays
    got = to_blocks(np.full((k.batch, k.out_channels, k.pixels), np.nan, np.float32), k.target.block)
    inputs = [to_blocks(array, k.target.block, np.nan) for array in (x, *extras)]
    run_kernel(k, k.target, [*inputs, pack_pointwise(weights, bias, k.target)], [got], pieces=pieces)
    return from_blocks(got, k.out_channels)


@st.composite
def kernels(draw: st.DrawFn) -> Pointwise:
    """Any shape: one slab of 64 channels, two and three, with and without a tail."""
    return Pointwise(
        batch=draw(st.integers(1, 3)),
        pixels=draw(st.sampled_from([1, 2, 7, 12, 31, 49])),
        in_channels=draw(st.sampled_from([1, 3, 16, 24, 63, 64, 65, 100, 128, 131, 193])),
        out_channels=draw(st.sampled_from([1, 5, 16, 17, 40, 80, 130])),
        target=draw(st.sampled_from(targets_here())),
        split=draw(st.sampled_from(["pixels", "groups"])),
    )


@settings(max_examples=60, deadline=None)
@given(kernels(), st.integers(1, 4))
def test_any_shape_agrees_with_the_definition(kernel: Pointwise, pieces: int) -> None:
    """Rule: slabs, groups, tails of channels and pixels, and any sharing of the work give the matrix product."""
    arrays = operands(kernel)

    got = run(kernel, arrays, pieces=pieces)

    np.testing.assert_allclose(got, reference(*arrays), rtol=1e-5, atol=1e-4)


@ON_ALL
@pytest.mark.parametrize("split", ["pixels", "groups"])
@pytest.mark.parametrize("channels", [20, 150])
def test_the_epilogue_runs_once_and_sees_the_extra_tensors(
    channels: int, split: Literal["pixels", "groups"], target: Target
) -> None:
    """Rule: partial sums of a slab never go through the epilogue; register 1 is the first extra tensor."""
    b = FormulaBuilder(3)
    total, first, second = b.arguments()
    b.add(b.add(b.clamp(total, 0.0, 6.0), b.mul(first, 3.0)), second)
    kernel = Pointwise(2, 13, channels, 37, target, split, b.build(), 2)
    arrays = operands(kernel)
    random = np.random.default_rng(5)
    extras = [random.standard_normal((2, 37, 13)).astype(np.float32) for _ in range(2)]

    got = run(kernel, arrays, *extras)

    np.testing.assert_allclose(got, reference(*arrays).clip(0, 6) + 3 * extras[0] + extras[1], rtol=1e-5, atol=1e-4)


@ON_ALL
def test_many_weights_are_fetched_ahead_without_changing_the_sums(target: Target) -> None:
    """Rule: prefetching reads nothing that faults and computes nothing."""
    kernel = Pointwise(1, 25, 200, 200, target)
    arrays = operands(kernel)

    got = run(kernel, arrays)

    np.testing.assert_allclose(got, reference(*arrays), rtol=1e-5, atol=2e-4)


@ON_ALL
@pytest.mark.parametrize("pixels", [1, 13])
def test_a_dear_epilogue_gives_the_same(pixels: int, target: Target) -> None:
    """Rule: a formula too long for the registers beside the tile sees the same numbers, tails included."""
    b = FormulaBuilder(2)
    total, extra = b.arguments()
    b.mul(extra, b.div(1.0, b.add(1.0, b.exp(b.neg(total)))))
    kernel = Pointwise(2, pixels, 100, 37, target, "pixels", b.build(), 1)
    arrays = operands(kernel)
    extra_array = np.random.default_rng(5).standard_normal((2, 37, pixels)).astype(np.float32)

    got = run(kernel, arrays, extra_array)

    np.testing.assert_allclose(got, extra_array / (1 + np.exp(-reference(*arrays))), rtol=1e-4, atol=1e-6)


@ON_ALL
def test_how_the_work_is_shared_changes_no_bit(target: Target) -> None:
    """Rule: one plan gives the same bits with any number of workers."""
    kernel = Pointwise(2, 29, 150, 70, target)
    arrays = operands(kernel)

    results = [run(variant, arrays, pieces=n) for variant in (kernel, replace(kernel, split="groups")) for n in (1, 4)]

    assert all(result.tobytes() == results[0].tobytes() for result in results)


@ON_ALL
def test_no_function_of_a_library_is_called(target: Target) -> None:
    """Rule: a kernel is self-contained."""
    assert undefined_symbols(Pointwise(2, 29, 150, 70, target), target) == set()


@pytest.mark.skipif(targets_here()[0].lanes < 16, reason="needs AVX-512")
@pytest.mark.parametrize("channels", [32, 256])
def test_tiles_keep_their_sums_in_registers(channels: int) -> None:
    """Rule: hardly a vector register is spilled: at most one move to or from the stack for a hundred multiply-adds."""
    text = assembly(Pointwise(1, 196, channels, 256, targets_here()[0]), targets_here()[0])

    spills = [line for line in text.splitlines() if "(%rsp)" in line and "%zmm" in line]
    assert len(spills) * 100 <= len(re.findall("vfmadd", text))
