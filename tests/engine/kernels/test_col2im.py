"""Blocks added up to pictures against the operator's reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.kernels import run_kernel, targets_here, undefined_symbols

from alula.engine.kernels.col2im import Col2Im
from alula.engine.kernels.target import Target
from alula.engine.operators.deform import col2im

AXIS = st.tuples(
    st.integers(1, 40), st.integers(1, 5), st.integers(1, 4), st.integers(1, 3), st.integers(0, 3), st.integers(0, 3)
)


@settings(max_examples=120, deadline=None)
@given(AXIS, AXIS, st.sampled_from(targets_here()))
def test_any_geometry_agrees_with_the_reference(
    rows: tuple[int, ...], columns: tuple[int, ...], target: Target
) -> None:
    """Rule: what blocks reach outside of the picture is dropped, what they share is added."""
    sizes, kernel, strides, dilations, befores, afters = zip(rows, columns, strict=True)
    spans = [dilation * (taps - 1) + 1 for taps, dilation in zip(kernel, dilations, strict=True)]
    whole = [size + before + after for size, before, after in zip(sizes, befores, afters, strict=True)]
    blocks = [(size - span) // stride + 1 for size, span, stride in zip(whole, spans, strides, strict=True)]
    assume(min(blocks) >= 1)
    x = np.random.default_rng(3).standard_normal((2, 3 * kernel[0] * kernel[1], blocks[0] * blocks[1]))
    x = x.astype(np.float32)
    got = np.full((2, 3, *sizes), -7, np.float32)
    record = Col2Im(6, kernel, (blocks[0], blocks[1]), sizes, strides, dilations, befores)

    run_kernel(record, target, [x], [got], pieces=3)

    shapes = np.asarray(sizes, np.int64), np.asarray(kernel, np.int64)
    want = col2im(x, *shapes, strides=strides, dilations=dilations, pads=(*befores, *afters))
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("target", targets_here(), ids=lambda t: t.name)
def test_no_function_of_a_library_is_called(target: Target) -> None:
    """Rule: a kernel is self-contained."""
    assert undefined_symbols(Col2Im(2, (3, 3), (4, 5), (8, 9), (2, 1), (1, 1), (1, 1)), target) == set()
