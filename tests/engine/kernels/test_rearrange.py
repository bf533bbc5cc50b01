"""Concat, Split, Slice, Transpose, Expand and Pad against numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.kernels import run_kernel, targets_here, to_blocks, undefined_symbols

from alula.engine.kernels import rearrange
from alula.engine.kernels.copy import Copy
from alula.engine.kernels.target import Target

Array = np.ndarray[Any, Any]
ON_ALL = pytest.mark.parametrize("target", targets_here(), ids=lambda t: t.name)
DTYPES = {1: np.uint8, 2: np.uint16, 4: np.float32, 8: np.int64}
EXTENTS = st.sampled_from([1, 2, 3, 7, 16, 19, 40])
SHAPES = st.lists(EXTENTS, min_size=1, max_size=4).map(tuple)
ELEMENTS = st.sampled_from(sorted(DTYPES))
TARGETS = st.sampled_from(targets_here())


def numbered(shape: tuple[int, ...], element: int = 4, start: int = 1) -> Array:
    """Neighbours different."""
    return np.arange(start, start + np.prod(shape), dtype=np.int64).astype(DTYPES[element]).reshape(shape)


def check(kernel: Copy, target: Target, inputs: list[Array], wanted: list[Array]) -> None:
    """Run in three pieces and compare bytes; outputs start with a pattern that is in no input."""
    got = [np.full(want.shape, 250, want.dtype) for want in wanted]

    run_kernel(kernel, target, inputs, got, pieces=3)

    for result, want in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(result, want)


@settings(max_examples=30, deadline=None)
@given(st.data(), SHAPES, ELEMENTS, TARGETS)
def test_parts_are_joined_and_cut_where_they_meet(
    data: st.DataObject, shape: tuple[int, ...], element: int, target: Target
) -> None:
    """Rule: Concat puts each input behind the one before, Split is its inverse; empty parts are allowed."""
    axis = data.draw(st.integers(0, len(shape) - 1))
    sizes = data.draw(st.lists(st.sampled_from([0, 1, 3, 16]), min_size=1, max_size=3).filter(any))
    shapes = [(*shape[:axis], size, *shape[axis + 1 :]) for size in sizes]
    parts = [numbered(part, element, 7 * i) for i, part in enumerate(shapes)]
    whole = np.concatenate(parts, axis)

    check(rearrange.concat(shapes, axis, element), target, parts, [whole])
    check(rearrange.split(whole.shape, axis, sizes, element), target, [whole], parts)


@settings(max_examples=30, deadline=None)
@given(st.data(), SHAPES, ELEMENTS, TARGETS)
def test_axes_are_reordered(data: st.DataObject, shape: tuple[int, ...], element: int, target: Target) -> None:
    """Rule: any order of axes, any element."""
    order = data.draw(st.permutations(range(len(shape))))
    x = numbered(shape, element)

    check(rearrange.transpose(shape, order, element), target, [x], [np.ascontiguousarray(x.transpose(order))])


@ON_ALL
@pytest.mark.parametrize("shape", [(1, 3, 100, 50), (2, 33, 16), (1, 200, 3), (70, 70), (1, 5, 1000)])
def test_matrices_of_floats_are_turned_over_tile_by_tile(shape: tuple[int, ...], target: Target) -> None:
    """Rule: NCHW to NHWC and back, with maps and channels that are no multiples of a tile."""
    x = numbered(shape)
    order = [0, *range(2, len(shape)), 1] if len(shape) > 2 else [1, 0]
    back = [0, len(shape) - 1, *range(1, len(shape) - 1)] if len(shape) > 2 else [1, 0]
    turned = np.ascontiguousarray(x.transpose(order))

    check(rearrange.transpose(shape, order, 4), target, [x], [turned])
    check(rearrange.transpose(turned.shape, back, 4), target, [turned], [x])


@settings(max_examples=30, deadline=None)
@given(st.data(), SHAPES, ELEMENTS, TARGETS)
def test_slices_follow_their_steps(data: st.DataObject, shape: tuple[int, ...], element: int, target: Target) -> None:
    """Rule: steps of either sign, from any start."""
    x = numbered(shape, element)
    starts = [data.draw(st.integers(0, extent - 1)) for extent in shape]
    steps = [data.draw(st.sampled_from([1, 1, 2, 3, -1, -2])) for _ in shape]
    cuts = [slice(a, None, s) for a, s in zip(starts, steps, strict=True)]
    want = np.ascontiguousarray(x[tuple(cuts)])

    check(rearrange.take_slice(shape, starts, steps, want.shape, element), target, [x], [want])


@settings(max_examples=30, deadline=None)
@given(st.data(), SHAPES, ELEMENTS, TARGETS)
def test_expansion_repeats(data: st.DataObject, out: tuple[int, ...], element: int, target: Target) -> None:
    """Rule: axes of 1 and missing leading axes are repeated."""
    cut = data.draw(st.integers(0, len(out)))
    shape = tuple(extent if data.draw(st.booleans()) else 1 for extent in out[cut:])
    x = numbered(shape, element)

    check(rearrange.expand(shape, out, element), target, [x], [np.ascontiguousarray(np.broadcast_to(x, out))])


@settings(max_examples=30, deadline=None)
@given(st.data(), SHAPES, ELEMENTS, TARGETS)
def test_padding_surrounds(data: st.DataObject, shape: tuple[int, ...], element: int, target: Target) -> None:
    """Rule: the constant stands on every side, corners included, and nowhere else."""
    pads = [(data.draw(st.integers(0, 3)), data.draw(st.integers(0, 3))) for _ in shape]
    x = numbered(shape, element)
    value = np.array(9, DTYPES[element])
    bits = int.from_bytes(value.tobytes(), "little")
    kernel = rearrange.pad(shape, [a for a, _ in pads], [b for _, b in pads], element, bits)

    check(kernel, target, [x], [np.pad(x, pads, constant_values=value)])


@ON_ALL
def test_maps_in_blocks_get_a_border_of_zeros(target: Target) -> None:
    """Rule: spatial padding of a blocked tensor keeps its blocks."""
    x = numbered((2, target.lanes + 1, 5, 6))
    kernel = rearrange.pad((2, 2, 5, 6, target.lanes), (0, 0, 1, 2, 0), (0, 0, 3, 0, 0), 4)
    want = to_blocks(np.pad(x, ((0, 0), (0, 0), (1, 3), (2, 0))), target.lanes)

    check(kernel, target, [to_blocks(x, target.lanes)], [want])


@ON_ALL
def test_blocks_are_joined_along_channels(target: Target) -> None:
    """Rule: inputs that fill their blocks are followed by the next one's blocks."""
    channels = [target.lanes, 2 * target.lanes, 3]
    parts = [numbered((2, count, 3, 5), start=1000 * i) for i, count in enumerate(channels)]
    want = to_blocks(np.concatenate(parts, 1), target.lanes)

    check(
        rearrange.concat([(2, -(-count // target.lanes), 3, 5, target.lanes) for count in channels], 1, 4),
        target,
        [to_blocks(p, target.lanes) for p in parts],
        [want],
    )


@ON_ALL
@pytest.mark.parametrize("factors", [(2, 2), (1, 3), (3, 1)])
def test_pixels_are_repeated(factors: tuple[int, int], target: Target) -> None:
    """Rule: nearest-pixel enlargement by whole factors, plain and in blocks."""
    x = numbered((2, target.lanes, 5, 6))
    want = x.repeat(factors[0], 2).repeat(factors[1], 3)
    blocks = [to_blocks(array, target.lanes) for array in (x, want)]

    check(rearrange.repeat_pixels(2 * target.lanes, (5, 6), factors, 1), target, [x], [want])
    check(rearrange.repeat_pixels(2, (5, 6), factors, target.lanes), target, [blocks[0]], [blocks[1]])


@ON_ALL
@pytest.mark.parametrize("size", [70000, 70001])
def test_long_rows_are_shared_out_without_gaps(size: int, target: Target) -> None:
    """Rule: pieces of one contiguous row meet exactly."""
    x = numbered((size,))
    kernel = rearrange.expand((size,), (size,), 4)

    check(kernel, target, [x], [x])
    assert kernel.units >= 2


@ON_ALL
def test_no_function_of_a_library_is_called(target: Target) -> None:
    """Rule: neither memcpy nor memset stands behind a copy."""
    for kernel in (
        rearrange.pad((3, 50, 50), (0, 1, 1), (0, 1, 1), 4),
        rearrange.transpose((2, 30, 40), (0, 2, 1), 4),
        rearrange.concat([(1, 9999), (1, 77)], 1, 1),
        rearrange.expand((1,), (5000,), 8),
    ):
        assert undefined_symbols(kernel, target) == set()
