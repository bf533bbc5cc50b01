"""Elementwise kernels: broadcasting over plain tensors and over blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.formulas import numpy_formula
from support.kernels import from_blocks, run_kernel, targets_here, to_blocks, undefined_symbols

from alula.base.tensors import DType
from alula.engine.graph.formula import Formula, FormulaBuilder
from alula.engine.graph.nodes import Value
from alula.engine.kernels.blocks import pack_channels
from alula.engine.kernels.elementwise import Elementwise, elementwise
from alula.engine.kernels.target import Target

Array = np.ndarray[Any, Any]
ON_ALL = pytest.mark.parametrize("target", targets_here(), ids=lambda t: t.name)


def some_formula(inputs: int) -> Formula:
    """A different arithmetic for each input, so that exchanged operands are noticed."""
    b = FormulaBuilder(inputs)
    total = b.mul(b.arguments()[0], 1.5)
    for factor, register in enumerate(b.arguments()[1:]):
        total = b.sub(b.mul(total, 0.5), b.mul(register, factor + 2.0))
    return b.build()


def values(shape: tuple[int, ...], seed: int) -> Array:
    """Reproducible numbers."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def value(shape: tuple[int, ...], block: int = 0) -> Value:
    """A float32 value record."""
    return Value("x", DType.FLOAT32, shape, block)


def agrees(kernel: Elementwise, target: Target, inputs: list[Array], logical: list[Array], got: Array) -> Array:
    """Run into `got`; returns what numpy says of the logical inputs."""
    run_kernel(kernel, target, inputs, [got], pieces=3)
    return numpy_formula(kernel.formula, logical).astype(np.float32)


@st.composite
def broadcasts(draw: st.DrawFn) -> list[tuple[int, ...]]:
    """Shapes that broadcast together; the first is the result's."""
    out = tuple(draw(st.lists(st.sampled_from([1, 2, 3, 5, 16, 19, 70]), min_size=1, max_size=4)))
    shapes = [out]
    for _ in range(draw(st.integers(0, 2))):
        cut = draw(st.integers(0, len(out)))
        shapes.append(tuple(extent if draw(st.booleans()) else 1 for extent in out[cut:]))
    return shapes


@settings(max_examples=40, deadline=None)
@given(broadcasts(), st.sampled_from(targets_here()))
def test_plain_operands_broadcast_as_in_numpy(shapes: list[tuple[int, ...]], target: Target) -> None:
    """Rule: every pattern of repeated dimensions of dense operands has a kernel."""
    arrays = [values(shape, seed) for seed, shape in enumerate(shapes)]
    got = np.empty(shapes[0], np.float32)
    kernel = elementwise(some_formula(len(arrays)), value(shapes[0]), [value(s) for s in shapes])
    assert kernel is not None

    want = agrees(kernel, target, arrays, arrays, got)

    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@ON_ALL
@pytest.mark.parametrize("shape", [(70001,), (3, 5000), (2, 3, 2051), (1, 1, 1, 1)])
def test_long_rows_are_shared_out_without_gaps(shape: tuple[int, ...], target: Target) -> None:
    """Rule: pieces of a row meet exactly, and the tail belongs to the last."""
    x = values(shape, 1)
    got = np.full(shape, np.nan, np.float32)
    kernel = elementwise(some_formula(1), value(shape), [value(shape)])
    assert kernel is not None

    want = agrees(kernel, target, [x], [x], got)

    np.testing.assert_allclose(got, want, rtol=1e-6)
    assert kernel.units >= 2 or x.size < 2048


BLOCKED = [(1, 33, 5, 7), (2, 16, 1, 1), (2, 3, 9, 9), (1, 48, 40, 30)]


@ON_ALL
@pytest.mark.parametrize("shape", BLOCKED)
@pytest.mark.parametrize("pattern", ["same", "channels", "gate", "number", "map", "plain map"])
def test_blocked_operands_broadcast_over_channels_and_maps(
    shape: tuple[int, ...], pattern: str, target: Target
) -> None:
    """Rule: a gate, a channel vector, a map and a number all fit a blocked tensor."""
    block, (batch, channels, height, width) = target.lanes, shape
    other_shape = {
        "same": shape, "channels": (1, channels, 1, 1), "gate": (batch, channels, 1, 1), "number": (),
        "map": (batch, 1, height, width), "plain map": (batch, 1, height, width),
    }[pattern]  # fmt: skip
    x, other = values(shape, 2), values(other_shape, 3)
    plain = pattern in ("number", "plain map")
    stored = other if plain else to_blocks(other, block, np.nan)
    blocked = to_blocks(x, block, np.nan)
    got = np.empty_like(blocked)
    inputs = [value(shape, block), value(other_shape, 0 if plain else block)]
    kernel = elementwise(some_formula(2), value(shape, block), inputs, block)
    assert kernel is not None

    want = agrees(kernel, target, [blocked, stored], [x, other], got)

    np.testing.assert_allclose(from_blocks(got, channels), want, rtol=1e-5, atol=1e-5)


@ON_ALL
def test_a_packed_channel_vector_fits_beside_blocks(target: Target) -> None:
    """Rule: [C, 1, 1] constants come as `pack_channels` lays them out."""
    block, channels = target.lanes, target.lanes + 3
    x, scale = values((1, channels, 3, 2), 4), values((channels, 1, 1), 5)
    blocked = to_blocks(x, block)
    got = np.empty_like(blocked)
    shapes = [value(x.shape, block), value(scale.shape, block)]
    kernel = elementwise(some_formula(2), value(x.shape, block), shapes, block)
    assert kernel is not None

    want = agrees(kernel, target, [blocked, pack_channels(scale, block)], [x, scale], got)

    np.testing.assert_allclose(from_blocks(got, channels), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("output", "operand"),
    [
        (value((1, 20, 4, 4), 16), value((1, 20, 4, 4))),
        (value((1, 20, 4, 4)), value((1, 20, 4, 4), 16)),
        (value((1, 20, 4, 4), 16), value((20, 1, 1))),
        (value((1, 20, 4, 4)), value((1, 20, 4, 5))),
        (value((2, 4)), Value("i", DType.INT64, (2, 4))),
        (value((2, 4)), Value("u", DType.FLOAT32, None)),
    ],
)
def test_what_has_no_kernel_is_declined(output: Value, operand: Value) -> None:
    """Rule: mixed layouts, foreign dtypes and unknown shapes give None, never wrong code."""
    assert elementwise(Formula(1), output, [operand], output.block) is None


def test_operands_of_one_shape_become_one_flat_loop() -> None:
    """Rule: dimensions that all operands walk through alike are joined."""
    shape = (2, 3, 4, 5)

    kernel = elementwise(some_formula(2), value(shape), [value(shape), value(())])

    assert kernel is not None
    assert kernel.shape == (120,)


@ON_ALL
def test_no_function_of_a_library_is_called(target: Target) -> None:
    """Rule: masked tails and broadcasts compile to instructions only."""
    kernel = elementwise(some_formula(3), value((5, 37)), [value((5, 37)), value((37,)), value((5, 1))])
    assert kernel is not None

    assert undefined_symbols(kernel, target) == set()
