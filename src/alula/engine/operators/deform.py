"""Convolution at displaced taps, and the sum of overlapping blocks.

In: x [N, C, H, W], w [M, C/group, kernel], offsets and a mask for each tap; or columns [N, C * block, L].
Out: y [N, M, out_h, out_w]; the image [N, C, spatial...].
"""

from __future__ import annotations

import math
from itertools import product
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.engine.graph.dims import Shape, static
from alula.engine.graph.nodes import Array
from alula.engine.operators.common import Mismatch, agree, all_agree, integers, show
from alula.engine.operators.conv import CONV_ATTRIBUTES, conv_geometry, overlapped
from alula.engine.operators.grid import sample
from alula.engine.operators.precision import widened
from alula.engine.operators.record import Inference, Inferred, Operator
from alula.engine.operators.window import check_elements, output_sizes, window_of

_SPATIAL = 2


def deform_conv(
    x: Array,
    w: Array,
    offset: Array,
    b: Array | None = None,
    mask: Array | None = None,
    *,
    offset_group: int,
    **conv: Any,
) -> Array:
    """Convolution whose taps are moved by `offset` and scaled by `mask`; x is read bilinearly, as 0 outside.

    Dai et al., Deformable convolutional networks, 2017; with a mask Zhu et al., Deformable ConvNets v2, 2019.
    """
    group = conv.pop("group")
    sizes = static(deform_shape((x.shape, w.shape, offset.shape), group, offset_group, conv)[2:])
    conv["kernel_shape"] = w.shape[2:]
    columns = deform_columns(x, offset, mask, offset_group=offset_group, **conv)
    flat = widened(columns).reshape(len(x), group, -1, math.prod(sizes))
    y = np.matmul(widened(w).reshape(group, w.shape[0] // group, -1), flat).reshape(len(x), w.shape[0], *sizes)
    return np.asarray(y if b is None else y + widened(b).reshape(-1, 1, 1), x.dtype)


def deform_columns(x: Array, offset: Array, mask: Array | None = None, *, offset_group: int, **conv: Any) -> Array:
    """What each tap reads, scaled by the mask: [N, C taps, pixels], in the type that x is computed in."""
    window = window_of(conv["kernel_shape"], conv)
    sizes = static(output_sizes(window, x.shape[2:]))
    taps = math.prod(window.kernel)
    check_elements((len(x), x.shape[1], taps, *sizes))
    moves = widened(offset).reshape(len(x), offset_group, taps, _SPATIAL, *sizes)
    columns = np.empty((len(x), offset_group, x.shape[1] // offset_group, taps, *sizes), widened(x).dtype)
    parts = widened(x).reshape(len(x), offset_group, -1, *x.shape[2:])
    for part, (index, tap) in product(range(offset_group), enumerate(np.ndindex(*window.kernel))):
        places = []
        for axis in range(_SPATIAL):
            start = tap[axis] * window.dilations[axis] - window.pads[axis][0]
            line = np.arange(sizes[axis]) * window.strides[axis] + start
            places.append(
                moves[:, part, index, axis] + line.reshape(-1, *(1,) * (_SPATIAL - 1 - axis)).astype(moves.dtype)
            )
        columns[:, part, :, index] = sample(parts[:, part], places, "linear", _zeros_outside(x.shape[2:]))
    if mask is not None:
        columns *= widened(mask).reshape(len(x), offset_group, 1, taps, *sizes)
    return columns.reshape(len(x), -1, math.prod(sizes))


def _zeros_outside(sizes: tuple[int, ...]) -> Any:
    def resolve(index: Array, axis: int) -> tuple[Array, Array]:
        there = (index >= 0) & (index <= sizes[axis] - 1)
        return np.where(there, index, 0).astype(np.intp), there

    return resolve


def deform_shape(shapes: tuple[Shape, Shape, Shape], group: int, offset_group: int, conv: dict[str, Any]) -> Shape:
    """The output of a deformable convolution, from the shapes of x, w and the offsets.

    Raises:
        Mismatch: they do not fit.
    """
    x, w, offset = shapes
    channels, sizes = conv_geometry(x, w, group, conv)
    if len(x) != _SPATIAL + 2:
        raise Mismatch("input must be [N, C, H, W]", f"it is {show(x)}")
    if offset_group < 1 or (isinstance(x[1], int) and x[1] % offset_group):
        raise Mismatch(f"channels must divide into {offset_group} offset groups", f"input is {show(x)}")
    wanted = (x[0], offset_group * math.prod(static(w[2:])) * _SPATIAL, *sizes)
    if not all_agree(offset, wanted):
        raise Mismatch(f"offset must be {show(wanted)}", f"it is {show(offset)}")
    return x[0], channels, *sizes


def _infer_deform(at: Inference) -> Inferred:
    conv = dict(at.attributes)
    group, offset_group = conv.pop("group"), conv.pop("offset_group")
    return [(at.dtype(0), deform_shape((at.shape(0), at.shape(1), at.shape(2)), group, offset_group, conv))]


def col2im(x: Array, image_shape: Array, block_shape: Array, **attributes: Any) -> Array:
    """The image whose blocks are the columns of x; where blocks overlap they are added."""
    sizes, block = integers(image_shape), integers(block_shape)
    shape = static(_image_shape(x.shape, sizes, block, attributes))
    window = window_of(block, attributes)
    counts = static(output_sizes(window, sizes))
    full = tuple(size + sum(pads) for size, pads in zip(sizes, window.pads, strict=True))
    y = overlapped(widened(x).reshape(*shape[:2], *block, *counts), window, full)
    cut = [slice(before, before + size) for size, (before, _) in zip(sizes, window.pads, strict=True)]
    return np.asarray(y[(slice(None), slice(None), *cut)], x.dtype)


def _image_shape(x: Shape, sizes: tuple[int, ...], block: tuple[int, ...], attributes: dict[str, Any]) -> Shape:
    if len(x) != 3 or len(sizes) != len(block):  # noqa: PLR2004  batch, channels with taps, blocks
        raise Mismatch(
            "columns must be [N, C, L] and both shapes equally long", f"they are {show(x)}, {sizes}, {block}"
        )
    counts = output_sizes(window_of(block, attributes), sizes)
    taps, blocks = math.prod(block), math.prod(static(counts))
    if (isinstance(x[1], int) and x[1] % taps) or not agree(x[2], blocks):
        raise Mismatch(f"columns must be [N, {taps} C, {blocks}]", f"they are {show(x)}")
    return x[0], x[1] // taps, *sizes


def _infer_col2im(at: Inference) -> Inferred:
    shapes = integers(at.constant(1)), integers(at.constant(2))
    return [(at.dtype(0), _image_shape(at.shape(0), *shapes, dict(at.attributes)))]


DEFORM_CONV = Operator(
    name="DeformConv",
    since=(19, 22),
    inputs=("x", "w", "offset", "b?", "mask?"),
    attributes=MappingProxyType(
        {**{name: value for name, value in CONV_ATTRIBUTES.items() if name != "auto_pad"}, "offset_group": 1}
    ),
    infer=_infer_deform,
    reference=deform_conv,
    summary="Convolution with a displacement, and a factor, for each tap.",
)

COL2IM = Operator(
    name="Col2Im",
    since=(18,),
    inputs=("x", "image_shape", "block_shape"),
    attributes=MappingProxyType({"dilations": (), "pads": (), "strides": ()}),
    infer=_infer_col2im,
    reference=col2im,
    summary="An image from its blocks, which are added where they overlap.",
)

OPERATORS = (DEFORM_CONV, COL2IM)
