"""Kernels that read and write at places that indices say, against numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.kernels import run_kernel, targets_here

from alula.base.tensors import DType
from alula.engine.kernels.gather import Gather, GatherElements, GatherSlices
from alula.engine.kernels.rearrange import dense_strides
from alula.engine.kernels.scatter import ScatterElements, ScatterKind, ScatterSlices
from alula.engine.kernels.target import Target

Array = np.ndarray[Any, Any]
ON_ALL = pytest.mark.parametrize("target", targets_here(), ids=lambda t: t.name)
INDEX = pytest.mark.parametrize("index", [np.int32, np.int64])
JOINS: dict[ScatterKind, Any] = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


def numbers(*shape: int, dtype: Any = np.float32) -> Array:
    """Small numbers."""
    return np.random.default_rng(1).integers(-9, 9, shape).astype(dtype)


@ON_ALL
@INDEX
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8, np.float16])
@pytest.mark.parametrize(("shape", "axis"), [((5, 768), 0), ((3, 7, 5), 1), ((4, 6), 1), ((2, 5, 1031), 1), ((3,), 0)])
def test_rows_are_read_where_indices_say(
    shape: tuple[int, ...], axis: int, dtype: Any, index: Any, target: Target
) -> None:
    """Rule: any axis, any element, indices from either end."""
    x, extent = numbers(*shape, dtype=dtype), shape[axis]
    indices = np.random.default_rng(2).integers(-extent, extent, 37).astype(index)
    want = x.take(indices, axis)
    got = np.zeros_like(want)
    outer, inner = int(np.prod(shape[:axis])), int(np.prod(shape[axis + 1 :])) * x.itemsize

    run_kernel(Gather(outer, extent, 37, inner, indices.itemsize), target, [x, indices], [got], pieces=3)

    np.testing.assert_array_equal(got, want)


@ON_ALL
@INDEX
def test_indices_from_outside_never_lead_outside(index: Any, target: Target) -> None:
    """Attack: indices beyond both ends, and the largest there are, read the nearest row."""
    ends = np.iinfo(index)
    x, indices = numbers(5, 16), np.array([5, -6, ends.max, ends.min, 10**6, 2], index)
    got = np.zeros((6, 16), np.float32)

    run_kernel(Gather(1, 5, 6, 64, indices.itemsize), target, [x, indices], [got])

    np.testing.assert_array_equal(got, x[[4, 0, 4, 0, 4, 2]])


@ON_ALL
@INDEX
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_elements_are_read_along_an_axis(axis: int, dtype: Any, index: Any, target: Target) -> None:
    """Rule: indices may be fewer than the tensor has elements, along every axis."""
    x = numbers(4, 5, 6, dtype=dtype)
    indices = np.random.default_rng(3).integers(-x.shape[axis], x.shape[axis], (3, 4, 5)).astype(index)
    cut = tuple(slice(None) if d == axis else slice(n) for d, n in enumerate(indices.shape))
    got = np.zeros(indices.shape, dtype)
    kernel = GatherElements(indices.shape, dense_strides(x.shape), axis, x.shape[axis], x.itemsize, indices.itemsize)

    run_kernel(kernel, target, [x, indices], [got], pieces=2)

    np.testing.assert_array_equal(got, np.take_along_axis(x[cut], indices, axis))


@ON_ALL
@INDEX
@pytest.mark.parametrize(("batch", "depth"), [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2)])
def test_slices_are_read_where_tuples_say(batch: int, depth: int, index: Any, target: Target) -> None:
    """Rule: tuples of any length, behind shared axes."""
    x = numbers(3, 4, 5)
    extents = x.shape[batch : batch + depth]
    lead = x.shape[:batch]
    indices = np.stack([np.random.default_rng(d).integers(-n, n, (*lead, 7)) for d, n in enumerate(extents)], -1)
    indices = indices.astype(index)
    if batch:
        want = np.stack([part[tuple(np.moveaxis(i, -1, 0))] for part, i in zip(x, indices, strict=True)])
    else:
        want = x[tuple(np.moveaxis(indices, -1, 0))]
    got = np.zeros_like(want)
    inner = x[0].size if batch else x.size
    slice_bytes = 4 * inner // int(np.prod(extents))
    kernel = GatherSlices(int(np.prod(lead)), 7, extents, slice_bytes, indices.itemsize)

    run_kernel(kernel, target, [x, indices], [got], pieces=2)

    np.testing.assert_array_equal(got, want)


@ON_ALL
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
@pytest.mark.parametrize("kind", ["none", "add", "mul", "max", "min"])
@pytest.mark.parametrize("inner", [1, 7, 300])
def test_slices_are_written_in_their_order(kind: ScatterKind, dtype: Any, inner: int, target: Target) -> None:
    """Rule: of several updates for one place the last stays, and all of them are summed."""
    x, updates = numbers(4, 5, inner, dtype=dtype), numbers(9, inner, dtype=dtype) * 3
    indices = np.random.default_rng(5).integers(-4, 4, (9, 2))
    want, got = x.copy(), x.copy()
    for place, update in zip(map(tuple, indices), updates, strict=True):
        want[place] = update if kind == "none" else JOINS[kind](want[place], update)

    kernel = ScatterSlices(kind, DType(x.dtype.name), 9, (4, 5), inner, 8)
    run_kernel(kernel, target, [indices, updates], [got], pieces=2)

    np.testing.assert_array_equal(got, want)


@ON_ALL
@INDEX
@pytest.mark.parametrize("kind", ["none", "add", "mul", "max", "min"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_elements_are_written_along_an_axis(kind: ScatterKind, axis: int, index: Any, target: Target) -> None:
    """Rule: indices and updates may be smaller than the tensor; what they do not name stays."""
    x, updates = numbers(4, 5, 6), numbers(3, 4, 5) + 0.5
    indices = np.random.default_rng(3).integers(-x.shape[axis], x.shape[axis], (3, 4, 5)).astype(index)
    want, got = x.copy(), x.copy()
    for at in np.ndindex(indices.shape):
        place = (*at[:axis], int(indices[at]), *at[axis + 1 :])
        want[place] = updates[at] if kind == "none" else JOINS[kind](want[place], updates[at])

    kernel = ScatterElements(
        kind, DType.FLOAT32, indices.shape, dense_strides(x.shape), axis, x.shape[axis], indices.itemsize
    )
    run_kernel(kernel, target, [indices, updates.astype(np.float32)], [got], pieces=2)

    np.testing.assert_array_equal(got, want)


@ON_ALL
def test_updates_for_outside_stay_inside(target: Target) -> None:
    """Attack: nothing outside of the tensor is written, whatever the indices are."""
    got = np.zeros((3, 2), np.float32)
    indices = np.array([[2**62], [-(2**62)], [3]])

    run_kernel(
        ScatterSlices("add", DType.FLOAT32, 3, (3,), 2, 8), target, [indices, np.ones((3, 2), np.float32)], [got]
    )

    np.testing.assert_array_equal(got, [[1, 1], [0, 0], [2, 2]])
