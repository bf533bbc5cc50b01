"""Which kernel runs a pooling.

In: a node with layouts decided. Out: one kernel call, or None for the reference.
"""

from __future__ import annotations

import math
from typing import Literal

from alula.engine.graph.dims import static
from alula.engine.kernels.call import KernelCall, Selection
from alula.engine.kernels.global_pool import GlobalPool
from alula.engine.kernels.pool import Pool
from alula.engine.operators.native.reduce import plain_pool


def select_max_pool(at: Selection) -> tuple[KernelCall, ...] | None:
    """Maximum over windows, in blocks."""
    return _pool(at, "max")


def select_average_pool(at: Selection) -> tuple[KernelCall, ...] | None:
    """Mean over windows, in blocks."""
    return _pool(at, "average")


def select_global_max_pool(at: Selection) -> tuple[KernelCall, ...] | None:
    """Maximum over all pixels, in blocks or plain."""
    return _global_pool(at, "max") if at.result().block else plain_pool(at, "max")


def select_global_average_pool(at: Selection) -> tuple[KernelCall, ...] | None:
    """Mean over all pixels, in blocks or plain."""
    return _global_pool(at, "average") if at.result().block else plain_pool(at, "mean")


def _pool(at: Selection, kind: Literal["max", "average"]) -> tuple[KernelCall, ...] | None:
    node, result = at.node, at.result()
    if not result.block or len([name for name in node.outputs if name]) > 1 or node.integer("storage_order"):
        return None
    batch, channels, in_h, in_w = at.shape(0)
    out_h, out_w = static(result.shape or ())[2:]
    kernel, strides = node.ints("kernel_shape"), node.ints("strides") or (1, 1)
    dilations, pads = node.ints("dilations") or (1, 1), node.ints("pads") or (0, 0, 0, 0)
    top, left, bottom, right = pads
    pool = Pool(
        channels, in_h, in_w, out_h, out_w, kernel[0], kernel[1], strides[0], strides[1], dilations[0], dilations[1],
        top, left, batch, result.block, kind, bottom, right, bool(node.integer("count_include_pad")),
    )  # fmt: skip
    flops = math.prod(static(result.shape or ())) * math.prod(kernel)
    return (KernelCall(pool, (node.inputs[0],), (node.output,), flops),)


def _global_pool(at: Selection, kind: Literal["max", "average"]) -> tuple[KernelCall, ...] | None:
    value, result = at.value(0), at.result()
    batch, channels, *size = static(value.shape or ())
    kernel = GlobalPool(kind, channels, math.prod(size), batch, result.block)
    return (KernelCall(kernel, (value.name,), (result.name,), math.prod(static(value.shape or ()))),)
