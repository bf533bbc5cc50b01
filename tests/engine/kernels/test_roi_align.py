"""Regions of interest against the operator's reference."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
from support.kernels import run_kernel, targets_here, undefined_symbols

from alula.engine.kernels.roi_align import RoiAlign
from alula.engine.kernels.target import Target
from alula.engine.operators.roi import roi_align

Array = np.ndarray[Any, Any]
ON_ALL = pytest.mark.parametrize("target", targets_here(), ids=lambda t: t.name)
KINDS = pytest.mark.parametrize("kind", ["avg", "max"])
X = np.random.default_rng(5).standard_normal((2, 5, 9, 7)).astype(np.float32)


def run(
    rois: Array, kind: Literal["avg", "max"], target: Target, *, bins: tuple[int, int] = (3, 2), half: bool = True,
    samples: int = 0,
) -> tuple[Array, Array]:  # fmt: skip
    """What the kernel and the reference give for regions of both pictures."""
    pictures = np.arange(len(rois), dtype=np.int64) % 2
    kernel = RoiAlign(2, 5, (9, 7), len(rois), bins, samples, 0.5, kind, half)
    got = np.full((len(rois), 5, *bins), -7, np.float32)
    run_kernel(kernel, target, [X, rois, pictures], [got], pieces=3)
    place = "half_pixel" if half else "output_half_pixel"
    with np.errstate(invalid="ignore"):
        want = roi_align(
            X, rois, pictures, output_height=bins[0], output_width=bins[1], mode=kind, spatial_scale=0.5,
            sampling_ratio=samples, coordinate_transformation_mode=place,
        )  # fmt: skip
    return got, want


@ON_ALL
@KINDS
@pytest.mark.parametrize("bins", [(1, 1), (3, 2), (7, 7), (2, 33)])
@pytest.mark.parametrize("samples", [0, 1, 3])
@pytest.mark.parametrize("shift", ["half", "none"])
def test_regions_in_and_around_the_picture_agree_with_the_reference(
    shift: str, samples: int, bins: tuple[int, int], kind: Literal["avg", "max"], target: Target
) -> None:
    """Rule: regions that hang over, are turned round or empty have the reference's answer."""
    chance = np.random.default_rng(bins[1])
    rois = chance.uniform(-8, 26, (6, 4)).astype(np.float32)
    rois[:4, 2:] = rois[:4, :2] + chance.uniform(0, 14, (4, 2)).astype(np.float32)
    rois[4, 2:] = rois[4, :2]

    got, want = run(rois, kind, target, bins=bins, half=shift == "half", samples=samples)

    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@ON_ALL
@KINDS
def test_regions_that_are_no_numbers_are_empty_and_read_nothing_outside(
    kind: Literal["avg", "max"], target: Target
) -> None:
    """Attack: regions of infinite size, whose samples would never end, and pictures that do not exist."""
    rois = np.asarray([[np.nan, 0, 1, 1], [0, 0, np.inf, 1], [0, -np.inf, 4, 4], [1e30, 0, 1e30, 2]], np.float32)
    kernel = RoiAlign(2, 5, (9, 7), 4, (1, 1), 0, 1.0, kind, half_pixel=True)
    got = np.ones((4, 5, 1, 1), np.float32)

    run_kernel(kernel, target, [X, rois, np.asarray([0, 1, -9, 1 << 40], np.int64)], [got])

    assert not got[0].any()


@ON_ALL
def test_no_function_of_a_library_is_called(target: Target) -> None:
    """Rule: a kernel is self-contained."""
    kinds: tuple[Literal["avg", "max"], ...] = ("avg", "max")
    for kind in kinds:
        kernel = RoiAlign(2, 5, (9, 7), 4, (3, 5), 0, 1.0, kind, half_pixel=False)
        assert undefined_symbols(kernel, target) == set()
