"""Which kernel samples pictures at coordinates.

In: a GridSample, RoiAlign or DeformColumns on plain memory. Out: one kernel call, or None for the reference.
"""

from __future__ import annotations

import math
from itertools import product
from typing import Literal, cast

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import static
from alula.engine.kernels.call import KernelCall, Selection
from alula.engine.kernels.deform import DeformColumns
from alula.engine.kernels.grid_sample import GridSample
from alula.engine.kernels.roi_align import RoiAlign
from alula.engine.operators.window import output_sizes, window_of

_RANK = 4
# Element numbers are 32-bit integers in vectors.
_MOST_PIXELS = 1 << 31
_FLOPS = {"linear": 8, "nearest": 1}


def select_grid_sample(at: Selection) -> tuple[KernelCall, ...] | None:
    """Nearest and linear over two axes; cubic and volumes go to the reference."""
    x, grid, y = (static(value.shape or ()) for value in (at.value(0), at.value(1), at.result()))
    mode, padding = at.node.text("mode", "linear"), at.node.text("padding_mode", "zeros")
    values = (at.value(0), at.value(1), at.result())
    if len(x) != _RANK or any(value.block or value.dtype is not DType.FLOAT32 for value in values):
        return None
    if mode not in _FLOPS or not math.prod(x) or not math.prod(grid) or x[2] * x[3] >= _MOST_PIXELS:
        return None
    kernel = GridSample(
        batch=x[0],
        channels=x[1],
        size=(x[2], x[3]),
        pixels=grid[1] * grid[2],
        mode=cast("Literal['linear', 'nearest']", mode),
        padding=cast("Literal['zeros', 'border', 'reflection']", padding),
        align_corners=bool(at.node.integer("align_corners")),
        lanes=at.target.lanes,
    )
    return (KernelCall(kernel, at.node.inputs, (at.node.output,), math.prod(y) * _FLOPS[mode]),)


def select_roi_align(at: Selection) -> tuple[KernelCall, ...] | None:
    """Means and maxima of bilinear samples."""
    x, rois = at.shape(0), at.shape(1)
    floats = (at.value(0), at.value(1), at.result())
    if any(value.block or value.dtype is not DType.FLOAT32 for value in floats):
        return None
    if at.value(2).dtype is not DType.INT64 or not math.prod(x) or not rois[0] or x[2] * x[3] >= _MOST_PIXELS:
        return None
    bins = at.node.integer("output_height", 1), at.node.integer("output_width", 1)
    kernel = RoiAlign(
        batch=x[0],
        channels=x[1],
        size=(x[2], x[3]),
        regions=rois[0],
        bins=bins,
        samples=max(at.node.integer("sampling_ratio"), 0),
        scale=at.node.real("spatial_scale", 1.0),
        kind=cast("Literal['avg', 'max']", at.node.text("mode", "avg")),
        half_pixel=at.node.text("coordinate_transformation_mode", "half_pixel") == "half_pixel",
    )
    # With samples taken as regions need them, two along each axis are usual.
    samples = (kernel.samples or 2) ** 2
    flops = math.prod(at.result_shape()) * samples * _FLOPS["linear"]
    return (KernelCall(kernel, at.node.inputs, (at.node.output,), flops),)


def select_deform_columns(at: Selection) -> tuple[KernelCall, ...] | None:
    """The columns that a matrix product turns into a deformable convolution."""
    values = [at.values[name] for name in (*at.node.inputs, at.node.output) if name]
    if any(value.block or value.dtype is not DType.FLOAT32 for value in values):
        return None
    batch, channels, height, width = at.shape(0)
    names = ("kernel_shape", "strides", "dilations", "pads")
    window = window_of(at.node.ints("kernel_shape"), {name: at.node.ints(name) for name in names})
    sizes = static(output_sizes(window, (height, width)))
    if not math.prod(at.result_shape()) or height * width >= _MOST_PIXELS:
        return None
    starts = [np.arange(sizes[axis]) * window.strides[axis] - window.pads[axis][0] for axis in (0, 1)]
    places = np.stack(np.meshgrid(*starts, indexing="ij")).reshape(2, -1).astype(np.float32)
    taps = [
        (row * window.dilations[0], column * window.dilations[1])
        for row, column in product(range(window.kernel[0]), range(window.kernel[1]))
    ]
    kernel = DeformColumns(
        batch=batch,
        channels=channels,
        groups=at.node.integer("offset_group", 1),
        size=(height, width),
        pixels=math.prod(sizes),
        taps=tuple(taps),
        masked=bool(at.node.input(2)),
        lanes=at.target.lanes,
    )
    flops = math.prod(at.result_shape()) * _FLOPS["linear"]
    return (KernelCall(kernel, (*filter(None, at.node.inputs), places), (at.node.output,), flops),)
