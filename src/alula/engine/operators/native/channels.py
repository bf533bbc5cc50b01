"""Which kernel joins, cuts or shuffles channels.

In: Concat, Split or ShuffleChannels with layouts decided. Out: one kernel call, or None for the reference.
"""

from __future__ import annotations

import itertools
import math

from alula.engine.graph.dims import static
from alula.engine.graph.nodes import Value
from alula.engine.kernels.call import KernelCall, Selection
from alula.engine.kernels.rearrange import transpose
from alula.engine.kernels.regroup import Regroup, Run
from alula.engine.operators.native.move import concat_by_copy, split_by_copy

_CHANNELS = 1


def select_concat(at: Selection) -> tuple[KernelCall, ...] | None:
    """Whole blocks are copied; channels that do not fill them are moved lane by lane."""
    inputs = [at.value(index) for index in range(len(at.node.inputs))]
    channels = tuple(_channels(value) for value in inputs)
    result = at.result()
    if not result.block or all(count % result.block == 0 for count in channels[:-1]):
        return concat_by_copy(at)
    if any(value.block != result.block for value in inputs):
        return None
    runs = tuple(Run(index, 0, count) for index, count in enumerate(channels))
    return _call(at, channels, (runs,))


def select_split(at: Selection) -> tuple[KernelCall, ...] | None:
    """Blocked tensors along channels, plain ones along any axis."""
    value = at.value(0)
    if not value.block:
        return split_by_copy(at)
    results = [at.values[name] for name in at.node.outputs if name]
    if len(results) != len(at.node.outputs) or any(result.block != value.block for result in results):
        return None
    sizes = [_channels(result) for result in results]
    starts = itertools.accumulate(sizes, initial=0)
    runs = tuple((Run(0, start, size),) for start, size in zip(starts, sizes, strict=False))
    return _call(at, (_channels(value),), runs)


def select_shuffle(at: Selection) -> tuple[KernelCall, ...] | None:
    """Lane by lane in blocks; a transposition of planes in plain memory."""
    value, groups = at.value(0), at.node.integer("groups")
    batch, channels, *pixels = static(value.shape or ())
    each = channels // groups
    if value.block and value.block == at.result().block:
        runs = tuple(Run(0, group * each + place, 1) for place in range(each) for group in range(groups))
        return _call(at, (channels,), (runs,))
    if value.block or at.result().block:
        return None
    kernel = transpose((batch, groups, each, math.prod(pixels)), (0, 2, 1, 3), value.dtype.itemsize)
    return (KernelCall(kernel, (value.name,), at.node.outputs),) if kernel.units else None


def _channels(value: Value) -> int:
    shape = static(value.shape or ())
    return shape[_CHANNELS] if len(shape) > _CHANNELS else 0


def _call(
    at: Selection, channels: tuple[int, ...], outputs: tuple[tuple[Run, ...], ...]
) -> tuple[KernelCall, ...] | None:
    batch, _, *pixels = at.shape(0)
    kernel = Regroup(batch, math.prod(pixels), channels, outputs, at.value(0).block)
    reads = at.node.inputs[: len(channels)]
    return (KernelCall(kernel, reads, at.node.outputs),) if kernel.units else None
