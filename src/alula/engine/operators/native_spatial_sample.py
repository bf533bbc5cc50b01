"""Which kernel samples pictures at coordinates.

In: a GridSample or RoiAlign on plain memory. Out: one kernel call, or None for the reference.
"""

from __future__ import annotations

import math
from typing import Literal, cast

from alula.base.tensors import DType
from alula.engine.graph.dims import static
from alula.engine.kernels.call import KernelCall, Selection
from alula.engine.kernels.grid_sample import GridSample

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
