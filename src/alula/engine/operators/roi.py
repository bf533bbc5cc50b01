"""Pooling over regions of interest: RoiAlign, MaxRoiPool.

In: x [N, C, H, W]; rois [R, 4] as x1, y1, x2, y2 with the picture of each [R], or both in one [R, 5], picture first.
Out: y [R, C, out_h, out_w] in the dtype of x.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.engine.graph.dims import Shape
from alula.engine.graph.nodes import Array, Node
from alula.engine.operators.common import Mismatch, Refusal, agree, show
from alula.engine.operators.precision import widened
from alula.engine.operators.record import REQUIRED, Inference, Inferred, Operator
from alula.engine.operators.window import check_elements

_OPSET_HALF_PIXEL = 16


@dataclass(frozen=True)
class _Samples:
    """The sample points of one region along one axis: two neighbours each with their weights, [bins, samples]."""

    low: Array
    high: Array
    below: Array
    above: Array

    def matrix(self, extent: int) -> Array:
        """The sum over each bin's samples as a matrix [bins, extent]."""
        rows = np.repeat(np.arange(len(self.low)), self.low.shape[1])
        found = np.zeros((len(self.low), extent), self.below.dtype)
        for places, weights in ((self.low, self.below), (self.high, self.above)):
            np.add.at(found, (rows, places.reshape(-1)), weights.reshape(-1))
        return found


def roi_align(
    x: Array, rois: Array, batch_indices: Array, *, output_height: int, output_width: int, mode: str, **options: Any
) -> Array:
    """The mean, or the largest, of bilinear samples in each bin of each region (He et al., Mask R-CNN, 2017).

    `max` takes the largest of the four weighted neighbours of each sample, as the standard's reference does.
    """
    _check_align(x.shape, rois.shape, batch_indices.shape, mode, options["coordinate_transformation_mode"])
    wide, boxes = widened(x), widened(rois)
    y = np.zeros((len(rois), x.shape[1], output_height, output_width), wide.dtype)
    for index, (box, picture) in enumerate(zip(boxes, batch_indices, strict=True)):
        columns, rows = (
            _samples((box[axis], box[axis + 2]), bins, x.shape[3 - axis], options)
            for axis, bins in ((0, output_width), (1, output_height))
        )
        pool = _mean_of if mode == "avg" else _largest_of
        if rows.low.size and columns.low.size:
            y[index] = pool(wide[picture], rows, columns)
    return y.astype(x.dtype, copy=False)


def _samples(ends: tuple[Any, Any], bins: int, extent: int, options: dict[str, Any]) -> _Samples:
    half = options["coordinate_transformation_mode"] == "half_pixel"
    scale = ends[0].dtype.type(options["spatial_scale"])
    start, end = (value * scale - value.dtype.type(0.5 if half else 0.0) for value in ends)
    length = end - start if half else max(end - start, end.dtype.type(1.0))
    count = options["sampling_ratio"] if options["sampling_ratio"] > 0 else max(math.ceil(length / bins), 0)
    check_elements((bins, count))
    width = length / bins
    steps = (np.arange(count, dtype=width.dtype) + width.dtype.type(0.5)) * width / max(count, 1)
    places = start + np.arange(bins, dtype=width.dtype)[:, None] * width + steps
    there = (places >= -1) & (places <= extent)
    inside = np.clip(np.where(there, places, 0), 0, extent - 1)
    low = np.floor(inside).astype(np.intp)
    above = np.where(there, inside - low, 0)
    return _Samples(low, np.minimum(low + 1, extent - 1), np.where(there, 1 - above, 0), above)


def _mean_of(picture: Array, rows: _Samples, columns: _Samples) -> Array:
    count = rows.low.shape[1] * columns.low.shape[1]
    down = np.matmul(rows.matrix(picture.shape[1]), picture)
    return np.asarray(np.matmul(down, columns.matrix(picture.shape[2]).T) / down.dtype.type(count))


def _largest_of(picture: Array, rows: _Samples, columns: _Samples) -> Array:
    terms = [
        picture[:, row[:, :, None, None], column] * (tall[:, :, None, None] * wide)
        for row, tall in ((rows.low, rows.below), (rows.high, rows.above))
        for column, wide in ((columns.low, columns.below), (columns.high, columns.above))
    ]
    return np.asarray(np.max(terms, axis=0).max((2, 4)))


