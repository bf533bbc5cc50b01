"""Columns of displaced taps against the operator's reference."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from support.kernels import run_kernel, targets_here, undefined_symbols

from alula.engine.kernels.deform import DeformColumns
from alula.engine.kernels.target import Target
from alula.engine.operators.deform import deform_columns

Array = np.ndarray[Any, Any]
ON_ALL = pytest.mark.parametrize("target", targets_here(), ids=lambda t: t.name)


def run(size: tuple[int, int], out: tuple[int, int], target: Target, *, masked: bool, reach: float = 3) -> None:
    """Compare a 3 x 2 kernel with stride 1, dilation (1, 2) and padding 1 before; two groups of three channels."""
    chance = np.random.default_rng(size[0])
    pixels = out[0] * out[1]
    x = chance.standard_normal((2, 6, *size)).astype(np.float32)
    offset = chance.uniform(-reach, reach, (2, 2 * 6 * 2, *out)).astype(np.float32)
    mask = chance.uniform(0, 2, (2, 2 * 6, *out)).astype(np.float32)
    places = np.stack(np.meshgrid(*(np.arange(count) - 1 for count in out), indexing="ij")).astype(np.float32)
    taps = tuple((row, 2 * column) for row, column in product(range(3), range(2)))
    got = np.full((2, 36, pixels), -7, np.float32)
    kernel = DeformColumns(2, 6, 2, size, pixels, taps, masked, target.lanes)

    run_kernel(kernel, target, [x, offset, *[mask] * masked, places], [got], pieces=3)

    pads = (1, 1, out[0] + 2 - size[0] - 1, out[1] + 2 - size[1] - 1)
    want = deform_columns(
        x, offset, mask if masked else None, offset_group=2, kernel_shape=(3, 2), dilations=(1, 2), pads=pads
    )
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@ON_ALL
@pytest.mark.parametrize("factors", ["factors", "none"])
@pytest.mark.parametrize(("size", "out"), [((1, 1), (1, 1)), ((5, 6), (5, 7)), ((9, 4), (13, 33))])
def test_taps_in_and_around_the_picture_agree_with_the_reference(
    size: tuple[int, int],
    out: tuple[int, int],
    factors: str,
    target: Target,
) -> None:
    """Rule: what lies outside reads as 0 and no element of another group is touched."""
    run(size, out, target, masked=factors == "factors")


@ON_ALL
def test_displacements_beyond_any_integer_read_nothing_outside(target: Target) -> None:
    """Attack: offsets of 1e30, which no element number holds."""
    run((5, 6), (5, 7), target, masked=True, reach=1e30)


@ON_ALL
def test_no_function_of_a_library_is_called(target: Target) -> None:
    """Rule: a kernel is self-contained."""
    kernel = DeformColumns(1, 2, 1, (4, 5), 7, ((0, 0), (0, 1)), masked=True, lanes=target.lanes)
    assert undefined_symbols(kernel, target) == set()
