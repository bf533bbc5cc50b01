"""Which kernel runs a MaxPool: in blocks where it can be, else on plain memory, whatever the numbers.

In: a MaxPool with layouts decided. Out: one kernel call, or None for the reference.
"""

from __future__ import annotations

import math

from alula.engine.graph.dims import static
from alula.engine.kernels.call import KernelCall, Selection
from alula.engine.kernels.lanes import computable
from alula.engine.kernels.window_extreme import Triple, WindowExtreme
from alula.engine.operators.native.pool import select_max_pool
from alula.engine.operators.window import Window, window_of

_MOST_AXES = 3


def select_max_windows(at: Selection) -> tuple[KernelCall, ...] | None:
    """Any numbers over one to three axes; places too."""
    if at.result().block:
        return select_max_pool(at)
    node, value = at.node, at.value(0)
    auto = node.text("auto_pad", "NOTSET")
    shape, out = static(value.shape or ()), at.result_shape()
    axes, placed = len(shape) - 2, bool(node.outputs[1:] and node.outputs[1])
    if value.block or not computable(value.dtype) or not 1 <= axes <= _MOST_AXES or auto not in {"NOTSET", "", "VALID"}:
        return None
    window = window_of(node.ints("kernel_shape"), {**node.attributes, "auto_pad": "NOTSET"})
    before = (0,) * axes if auto == "VALID" else tuple(pair[0] for pair in window.pads)
    if placed and not _all_inside(window, before, shape[2:], out[2:]):
        return None
    kernel = WindowExtreme(
        value.dtype, shape[0] * shape[1], _three(shape[2:]), _three(out[2:]), _three(window.kernel),
        _three(window.strides), _three(window.dilations), _three(before, 0),
        _steps(shape[2:], column_major=bool(node.integer("storage_order"))), placed,
    )  # fmt: skip
    writes = (node.output, *node.outputs[1:2]) if placed else (node.output,)
    return (KernelCall(kernel, node.inputs[:1], writes, math.prod(out) * math.prod(window.kernel)),)


def _three(numbers: tuple[int, ...], neutral: int = 1) -> Triple:
    """Numbers of one to three axes as those of three."""
    first, second, third = (neutral,) * (_MOST_AXES - len(numbers)) + tuple(numbers)
    return first, second, third


def _steps(sizes: tuple[int, ...], *, column_major: bool) -> Triple:
    """What a place grows by along each axis."""
    order = range(len(sizes))
    return _three(tuple(math.prod(sizes[:axis] if column_major else sizes[axis + 1 :]) for axis in order), 0)


def _all_inside(window: Window, before: tuple[int, ...], sizes: tuple[int, ...], out: tuple[int, ...]) -> bool:
    """Whether every window has an element: one of nothing but padding has no place."""
    for axis, size in enumerate(sizes):
        for index in range(out[axis]):
            first = index * window.strides[axis] - before[axis]
            taps = range(first, first + window.spans[axis], window.dilations[axis])
            if not any(0 <= tap < size for tap in taps):
                return False
    return True
