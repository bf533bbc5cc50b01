"""Which kernels run a transposed convolution.

In: a FusedConvTranspose in blocks. Out: a direct convolution for each phase of the output, or None for the reference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import Shape, static
from alula.engine.graph.nodes import Array, Node
from alula.engine.kernels.call import KernelCall, Selection
from alula.engine.kernels.col2im import Col2Im
from alula.engine.kernels.convolution import Convolution, Window, pack_convolution
from alula.engine.kernels.place import Place
from alula.engine.operators.common import integers
from alula.engine.operators.phases import Phase, phases_of, zeros_around
from alula.engine.operators.window import output_sizes, window_of

_AXES = 2
# Each phase is code of its own: beyond this many, strides are so large that few taps are left for each.
_MOST_PHASES = 16

Pads = tuple[int, int, int, int]


def transposed_zeros(node: Node, weights: Array, x: Shape, y: Shape) -> Pads | None:
    """Zeros that x needs around it (top, left, bottom, right); None where kernels cannot run the node."""
    axes = _phases(node, weights.shape, y) if weights.ndim == _AXES + 2 and weights.dtype == np.float32 else None
    if axes is None:
        return None
    sides = [zeros_around(axis, size) for axis, size in zip(axes, static(x)[2:], strict=True)]
    return sides[0][0], sides[1][0], sides[0][1], sides[1][1]


def _phases(node: Node, weights: Shape, y: Shape) -> list[tuple[Phase, ...]] | None:
    """The phases of each axis; None where one has no taps, or there are too many."""
    pads, strides, dilations = node.ints("pads"), node.ints("strides"), node.ints("dilations")
    rows = zip(static(y)[2:], static(weights)[2:], strides, dilations, pads[:_AXES], strict=True)
    axes = [phases_of(*row) for row in rows]
    if math.prod(map(len, axes)) > _MOST_PHASES or not all(phase.taps for axis in axes for phase in axis):
        return None
    return axes


def select_convolution_transposed(at: Selection) -> tuple[KernelCall, ...] | None:
    """Every phase by a kernel that writes each `stride`-th pixel; the padding is in the input already."""
    weights, bias = at.constant(1), at.constant(2)
    if weights is None or not at.result().block or not at.value(0).block or (at.node.input(2) and bias is None):
        return None
    axes = _phases(at.node, weights.shape, at.result().shape or ())
    if axes is None:
        return None
    kernels = _turned(weights, at.node.integer("group", 1))
    return tuple(_call(at, pair, kernels) for pair in product(*axes))


def _turned(weights: Array, groups: int) -> Array:
    """[C, M/groups, kernel...] as [M, C/groups, kernel...]."""
    inputs, outputs, *kernel = weights.shape
    parts = weights.reshape(groups, inputs // groups, outputs, *kernel)
    return parts.swapaxes(1, 2).reshape(groups * outputs, inputs // groups, *kernel)


def _call(at: Selection, phases: Sequence[Phase], weights: Array) -> KernelCall:
    rows, columns = phases
    batch, channels, height, width = at.shape(0)
    strides, size = at.node.ints("strides"), at.result_shape()[2:]
    part = weights[:, :, list(rows.taps)][:, :, :, list(columns.taps)]
    kernel = Convolution(
        batch=batch,
        in_channels=channels,
        out_channels=len(weights),
        groups=at.node.integer("group", 1),
        in_size=(height, width),
        out_size=(rows.count, columns.count),
        window=Window((len(rows.taps), len(columns.taps)), dilations=(rows.dilation, columns.dilation)),
        target=at.target,
        epilogue=at.node.formula("epilogue"),
        extras=len(at.node.inputs[3:]),
        place=Place(
            (rows.read, columns.read), (rows.first, columns.first), (strides[0], strides[1]), (size[0], size[1])
        ),
    )
    packed = pack_convolution(kernel, part, at.constant(2))
    flops = 2 * batch * rows.count * columns.count * math.prod(part.shape)
    return KernelCall(kernel, (at.node.inputs[0], *at.node.inputs[3:], packed), (at.node.output,), flops)


def select_col2im(at: Selection) -> tuple[KernelCall, ...] | None:
    """Over two axes, with both shapes constant."""
    value, sizes, block = at.value(0), at.constant(1), at.constant(2)
    if value.dtype is not DType.FLOAT32 or value.block or sizes is None or block is None or sizes.size != _AXES:
        return None
    attributes = {name: at.node.ints(name) for name in ("strides", "dilations", "pads")}
    window = window_of(integers(block), attributes)
    blocks, shape = static(output_sizes(window, integers(sizes))), at.result_shape()
    if not math.prod(shape):
        return None
    rows, columns = zip(
        shape[2:], window.kernel, blocks, window.strides, window.dilations, (window.pads[0][0], window.pads[1][0]),
        strict=True,
    )  # fmt: skip
    size, kernel, count, strides, dilations, pads = zip(rows, columns, strict=True)
    record = Col2Im(shape[0] * shape[1], kernel, count, size, strides, dilations, pads)
    return (KernelCall(record, (value.name,), (at.node.output,), math.prod(static(value.shape or ()))),)
