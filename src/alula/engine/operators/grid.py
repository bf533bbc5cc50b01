"""Sampling at coordinates: AffineGrid makes them, GridSample reads there.

In: theta [N, D, D + 1] and a size; x [N, C, spatial...] and a grid [N, out..., D] in [-1, 1], last axis first.
Out: the grid; y [N, C, out...] in the dtype of x.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from types import MappingProxyType

import numpy as np

from alula.engine.graph.dims import Shape
from alula.engine.graph.nodes import Array, Node
from alula.engine.operators.common import Mismatch, Refusal, agree, integers, show
from alula.engine.operators.precision import widened
from alula.engine.operators.record import Inference, Inferred, Operator
from alula.engine.operators.resample import cubic, triangle

_MODES = ("linear", "nearest", "cubic")
_PADDINGS = ("zeros", "border", "reflection")
_OPSET_MODES = 20
# GridSample has no attribute for the filter's parameter: PyTorch's value, which the standard names.
_CUBIC_A = -0.75


def affine_grid(theta: Array, size: Array, *, align_corners: int) -> Array:
    """The places, in [-1, 1], that the pixels of an output of `size` come from: theta times (x, y, ..., 1)."""
    sizes = _grid_sizes(theta.shape, integers(size))
    wide = widened(theta)
    grid = np.matmul(grid_points(sizes, align_corners).astype(wide.dtype), wide.transpose(0, 2, 1))
    return np.asarray(grid.reshape(len(theta), *sizes, len(sizes)), theta.dtype)


def _grid_sizes(theta: Shape, size: tuple[int, ...]) -> tuple[int, ...]:
    """The spatial sizes of [N, C, spatial...]."""
    rank = len(size) - 2
    if rank not in (2, 3) or len(theta) != 3 or not all(map(agree, theta[1:], (rank, rank + 1))):  # noqa: PLR2004
        raise Mismatch("theta must be [N, 2, 3] for 4 sizes or [N, 3, 4] for 5", f"{show(theta)} for {list(size)}")
    if not agree(theta[0], size[0]) or min(size) < 0:
        raise Mismatch(f"size must begin with {theta[0]}", f"it is {list(size)}")
    return size[2:]


def grid_points(sizes: tuple[int, ...], align_corners: int) -> Array:
    """(x, y, ..., 1) of every pixel, the last axis first: float32 [pixels, axes + 1]."""
    axes = [_centres(count, align_corners) for count in sizes]
    points = np.stack([*reversed(np.meshgrid(*axes, indexing="ij")), np.ones(sizes)], -1)
    return points.reshape(-1, len(sizes) + 1).astype(np.float32)


def _centres(count: int, align_corners: int) -> Array:
    """Places of the pixels of an axis: from edge to edge, or half a pixel inside."""
    if align_corners:
        return np.linspace(-1.0, 1.0, count)
    return (np.arange(count) * 2 + 1) / count - 1


def _infer_affine(at: Inference) -> Inferred:
    sizes = _grid_sizes(at.shape(0), integers(at.constant(1)))
    return [(at.dtype(0), (at.shape(0)[0], *sizes, len(sizes)))]


def grid_sample(x: Array, grid: Array, *, align_corners: int, mode: str, padding_mode: str) -> Array:
    """X at the grid's places, interpolated."""
    _check_sample(x.shape, grid.shape, mode, padding_mode)
    sizes = x.shape[2:]
    places = [_place(grid[..., -1 - axis], size, align_corners) for axis, size in enumerate(sizes)]
    if mode == "nearest":
        places = [np.rint(place) for place in places]
    padding = [_padded(place, size, align_corners, padding_mode) for place, size in zip(places, sizes, strict=True)]
    return sample(x, padding, mode, lambda index, axis: _resolved(index, sizes[axis], align_corners, padding_mode))


def _check_sample(x: Shape, grid: Shape, mode: str, padding_mode: str) -> None:
    if mode not in _MODES or padding_mode not in _PADDINGS:
        names = f"{', '.join(_MODES)}, and padding_mode one of {', '.join(_PADDINGS)}"
        raise Refusal(f"mode must be one of {names}", f"they are {mode} and {padding_mode}")
    if len(x) < 3 or len(x) != len(grid) or not agree(grid[-1], len(x) - 2) or not agree(x[0], grid[0]):  # noqa: PLR2004
        raise Mismatch(f"the grid must be [{x[0] if x else 'N'}, ..., {len(x) - 2}]", f"it is {show(grid)}")


def _place(coordinate: Array, size: int, align_corners: int) -> Array:
    """From [-1, 1] to element numbers."""
    wide = widened(coordinate)
    half = wide.dtype.type(0.5)
    return np.asarray((wide + 1) * half * (size - 1) if align_corners else ((wide + 1) * size - 1) * half)


