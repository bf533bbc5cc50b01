"""Repetition and blocks: Expand, Tile, DepthToSpace, SpaceToDepth.

In: x, and shape or repeats as int64. Out: x repeated, or its blocks moved between channels and space.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from alula.engine.graph.dims import Shape, static
from alula.engine.graph.nodes import Array
from alula.engine.operators.common import Mismatch, Refusal, broadcast_shapes, integers, show
from alula.engine.operators.record import REQUIRED, Inference, Inferred, Operator

_PLANES = 4  # N, C, H, W


def expand(x: Array, shape: Array) -> Array:
    """X broadcast with `shape`, in both directions; a view that must not be written."""
    return np.broadcast_to(x, static(broadcast_shapes(x.shape, integers(shape))))


def _infer_expand(at: Inference) -> Inferred:
    return [(at.dtype(0), broadcast_shapes(at.shape(0), at.sizes(1)))]


def _infer_tile(at: Inference) -> Inferred:
    x, repeats = at.shape(0), at.sizes(1)
    if len(repeats) != len(x) or any(isinstance(count, int) and count < 0 for count in repeats):
        raise Mismatch(f"repeats needs {len(x)} numbers of at least 0", f"it is {list(repeats)}")
    return [(at.dtype(0), tuple(dim * count for dim, count in zip(x, repeats, strict=True)))]


def _check_blocks(x: Shape, size: int, mode: str) -> None:
    if len(x) != _PLANES or size < 1:
        raise Mismatch("input must be [N, C, H, W] and blocksize positive", f"they are {show(x)} and {size}")
    if mode not in ("DCR", "CRD"):
        raise Refusal("mode must be DCR or CRD", f"it is {mode}")


def _deep_shape(x: Shape, size: int, mode: str) -> Shape:
    """After SpaceToDepth."""
    _check_blocks(x, size, mode)
    if any(isinstance(dim, int) and dim % size for dim in x[2:]):
        raise Mismatch(f"height and width must be multiples of {size}", f"input is {show(x)}")
    return x[0], x[1] * (size * size), x[2] // size, x[3] // size


def _wide_shape(x: Shape, size: int, mode: str) -> Shape:
    """After DepthToSpace."""
    _check_blocks(x, size, mode)
    if isinstance(x[1], int) and x[1] % (size * size):
        raise Mismatch(f"channels must be a multiple of {size * size}", f"input is {show(x)}")
    return x[0], x[1] // (size * size), x[2] * size, x[3] * size


def depth_to_space(x: Array, *, blocksize: int, mode: str) -> Array:
    """Channels become blocks of pixels."""
    n, c, h, w = static(_wide_shape(x.shape, blocksize, mode))
    rows, columns = x.shape[2:]
    if mode == "DCR":
        parts = x.reshape(n, blocksize, blocksize, c, rows, columns).transpose(0, 3, 4, 1, 5, 2)
    else:
        parts = x.reshape(n, c, blocksize, blocksize, rows, columns).transpose(0, 1, 4, 2, 5, 3)
    return parts.reshape(n, c, h, w)


def space_to_depth(x: Array, *, blocksize: int, mode: str) -> Array:
    """Blocks of pixels become channels."""
    n, c, h, w = static(_deep_shape(x.shape, blocksize, mode))
    parts = x.reshape(n, x.shape[1], h, blocksize, w, blocksize)
    order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
    return parts.transpose(order).reshape(n, c, h, w)


EXPAND = Operator(
    name="Expand",
    since=(8, 13),
    inputs=("x", "shape"),
    infer=_infer_expand,
    reference=expand,
    summary="Broadcast to a shape.",
)

TILE = Operator(
    name="Tile",
    since=(6, 13),
    inputs=("x", "repeats"),
    infer=_infer_tile,
    reference=lambda x, repeats: np.tile(x, integers(repeats)),
    summary="Repeat along each axis.",
)

DEPTH_TO_SPACE = Operator(
    name="DepthToSpace",
    since=(1, 11, 13, 28),
    inputs=("x",),
    attributes=MappingProxyType({"blocksize": REQUIRED, "mode": "DCR"}),
    infer=lambda at: [(at.dtype(0), _wide_shape(at.shape(0), at.attributes["blocksize"], at.attributes["mode"]))],
    reference=depth_to_space,
    summary="Channels become blocks of pixels.",
)

SPACE_TO_DEPTH = Operator(
    name="SpaceToDepth",
    since=(1, 13, 28),
    inputs=("x",),
    attributes=MappingProxyType({"blocksize": REQUIRED, "mode": "DCR"}),
    infer=lambda at: [(at.dtype(0), _deep_shape(at.shape(0), at.attributes["blocksize"], at.attributes["mode"]))],
    reference=space_to_depth,
    summary="Blocks of pixels become channels.",
)

OPERATORS = (EXPAND, TILE, DEPTH_TO_SPACE, SPACE_TO_DEPTH)
