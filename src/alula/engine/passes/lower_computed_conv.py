"""Convolutions whose weights are computed at run time, or that have 64 bits, as matrix products.

    Conv(x, w) {kernel 3x3}    becomes   MatMul(w [M, 9 C], Concat(nine shifted slices of Pad(x)) [9 C, pixels])
    Conv(x, #w, b)             becomes   Conv(x, #w) + b

In: a Conv of float32 without constant weights or bias, or of float64, padding written out. Out: nodes that have
kernels. The slices are the columns of im2col (K. Chellapilla, S. Puri, P. Simard, "High performance convolutional
neural networks for document processing", 2006), made by moves that the engine has.
"""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import is_static, static
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node
from alula.engine.operators.window import Window, output_sizes, window_of
from alula.engine.passes.sketch import Sketch

# Each tap of the kernel is a node; with more of them, the copies would cost more than the reference does.
_MOST_TAPS = 128


def lower_computed_conv(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Rewrite one node."""
    if node.kind != ("", "Conv") or node.text("auto_pad", "NOTSET") not in {"NOTSET", ""}:
        return None
    values = [editor.value(name) for name in (*filter(None, node.inputs), node.output)]
    if any(value.shape is None or not is_static(value.shape) or not math.prod(static(value.shape)) for value in values):
        return None
    dtype, computed = values[0].dtype, editor.constant(node.inputs[1]) is None
    if dtype not in {DType.FLOAT32, DType.FLOAT64} or min(node.ints("pads"), default=0) < 0:
        return None
    sketch = Sketch(editor, node)
    if computed or dtype is DType.FLOAT64:
        window = window_of(sketch.shape(node.inputs[1])[2:], {**node.attributes, "auto_pad": "NOTSET"})
        if math.prod(window.kernel) > _MOST_TAPS:
            return None
        return sketch.finish(_with_bias(sketch, node, _product(editor, sketch, node, window)))
    if not node.input(2) or editor.constant(node.input(2)) is not None:
        return None
    attributes: dict[str, Any] = dict(node.attributes)
    y = sketch.node("Conv", node.inputs[:2], sketch.shape(node.output), **attributes)
    return sketch.finish(_with_bias(sketch, node, y))


def _product(editor: GraphEditor, sketch: Sketch, node: Node, window: Window) -> str:
    """Weights times columns, in groups."""
    shape, groups = sketch.shape(node.output), node.integer("group", 1)
    pixels, taps = math.prod(shape[2:]), math.prod(window.kernel)
    channels = sketch.shape(node.inputs[0])[1] // groups
    slices = [
        sketch.reshape(name, (shape[0], groups, channels, pixels)) for name in _slices(sketch, node.inputs[0], window)
    ]
    columns = slices[0]
    if taps > 1:
        columns = sketch.node("Concat", slices, (shape[0], groups, taps * channels, pixels), axis=2)
    weights = _rows(editor, sketch, node.inputs[1], (groups, shape[1] // groups, channels, taps))
    return sketch.reshape(
        sketch.node("MatMul", (weights, columns), (shape[0], groups, shape[1] // groups, pixels)), shape
    )


def _rows(editor: GraphEditor, sketch: Sketch, weights: str, shape: tuple[int, int, int, int]) -> str:
    """Weights with the taps before the channels, as the columns have them."""
    groups, outputs, channels, taps = shape
    flat = (groups, outputs, taps * channels)
    array = editor.constant(weights)
    if array is not None:
        return sketch.constant(array.reshape(shape).swapaxes(2, 3).reshape(flat))
    apart = sketch.reshape(weights, shape)
    return sketch.reshape(sketch.transpose(apart, (0, 1, 3, 2)) if taps > 1 else apart, flat)


def _slices(sketch: Sketch, x: str, window: Window) -> list[str]:
    """What each tap of the kernel sees, in the order of the weights."""
    sizes = static(output_sizes(window, sketch.shape(x)[2:]))
    x = _padded(sketch, x, window)
    spatial = len(sizes)
    axes, steps = (sketch.constant(np.asarray(n, np.int64)) for n in (range(2, 2 + spatial), window.strides))
    found = []
    for tap in product(*map(range, window.kernel)):
        starts = [place * dilation for place, dilation in zip(tap, window.dilations, strict=True)]
        reach = zip(starts, sizes, window.strides, strict=True)
        ends = [start + (size - 1) * stride + 1 for start, size, stride in reach]
        if sketch.shape(x)[2:] == sizes and not any(starts):
            found.append(x)
            continue
        ranges = (sketch.constant(np.asarray(numbers, np.int64)) for numbers in (starts, ends))
        found.append(sketch.node("Slice", (x, *ranges, axes, steps), (*sketch.shape(x)[:2], *sizes)))
    return found


def _padded(sketch: Sketch, x: str, window: Window) -> str:
    if not any(map(any, window.pads)):
        return x
    before, after = ([0, 0, *(pair[end] for pair in window.pads)] for end in (0, 1))
    shape = [size + first + last for size, first, last in zip(sketch.shape(x), before, after, strict=True)]
    return sketch.node("Pad", (x, sketch.constant(np.asarray([*before, *after], np.int64))), shape)


def _with_bias(sketch: Sketch, node: Node, y: str) -> str:
    if not node.input(2):
        return y
    shape = sketch.shape(node.output)
    return sketch.node("Add", (y, sketch.reshape(node.inputs[2], (shape[1], *(1,) * (len(shape) - 2)))), shape)