def _padded(place: Array, size: int, align_corners: int, padding_mode: str) -> Array:
    if padding_mode == "border":  # what lies within half a pixel of the edge stays, which matters to cubic only
        reach = 0.0 if align_corners else 0.5
        inside = (place >= -reach) & (place <= size - 1 + reach)
        return np.where(inside, place, np.clip(place, 0, size - 1))
    return _reflected(place, size, align_corners) if padding_mode == "reflection" else place


def _reflected(place: Array, size: int, align_corners: int) -> Array:
    """Mirrored at the outer elements' centres (align_corners) or at the edges, as often as needed."""
    low, high = (0.0, size - 1.0) if align_corners else (-0.5, size - 0.5)
    width = place.dtype.type(high - low)
    if width <= 0:
        return np.zeros_like(place)
    beyond = np.where(place < low, low - place, place - low)
    turns, rest = np.floor(beyond / width), np.fmod(beyond, width)
    mirrored = np.where(turns % 2 == 0, low + rest, high - rest)
    inside = (place >= low) & (place <= high)
    return np.where(inside, place, mirrored).astype(place.dtype)


def _resolved(index: Array, size: int, align_corners: int, padding_mode: str) -> tuple[Array, Array | None]:
    """Element numbers inside of the axis, and which of them are there at all (None: all are)."""
    if padding_mode == "reflection":
        index = np.trunc(_reflected(index, size, align_corners))
    # A NaN among the coordinates has no place; it counts as outside.
    there = (index >= 0) & (index <= size - 1)
    inside = np.clip(np.where(np.isnan(index), 0, index), 0, max(size - 1, 0)).astype(np.intp)
    return inside, None if padding_mode == "border" else there


_Resolve = Callable[[Array, int], "tuple[Array, Array | None]"]


def sample(x: Array, places: Sequence[Array], mode: str, resolve: _Resolve) -> Array:
    """X [N, C, spatial...] at `places`, one array [N, out...] for each spatial axis; y [N, C, out...].

    Args:
        x: any real or integer elements; they are interpolated in float32, or float64 if that is what x holds.
        places: element numbers, which need not be whole.
        mode: linear, nearest or cubic.
        resolve: (element numbers, axis) -> the elements to read, and which of them count (None: all).
    """
    out = places[0].shape
    if 0 in out:
        return np.zeros((x.shape[0], x.shape[1], *out[1:]), x.dtype)
    batch = np.arange(len(x)).reshape(-1, *(1,) * (len(out) - 1))
    wide = widened(x)
    y = np.zeros((*out, x.shape[1]), wide.dtype)
    for parts in product(*(_parts(place, mode) for place in places)):
        resolved = [resolve(index, axis) for axis, (index, _) in enumerate(parts)]
        weight = np.ones(out, places[0].dtype)
        for (_, factor), (_, there) in zip(parts, resolved, strict=True):
            weight = weight * factor if there is None else np.where(there, weight * factor, 0)
        values = np.moveaxis(wide, 1, -1)[(batch, *(index for index, _ in resolved))]
        # What is not there adds nothing, even where an element read in its stead is infinite.
        y += np.where(weight[..., None] == 0, 0, values * weight[..., None].astype(wide.dtype, copy=False))
    return np.moveaxis(y, -1, 1).astype(x.dtype)


def _parts(place: Array, mode: str) -> list[tuple[Array, Array]]:
    """Neighbours along one axis with their weights."""
    if mode == "nearest":
        return [(place, np.ones_like(place))]
    below = np.floor(place)
    steps = (0, 1) if mode == "linear" else (-1, 0, 1, 2)
    distance = place - below
    return [
        (below + step, triangle(step - distance) if mode == "linear" else cubic(step - distance, _CUBIC_A))
        for step in steps
    ]


def _infer_sample(at: Inference) -> Inferred:
    x, grid = at.shape(0), at.shape(1)
    _check_sample(x, grid, at.attributes["mode"], at.attributes["padding_mode"])
    return [(at.dtype(0), (*x[:2], *grid[1:-1]))]


def _upgrade_sample(node: Node, version: int, constant: Callable[[Array], str]) -> Node:
    """Before 20 the modes were named for two axes."""
    del constant
    if version >= _OPSET_MODES:
        return node
    older = {"bilinear": "linear", "bicubic": "cubic"}
    mode = node.text("mode", "bilinear")
    return node.with_attributes(mode=older.get(mode, mode))


AFFINE_GRID = Operator(
    name="AffineGrid",
    since=(20,),
    inputs=("theta", "size"),
    outputs=("grid",),
    attributes=MappingProxyType({"align_corners": 0}),
    infer=_infer_affine,
    reference=affine_grid,
    summary="Coordinates of an affine transformation, for GridSample.",
)

GRID_SAMPLE = Operator(
    name="GridSample",
    since=(16, 20, 22),
    inputs=("x", "grid"),
    attributes=MappingProxyType({"align_corners": 0, "mode": "linear", "padding_mode": "zeros"}),
    infer=_infer_sample,
    reference=grid_sample,
    upgrade=_upgrade_sample,
    summary="x at given coordinates, interpolated.",
)

OPERATORS = (AFFINE_GRID, GRID_SAMPLE)
