"""Sizes brought back or forced: CenterCropPad, MaxUnpool.

In: x, a shape (int64); x with int64 positions as MaxPool gives them. Out: y in the dtype of x, zeros where nothing is.
"""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.engine.graph.dims import Dim, Shape, static
from alula.engine.graph.nodes import Array
from alula.engine.operators.common import Mismatch, all_agree, axes_of, integers, show
from alula.engine.operators.record import REQUIRED, Inference, Inferred, Operator
from alula.engine.operators.window import Window, check_elements, window_of


def center_crop_pad(x: Array, shape: Array, *, axes: tuple[int, ...]) -> Array:
    """X cut or padded with zeros to a shape, evenly on both sides; an odd element goes to the end."""
    wanted = static(_cropped(x.shape, integers(shape), axes))
    check_elements(wanted)
    y = np.zeros(wanted, x.dtype)
    read, write = [], []
    for have, want in zip(x.shape, wanted, strict=True):
        kept = min(have, want)
        read.append(slice((have - kept) // 2, (have - kept) // 2 + kept))
        write.append(slice((want - kept) // 2, (want - kept) // 2 + kept))
    y[tuple(write)] = x[tuple(read)]
    return y


def _cropped(x: Shape, sizes: tuple[int, ...], axes: tuple[int, ...]) -> Shape:
    chosen = axes_of(axes, len(x)) if axes else tuple(range(len(x)))
    if len(sizes) != len(chosen) or any(size < 0 for size in sizes):
        raise Mismatch(f"shape needs {len(chosen)} numbers of at least 0", f"it is {list(sizes)}")
    dims: list[Dim] = list(x)
    for axis, size in zip(chosen, sizes, strict=True):
        dims[axis] = size
    return tuple(dims)


def max_unpool(x: Array, indices: Array, output_shape: Array | None = None, **attributes: Any) -> Array:
    """X at the places that MaxPool took it from, zeros elsewhere.

    Positions count in the whole tensor of the size that the window implies; a larger `output_shape` adds zeros behind.
    """
    inferred = static(_unpooled(x.shape, indices.shape, attributes))
    wanted = inferred if output_shape is None else _fitting(integers(output_shape), inferred)
    check_elements(wanted)
    flat = np.zeros(math.prod(inferred), x.dtype)
    places = indices.reshape(-1)
    if places.size and not 0 <= places.min() <= places.max() < flat.size:
        raise Mismatch(f"positions must be in [0, {flat.size})", f"they reach from {places.min()} to {places.max()}")
    flat[places] = x.reshape(-1)
    y = np.zeros(wanted, x.dtype)
    y[tuple(slice(0, size) for size in inferred)] = flat.reshape(inferred)
    return y


def _fitting(wanted: tuple[int, ...], inferred: tuple[int, ...]) -> tuple[int, ...]:
    if len(wanted) != len(inferred) or any(size < least for size, least in zip(wanted, inferred, strict=True)):
        raise Mismatch(f"output_shape must be at least {show(inferred)}", f"it is {list(wanted)}")
    return wanted


def _unpooled(x: Shape, indices: Shape, attributes: Any) -> Shape:
    """stride (input - 1) + kernel - padding along each spatial axis."""
    kernel = attributes["kernel_shape"]
    if len(x) != len(kernel) + 2 or not all_agree(x, indices):
        raise Mismatch(
            f"input and positions must be one shape of rank {len(kernel) + 2}", f"{show(x)}, {show(indices)}"
        )
    window: Window = window_of(kernel, dict(attributes))
    rows = zip(x[2:], kernel, window.strides, window.pads, strict=True)
    sizes = tuple((size - 1) * stride + (taps - sum(pads)) for size, taps, stride, pads in rows)
    if any(isinstance(size, int) and size < 1 for size in sizes):
        raise Mismatch("padding must leave an output", f"its spatial axes would be {show(sizes)}")
    return *x[:2], *sizes


def _infer_unpool(at: Inference) -> Inferred:
    inferred = _unpooled(at.shape(0), at.shape(1), at.attributes)
    return [(at.dtype(0), integers(at.constant(2)) if at.has(2) else inferred)]


CENTER_CROP_PAD = Operator(
    name="CenterCropPad",
    since=(18,),
    inputs=("x", "shape"),
    attributes=MappingProxyType({"axes": ()}),
    infer=lambda at: [(at.dtype(0), _cropped(at.shape(0), integers(at.constant(1)), at.attributes["axes"]))],
    reference=center_crop_pad,
    summary="The middle of x, cut or padded to a shape.",
)

MAX_UNPOOL = Operator(
    name="MaxUnpool",
    since=(9, 11, 22),
    inputs=("x", "indices", "output_shape?"),
    attributes=MappingProxyType({"kernel_shape": REQUIRED, "pads": (), "strides": ()}),
    infer=_infer_unpool,
    reference=max_unpool,
    summary="Elements back at the places that MaxPool took them from.",
)

OPERATORS = (CENTER_CROP_PAD, MAX_UNPOOL)