def _check_align(x: Shape, rois: Shape, pictures: Shape, mode: str, place: str) -> None:
    if mode not in ("avg", "max") or place not in ("half_pixel", "output_half_pixel"):
        needed = "mode must be avg or max, coordinate_transformation_mode half_pixel or output_half_pixel"
        raise Refusal(needed, f"they are {mode} and {place}")
    if len(x) != 4 or len(rois) != 2 or not agree(rois[1], 4):  # noqa: PLR2004  [N, C, H, W] and [R, 4]
        raise Mismatch("input must be [N, C, H, W] and rois [R, 4]", f"they are {show(x)} and {show(rois)}")
    if len(pictures) != 1 or not agree(pictures[0], rois[0]):
        raise Mismatch(f"batch_indices must be [{rois[0]}]", f"they are {show(pictures)}")


def _infer_align(at: Inference) -> Inferred:
    kept = at.attributes
    x, rois = at.shape(0), at.shape(1)
    _check_align(x, rois, at.shape(2), kept["mode"], kept["coordinate_transformation_mode"])
    return [(at.dtype(0), (rois[0], x[1], kept["output_height"], kept["output_width"]))]


def _upgrade_align(node: Node, version: int, constant: Callable[[Array], str]) -> Node:
    """Before 16 coordinates were not shifted by half a pixel."""
    del constant
    if version >= _OPSET_HALF_PIXEL:
        return node
    return node.with_attributes(coordinate_transformation_mode="output_half_pixel")


def max_roi_pool(x: Array, rois: Array, *, pooled_shape: tuple[int, ...], spatial_scale: float) -> Array:
    """The largest element of each bin of each region, 0 for empty bins (Girshick, Fast R-CNN, 2015)."""
    _check_pool(x.shape, rois.shape, pooled_shape)
    y = np.zeros((len(rois), x.shape[1], *pooled_shape), x.dtype)
    for index, (picture, *box) in enumerate(widened(rois)):
        # Half a pixel is rounded away from zero, as in the authors' code.
        left, top, right, bottom = (math.floor(abs(end) * spatial_scale + 0.5) * (-1 if end < 0 else 1) for end in box)
        rows = _bins(top, bottom, pooled_shape[0], x.shape[2])
        columns = _bins(left, right, pooled_shape[1], x.shape[3])
        for i, (first, last) in enumerate(rows):
            for j, (begin, end) in enumerate(columns):
                if first < last and begin < end:
                    y[index, :, i, j] = widened(x[int(picture), :, first:last, begin:end]).max((1, 2))
    return y


def _bins(start: int, end: int, bins: int, extent: int) -> list[tuple[int, int]]:
    width = max(end - start + 1, 1) / bins
    pairs = [(math.floor(bin_ * width) + start, math.ceil((bin_ + 1) * width) + start) for bin_ in range(bins)]
    return [(min(max(first, 0), extent), min(max(last, 0), extent)) for first, last in pairs]


def _check_pool(x: Shape, rois: Shape, pooled_shape: tuple[int, ...]) -> None:
    if len(x) != 4 or len(rois) != 2 or not agree(rois[1], 5):  # noqa: PLR2004  [N, C, H, W] and [R, 5]
        raise Mismatch("input must be [N, C, H, W] and rois [R, 5]", f"they are {show(x)} and {show(rois)}")
    if len(pooled_shape) != 2 or min(pooled_shape) < 1:  # noqa: PLR2004  height and width
        raise Mismatch("pooled_shape must be a height and a width", f"it is {list(pooled_shape)}")


def _infer_pool(at: Inference) -> Inferred:
    _check_pool(at.shape(0), at.shape(1), at.attributes["pooled_shape"])
    return [(at.dtype(0), (at.shape(1)[0], at.shape(0)[1], *at.attributes["pooled_shape"]))]


ROI_ALIGN = Operator(
    name="RoiAlign",
    since=(10, 16, 22),
    inputs=("x", "rois", "batch_indices"),
    attributes=MappingProxyType(
        {
            "coordinate_transformation_mode": "half_pixel",
            "mode": "avg",
            "output_height": 1,
            "output_width": 1,
            "sampling_ratio": 0,
            "spatial_scale": 1.0,
        }
    ),
    infer=_infer_align,
    reference=roi_align,
    upgrade=_upgrade_align,
    summary="Regions of interest at one size, by bilinear samples.",
)

MAX_ROI_POOL = Operator(
    name="MaxRoiPool",
    since=(1, 22),
    inputs=("x", "rois"),
    attributes=MappingProxyType({"pooled_shape": REQUIRED, "spatial_scale": 1.0}),
    infer=_infer_pool,
    reference=max_roi_pool,
    summary="Regions of interest at one size, by the largest elements.",
)

OPERATORS = (ROI_ALIGN, MAX_ROI_POOL)
