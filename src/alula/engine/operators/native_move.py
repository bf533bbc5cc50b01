"""Which kernel runs an operator that only moves elements.

In: Concat, Split, Slice, Transpose, Pad, Expand or Copy with layouts decided. Out: one copy kernel, or None.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from alula.engine.graph.dims import static
from alula.engine.graph.nodes import Value
from alula.engine.kernels.call import KernelCall, Selection
from alula.engine.kernels.copy import Copy, Region

_RANK = 4


def select_copy(at: Selection) -> tuple[KernelCall, ...] | None:
    """The whole tensor as it is."""
    shape = _stored(at.value(0))
    if at.value(0).block != at.result().block or not math.prod(shape):
        return None
    return _call(at, [_region(shape, 0, (0, _dense(shape)), (0, _dense(shape)))])


def select_concat(at: Selection) -> tuple[KernelCall, ...] | None:
    """Each input into its stretch of the output; in blocks along the channels, whole blocks at a time."""
    result = at.result()
    inputs = [at.value(index) for index in range(len(at.node.inputs))]
    axis = at.node.integer("axis") % max(1, len(result.shape or ()))
    if any(value.block != result.block for value in inputs) or (result.block and axis != 1):
        return None
    whole = _dense(_stored(result))
    regions, start = [], 0
    for index, value in enumerate(inputs):
        shape = _stored(value)
        if math.prod(shape):
            regions.append(_region(shape, index, (0, _dense(shape)), (start * whole[axis], whole)))
        start += shape[axis]
    return _call(at, regions) if regions else None


def select_split(at: Selection) -> tuple[KernelCall, ...] | None:
    """Each stretch of the input into its output."""
    if at.value(0).block:
        return None
    shape = _stored(at.value(0))
    axis = at.node.integer("axis") % max(1, len(shape))
    whole = _dense(shape)
    regions, start = [], 0
    for index, name in enumerate(at.node.outputs):
        if not name:
            return None
        part = _stored(at.values[name])
        if math.prod(part):
            regions.append(_region(part, 0, (start * whole[axis], whole), (0, _dense(part)), index))
        start += part[axis]
    return _call(at, regions) if regions else None


def select_slice(at: Selection) -> tuple[KernelCall, ...] | None:
    """Constant starts and positive steps."""
    starts, steps = at.constant(1), at.constant(4)
    shape, result = _stored(at.value(0)), _stored(at.result())
    if at.value(0).block or starts is None or not math.prod(result) or (at.node.input(4) and steps is None):
        return None
    axes = at.constant(3)
    if at.node.input(3) and axes is None:
        return None
    chosen = [int(a) % len(shape) for a in (axes if axes is not None else range(starts.size))]
    strides, offset, whole = list(_dense(shape)), 0, _dense(shape)
    for index, axis in enumerate(chosen):
        step = 1 if steps is None else int(steps[index])
        if step < 1:
            return None
        start = int(starts[index])
        start = min(max(start + shape[axis] if start < 0 else start, 0), shape[axis])
        offset += start * whole[axis]
        strides[axis] = whole[axis] * step
    return _call(at, [_region(result, 0, (offset, tuple(strides)), (0, _dense(result)))])


def select_transpose(at: Selection) -> tuple[KernelCall, ...] | None:
    """Any permutation."""
    shape = _stored(at.value(0))
    if at.value(0).block or not math.prod(shape):
        return None
    order = at.node.ints("perm") or tuple(reversed(range(len(shape))))
    whole, result = _dense(shape), tuple(shape[axis] for axis in order)
    return _call(at, [_region(result, 0, (0, tuple(whole[axis] for axis in order)), (0, _dense(result)))])


def select_expand(at: Selection) -> tuple[KernelCall, ...] | None:
    """Repeats along axes of 1."""
    shape, result = _stored(at.value(0)), _stored(at.result())
    if at.value(0).block or not math.prod(result):
        return None
    padded = (1,) * (len(result) - len(shape)) + shape
    strides = tuple(0 if extent == 1 else stride for extent, stride in zip(padded, _dense(padded), strict=True))
    return _call(at, [_region(result, 0, (0, strides), (0, _dense(result)))])


def select_pad(at: Selection) -> tuple[KernelCall, ...] | None:
    """A constant border; blocked tensors along rows and columns only."""
    value, result = at.value(0), at.result()
    amounts = at.constant(1)
    if amounts is None or at.node.text("mode", "constant") != "constant" or at.node.input(3):
        return None
    fill = at.constant(2)
    if (at.node.input(2) and fill is None) or (value.block and (len(value.shape or ()) != _RANK or any(amounts[:2]))):
        return None
    shape, target = _stored(value), _stored(result)
    low = [int(n) for n in amounts[: len(value.shape or ())]] + [0] * bool(value.block)
    if any(int(n) < 0 for n in amounts) or not math.prod(shape):
        return None
    bits = 0 if fill is None else int.from_bytes(np.asarray(fill).reshape(-1)[:1].tobytes(), "little")
    whole = _dense(target)
    offset = sum(n * stride for n, stride in zip(low, whole, strict=True))
    inside = _region(shape, 0, (0, _dense(shape)), (offset, whole))
    return _call(at, [inside, *_borders(shape, target, low)], bits)


def _borders(shape: Sequence[int], target: Sequence[int], low: Sequence[int]) -> list[Region]:
    """Boxes around the interior that together with it fill the target, each written once."""
    whole = _dense(target)
    regions = []
    # Axes before the present one are inside already, those after it still have their full extent.
    for axis, extent in enumerate(shape):
        high = target[axis] - extent - low[axis]
        for start, count in ((0, low[axis]), (low[axis] + extent, high)):
            if count:
                box = (*shape[:axis], count, *target[axis + 1 :])
                corner = [*low[:axis], start, *[0] * (len(shape) - axis - 1)]
                offset = sum(n * stride for n, stride in zip(corner, whole, strict=True))
                regions.append(_region(box, None, (0, (0,) * len(box)), (offset, whole)))
    return regions


def _call(at: Selection, regions: Sequence[Region], bits: int = 0) -> tuple[KernelCall, ...]:
    reads = at.node.inputs if at.node.op == "Concat" else at.node.inputs[:1]
    kernel = Copy(at.result().dtype.itemsize, len(reads), len(at.node.outputs), tuple(regions), bits)
    return (KernelCall(kernel, reads, at.node.outputs),)


def _stored(value: Value) -> tuple[int, ...]:
    """The shape in memory."""
    shape = static(value.shape or ())
    if not value.block:
        return shape
    return (shape[0], -(-shape[1] // value.block), *shape[2:], value.block)


def _dense(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


_Place = tuple[int, tuple[int, ...]]


def _region(shape: Sequence[int], source: int | None, read: _Place, write: _Place, output: int = 0) -> Region:
    """A box; scalars become boxes of one element."""
    if not shape:
        return Region((1,), source, read[0], (1,), write[0], (1,), output)
    return Region(tuple(shape), source, read[0], read[1], write[0], write[1], output)
