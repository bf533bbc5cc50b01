"""Direct convolution against sums in float64."""

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
from alula.engine.kernels.convolution import Convolution, Window, pack_convolution, reductions, series
from alula.engine.kernels.target import Target

Array = np.ndarray[Any, Any]
ON_ALL = pytest.mark.parametrize("target", targets_here(), ids=lambda t: t.name)


def operands(k: Convolution) -> tuple[Array, Array, Array]:
    """Map (padding included), weights and bias of the kernel's shapes."""
    random = np.random.default_rng(3)
    weights = (k.out_channels, k.in_channels // k.groups, *k.window.kernel)
    shapes = (k.batch, k.in_channels, *k.in_size), weights, (k.out_channels,)
    x, w, bias = (random.standard_normal(shape).astype(np.float32) for shape in shapes)
    return x, w, bias


def reference(k: Convolution, x: Array, weights: Array, bias: Array) -> Array:
    """The definition: a sum over taps, group by group."""
    rows, columns = k.out_size
    total = np.zeros((k.batch, k.out_channels, rows, columns)) + bias[:, None, None]
    inputs, outputs = k.in_channels // k.groups, k.out_channels // k.groups
    (sh, sw), (dh, dw) = k.window.strides, k.window.dilations
    for g in range(k.groups):
        mine, w = x[:, g * inputs : (g + 1) * inputs].astype(float), weights[g * outputs : (g + 1) * outputs]
        for i in range(k.window.kernel[0]):
            for j in range(k.window.kernel[1]):
                taken = mine[:, :, i * dh :: sh, j * dw :: sw][:, :, :rows, :columns]
                total[:, g * outputs : (g + 1) * outputs] += np.einsum("kc,nchw->nkhw", w[:, :, i, j], taken)
    return total


def run(k: Convolution, arrays: tuple[Array, Array, Array], *extras: Array, pieces: int = 3) -> Array:
    """The kernel's result as a plain tensor; padding lanes of the inputs are NaN."""
    x, weights, bias = arrays
    block = k.target.block
    got = to_blocks(np.full((k.batch, k.out_channels, *k.out_size), np.nan, np.float32), block)
    inputs = [x if k.plain else to_blocks(x, block, np.nan), *(to_blocks(extra, block, np.nan) for extra in extras)]
    run_kernel(k, k.target, [*inputs, pack_convolution(k, weights, bias)], [got], pieces=pieces)
    return from_blocks(got, k.out_channels)


def square(target: Target, channels: tuple[int, int], size: int, window: Window, **more: Any) -> Convolution:
    """A convolution of a square map that the window fits into."""
    span = [(t - 1) * d + 1 for t, d in zip(window.kernel, window.dilations, strict=True)]
    rows, columns = ((size - s) // stride + 1 for s, stride in zip(span, window.strides, strict=True))
    options = {"batch": 1, "groups": 1, **more}
    return Convolution(
        in_channels=channels[0],
        out_channels=channels[1],
        in_size=(size, size),
        out_size=(rows, columns),
        window=window,
        target=target,
        **options,
    )


@st.composite
def kernels(draw: st.DrawFn) -> Convolution:
    """Any window; groups whose borders stand anywhere in a block."""
    window = Window(
        (draw(st.sampled_from([1, 2, 3, 5])), draw(st.sampled_from([1, 3, 4]))),
        (draw(st.integers(1, 3)), draw(st.integers(1, 2))),
        (draw(st.integers(1, 2)), draw(st.integers(1, 2))),
    )
    groups = draw(st.sampled_from([1, 1, 2, 3, 5, 8]))
    inputs, outputs = draw(st.sampled_from([1, 3, 8, 20])), draw(st.sampled_from([1, 4, 11, 24]))
    return square(
        draw(st.sampled_from(targets_here())),
        (groups * inputs, groups * outputs),
        draw(st.sampled_from([9, 10, 15])),
        window,
        groups=groups,
        batch=draw(st.integers(1, 2)),
        split=draw(st.sampled_from(["rows", "groups"])),
        plain=groups == 1 and draw(st.booleans()),
    )


@settings(max_examples=60, deadline=None)
@given(kernels(), st.integers(1, 4))
def test_any_convolution_agrees_with_the_definition(kernel: Convolution, pieces: int) -> None:
    """Rule: strides, dilations, groups across blocks, plain input, tails and any sharing follow the definition."""
    arrays = operands(kernel)

    got = run(kernel, arrays, pieces=pieces)

    np.testing.assert_allclose(got, reference(kernel, *arrays), rtol=1e-5, atol=1e-4)


@ON_ALL
@pytest.mark.parametrize("channels", [(64, 40), (130, 33), (144, 16)])
def test_many_channels_are_summed_up_slab_by_slab(channels: tuple[int, int], target: Target) -> None:
    """Rule: partial sums go through the output and lose nothing; the last slab may be smaller."""
    kernel = square(target, channels, 6, Window((3, 3)), batch=2)
    arrays = operands(kernel)

    got = run(kernel, arrays)

    np.testing.assert_allclose(got, reference(kernel, *arrays), rtol=1e-5, atol=2e-4)


@ON_ALL
@pytest.mark.parametrize(("kernel_size", "plain"), [(3, True), (7, True), (3, False)])
def test_the_epilogue_runs_once_and_sees_the_extra_tensors(kernel_size: int, target: Target, *, plain: bool) -> None:
    """Rule: partial sums never go through the epilogue; register 1 is the extra tensor."""
    b = FormulaBuilder(2)
    total, extra = b.arguments()
    b.add(b.clamp(total, 0.0, 6.0), b.mul(extra, 3.0))
    window = Window((kernel_size, kernel_size), (2, 2))
    kernel = square(target, (3 if plain else 70, 20), 17, window, plain=plain, epilogue=b.build(), extras=1, batch=2)
    arrays = operands(kernel)
    extra_array = np.random.default_rng(5).standard_normal((2, 20, *kernel.out_size)).astype(np.float32)

    got = run(kernel, arrays, extra_array)

    wanted = reference(kernel, *arrays).clip(0, 6) + 3 * extra_array
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-4)


@ON_ALL
@pytest.mark.parametrize("size", [3, 15])
def test_a_dear_epilogue_gives_the_same(size: int, target: Target) -> None:
    """Rule: a formula too long for the registers beside the tile sees the same numbers, tails included."""
    b = FormulaBuilder(2)
    total, extra = b.arguments()
    b.mul(extra, b.div(1.0, b.add(1.0, b.exp(b.neg(total)))))
    kernel = square(target, (20, 37), size, Window((3, 3)), epilogue=b.build(), extras=1, batch=2)
    arrays = operands(kernel)
    extra_array = np.random.default_rng(5).standard_normal((2, 37, *kernel.out_size)).astype(np.float32)

    got = run(kernel, arrays, extra_array)

    np.testing.assert_allclose(got, extra_array / (1 + np.exp(-reference(kernel, *arrays))), rtol=1e-4, atol=1e-6)


@ON_ALL
def test_how_the_work_is_shared_changes_no_bit(target: Target) -> None:
    """Rule: one plan gives the same bits with any number of workers."""
    kernel = square(target, (70, 90), 8, Window((3, 3)), batch=2)
    arrays = operands(kernel)

    results = [run(variant, arrays, pieces=n) for variant in (kernel, replace(kernel, split="groups")) for n in (1, 4)]

    assert all(result.tobytes() == results[0].tobytes() for result in results)


@ON_ALL
@settings(max_examples=60)
@given(groups=st.integers(1, 40), inputs=st.integers(1, 40), outputs=st.integers(1, 40))
def test_reductions_cover_all_outputs_and_read_all_connected_inputs(
    groups: int, inputs: int, outputs: int, target: Target
) -> None:
    """Rule: each output block is computed once, from a range that holds all channels it is connected to."""
    kernel = square(target, (groups * inputs, groups * outputs), 3, Window((3, 3)), groups=groups)

    pieces = reductions(kernel)

    block = target.block
    covered = [piece.start + i for piece in pieces for i in range(piece.vectors)]
    assert covered == list(range(-(-groups * outputs // block)))
    for piece in pieces:
        channels = range(piece.start * block, min((piece.start + piece.vectors) * block, groups * outputs))
        needed = {
            c for k in (channels[0], channels[-1]) for c in ((k // outputs) * inputs, (k // outputs + 1) * inputs - 1)
        }
        assert piece.low * block <= min(needed)
        assert max(needed) < (piece.low + piece.count) * block
    assert sum(run.count for run in series(kernel)) == len(pieces)


@ON_ALL
def test_a_group_reads_only_the_blocks_that_it_is_connected_to(target: Target) -> None:
    """Rule: a grouped convolution must not cost what a dense one costs."""
    kernel = square(target, (256, 256), 3, Window((3, 3)), groups=8)

    assert max(piece.count * target.block for piece in reductions(kernel)) <= 32 * 3


@ON_ALL
@pytest.mark.parametrize("plain", [True, False])
def test_no_function_of_a_library_is_called(target: Target, *, plain: bool) -> None:
    """Rule: a kernel is self-contained."""
    kernel = square(target, (3 if plain else 70, 90), 9, Window((3, 3)), plain=plain)

    assert undefined_symbols(kernel, target) == set()


@pytest.mark.skipif(targets_here()[0].lanes < 16, reason="needs AVX-512")
@pytest.mark.parametrize(("channels", "size", "window", "plain"), [
    (128, 30, Window((3, 3)), False),
    (128, 31, Window((3, 3), (2, 2)), False),
    (3, 230, Window((7, 7), (2, 2)), True),
    (3, 226, Window((3, 3), (2, 2)), True),
])  # fmt: skip
def test_tiles_keep_their_sums_in_registers(channels: int, size: int, window: Window, *, plain: bool) -> None:
    """Rule: hardly a vector register is spilled: at most one move to or from the stack for a hundred multiply-adds."""
    kernel = square(targets_here()[0], (channels, 64), size, window, plain=plain)

    text = assembly(kernel, targets_here()[0])

    spills = [line for line in text.splitlines() if "(%rsp)" in line and "%zmm" in line]
    assert len(spills) * 100 <= len(re.findall("vfmadd", text))
