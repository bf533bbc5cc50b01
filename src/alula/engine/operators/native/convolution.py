"""Which kernel runs a convolution.

In: a FusedConv with layouts decided. Out: one kernel call, or None for the reference.
"""

from __future__ import annotations

import math

import numpy as np

from alula.engine.graph.dims import static
from alula.engine.graph.nodes import Array, Node, Value
from alula.engine.kernels.call import Kernel, KernelCall, Selection
from alula.engine.kernels.convolution import Convolution, Window, pack_convolution, reductions
from alula.engine.kernels.depthwise import Depthwise, pack_depthwise
from alula.engine.kernels.pointwise import Pointwise, pack_pointwise
from alula.engine.kernels.tile import vector_groups

_RANK = 4
# Fewer groups of output blocks than this cannot be shared out evenly.
_ENOUGH_GROUPS = 4


def select_convolution(at: Selection) -> tuple[KernelCall, ...] | None:
    """Depthwise, pointwise or direct; only with constant weights, in blocks."""
    weights, result = at.constant(1), at.result()
    if weights is None or weights.ndim != _RANK or not result.block or weights.dtype != np.float32:
        return None
    if at.node.input(2) and at.constant(2) is None:
        return None
    channels = _shape(at.value(0))[1]
    groups = at.node.integer("group", 1)
    if groups == channels == weights.shape[0] and groups > 1:
        kernel, packed = _depthwise(at)
    elif groups == 1 and _window(at.node, weights.shape).kernel == (1, 1) and _is_pointwise(at):
        kernel, packed = _pointwise(at)
    else:
        kernel, packed = _direct(at)
    extras = at.node.inputs[3:]
    flops = 2 * math.prod(_shape(result)) * math.prod(weights.shape[1:])
    return (KernelCall(kernel, (at.node.inputs[0], *extras, packed), (at.node.output,), flops),)


def _shape(value: Value) -> tuple[int, ...]:
    return static(value.shape or ())


def _window(node: Node, weights: tuple[int, ...]) -> Window:
    strides, dilations = node.ints("strides") or (1, 1), node.ints("dilations") or (1, 1)
    return Window((weights[2], weights[3]), (strides[0], strides[1]), (dilations[0], dilations[1]))


def _is_pointwise(at: Selection) -> bool:
    """Stride 1 and no padding: pixel for pixel, and the input in blocks."""
    return at.value(0).block > 0 and _shape(at.value(0))[2:] == _shape(at.result())[2:]


def _pointwise(at: Selection) -> tuple[Kernel, Array]:
    weights = at.constants[at.node.inputs[1]]
    batch, channels, *size = _shape(at.value(0))
    outputs = weights.shape[0]
    pixels = math.prod(size)
    groups = len(vector_groups(-(-outputs // at.target.block), at.target))
    # Few pixels against many weights: each worker should read its own weights, not all of them.
    by_groups = groups >= _ENOUGH_GROUPS and outputs > batch * pixels
    kernel = Pointwise(
        batch, pixels, channels, outputs, at.target, "groups" if by_groups else "pixels",
        at.node.formula("epilogue"), len(at.node.inputs[3:]),
    )  # fmt: skip
    return kernel, pack_pointwise(weights[:, :, 0, 0], at.constant(2), at.target)


def _direct(at: Selection) -> tuple[Kernel, Array]:
    weights = at.constants[at.node.inputs[1]]
    batch, channels, height, width = _shape(at.value(0))
    rows, columns = _shape(at.result())[2:]
    kernel = Convolution(
        batch=batch,
        in_channels=channels,
        out_channels=weights.shape[0],
        groups=at.node.integer("group", 1),
        in_size=(height, width),
        out_size=(rows, columns),
        window=_window(at.node, weights.shape),
        target=at.target,
        plain=not at.value(0).block,
        epilogue=at.node.formula("epilogue"),
        extras=len(at.node.inputs[3:]),
    )
    if len(reductions(kernel)) >= _ENOUGH_GROUPS and weights.shape[0] > batch * rows * columns:
        kernel = Convolution(**{**vars(kernel), "split": "groups"})
    return kernel, pack_convolution(kernel, weights, at.constant(2))


def _depthwise(at: Selection) -> tuple[Kernel, Array]:
    weights = at.constants[at.node.inputs[1]]
    batch, channels, height, width = _shape(at.value(0))
    rows, columns = _shape(at.result())[2:]
    window = _window(at.node, weights.shape)
    top, left = (at.node.ints("pads") or (0, 0, 0, 0))[:2]
    kernel = Depthwise(
        channels=channels,
        in_h=height,
        in_w=width,
        out_h=rows,
        out_w=columns,
        kernel_h=window.kernel[0],
        kernel_w=window.kernel[1],
        stride_h=window.strides[0],
        stride_w=window.strides[1],
        dilation_h=window.dilations[0],
        dilation_w=window.dilations[1],
        pad_top=top,
        pad_left=left,
        batch=batch,
        block=at.target.block,
        epilogue=at.node.formula("epilogue"),
        extras=len(at.node.inputs[3:]),
    )
    return kernel, pack_depthwise(weights, at.constant(2), at.target.block, width)
