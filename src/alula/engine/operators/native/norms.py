"""Which kernel runs a normalisation of rows by their own statistics.

In: LayerNormalization, RMSNormalization, InstanceNormalization or GroupNormalization on plain rows. Out: one kernel
call, or None for the reference.
"""

from __future__ import annotations

import math

from alula.base.tensors import DType
from alula.engine.graph.dims import static
from alula.engine.kernels.call import KernelCall, Selection
from alula.engine.kernels.normalise import NormaliseRows

_FLOPS = 8
_CHANNEL_RANK = 2
_EPSILON = 1e-5


def select_layer_norm(at: Selection) -> tuple[KernelCall, ...] | None:
    """Over the last axes, with a parameter for each element of them; the statistics are not wanted."""
    if any(at.node.outputs[1:]) or at.node.integer("stash_type", 1) != 1:
        return None
    return _last_axes(at, centred=True)


def select_rms_norm(at: Selection) -> tuple[KernelCall, ...] | None:
    """Over the last axes, no mean taken off."""
    return _last_axes(at, centred=False) if at.node.integer("stash_type", 1) == 1 else None


def select_instance_norm(at: Selection) -> tuple[KernelCall, ...] | None:
    """A row is one channel of one sample."""
    channels = at.shape(0)[1]
    return _by_channel(at, channels, channels)


def select_group_norm(at: Selection) -> tuple[KernelCall, ...] | None:
    """A row is one group of channels of one sample; parameters by channel, or before opset 21 by group."""
    groups = at.node.integer("num_groups")
    if at.node.integer("stash_type", 1) != 1:
        return None
    return _by_channel(at, groups, groups if at.node.integer("by_group") else at.shape(0)[1])


def _last_axes(at: Selection, *, centred: bool) -> tuple[KernelCall, ...] | None:
    shape = at.shape(0)
    axis = at.node.integer("axis", -1) % max(1, len(shape))
    rows, length = math.prod(shape[:axis]), math.prod(shape[axis:])
    if not _fits(at, shape[axis:]):
        return None
    epsilon, shifted = at.node.real("epsilon", _EPSILON), bool(at.node.input(2))
    return _call(at, NormaliseRows(rows, length, 1, 1, epsilon, centred, scaled=True, shifted=shifted))


def _by_channel(at: Selection, groups: int, parameters: int) -> tuple[KernelCall, ...] | None:
    shape = at.shape(0)
    if len(shape) < _CHANNEL_RANK or groups < 1 or shape[1] % groups or not _fits(at, (parameters,)):
        return None
    each = parameters // groups
    pixels = math.prod(shape[1:]) // parameters
    return _call(at, NormaliseRows(shape[0] * groups, each, pixels, groups, at.node.real("epsilon", _EPSILON)))


def _fits(at: Selection, wanted: tuple[int, ...]) -> bool:
    """Whether all is float32 in plain rows, not empty, and parameters are one number an element of `wanted`."""
    values = [at.value(index) for index, name in enumerate(at.node.inputs) if name]
    if any(value.dtype is not DType.FLOAT32 or value.block for value in [*values, at.result()]):
        return False
    if not math.prod(static(values[0].shape or ())):
        return False
    return all(_without_ones(static(value.shape or ())) == _without_ones(wanted) for value in values[1:])


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(extent for extent in shape if extent != 1)


def _call(at: Selection, kernel: NormaliseRows) -> tuple[KernelCall, ...]:
    reads = tuple(name for name in at.node.inputs if name)
    return (KernelCall(kernel, reads, (at.node.output,), math.prod(at.shape(0)) * _FLOPS),)
