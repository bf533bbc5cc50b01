"""Windows over three axes by those over two.

    MaxPool 3-D    becomes   MaxPool over rows and columns of all planes, then over the planes of all pixels
    FusedConv 3-D  becomes   FusedConv over the planes' neighbours laid side by side as channels

In: a convolution or pool of rank 5 with static shapes. Out: nodes of rank 4 between views, slices and transpositions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import INTERNAL, Array, Node
from alula.engine.passes.known import are_float32
from alula.engine.passes.sketch import Sketch

_RANK = 5
_POOLS = frozenset({"MaxPool", "AveragePool"})
_GLOBAL = frozenset({"GlobalMaxPool", "GlobalAveragePool"})
# Channels before planes, and planes before channels.
PLANES_FIRST = (0, 2, 1, 3, 4)


def lower_volumes(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Rewrite one node."""
    if any(node.outputs[1:]) or not node.inputs or not is_volume(editor, node):
        return None
    if not node.domain and node.op in _GLOBAL:
        sketch = Sketch(editor, node)
        n, c, d, h, w = sketch.shape(node.inputs[0])
        y = sketch.node(node.op, (sketch.reshape(node.inputs[0], (n, c, d, h * w)),), (n, c, 1, 1))
        return sketch.finish(sketch.reshape(y, (n, c, 1, 1, 1)))
    if not node.domain and node.op in _POOLS:
        return _pool(Sketch(editor, node), node)
    weights = editor.constant(node.input(1))
    if node.kind == (INTERNAL, "FusedConv") and weights is not None:
        return _convolution(Sketch(editor, node), node, weights)
    return None


def is_volume(editor: GraphEditor, node: Node) -> bool:
    """Whether what the node reads and makes, weights and bias apart, is float32 [N, C, D, H, W] of known shape."""
    return are_float32(editor, (node.inputs[0], *node.inputs[3:], node.output), _RANK)


def _pool(sketch: Sketch, node: Node) -> Rewrite:
    """Maxima of maxima, means of means: how many taps count is a product over the axes."""
    n, c, d, h, w = sketch.shape(node.inputs[0])
    planes, rows, columns = sketch.shape(node.output)[2:]
    across, along = _window(node, (1, 2)), _window(node, (0,))
    x = sketch.reshape(node.inputs[0], (n, c * d, h, w))
    flat = sketch.node(node.op, (x,), (n, c * d, rows, columns), **across)
    deep = sketch.reshape(flat, (n, c, d, rows * columns))
    y = sketch.node(node.op, (deep,), (n, c, planes, rows * columns), **along)
    return sketch.finish(sketch.reshape(y, (n, c, planes, rows, columns)))


def _window(node: Node, axes: tuple[int, ...]) -> dict[str, Any]:
    """The node's attributes for some of its axes, and an axis of 1 where there is only one."""
    found: dict[str, Any] = dict(node.attributes)
    rest = (1,) if len(axes) == 1 else ()
    for name in ("kernel_shape", "strides", "dilations"):
        if node.ints(name):
            found[name] = (*(node.ints(name)[axis] for axis in axes), *rest)
    pads = node.ints("pads") or (0,) * 6
    none = (0,) * len(rest)
    before, after = (tuple(pads[axis + side] for axis in axes) for side in (0, 3))
    return {**found, "pads": (*before, *none, *after, *none)}


def _convolution(sketch: Sketch, node: Node, weights: Array) -> Rewrite:
    """Each output plane sees its neighbours as further channels of one picture."""
    n = sketch.shape(node.inputs[0])[0]
    outputs, planes, rows, columns = sketch.shape(node.output)[1:]
    x = _neighbours(sketch, node, weights.shape[2], planes)
    pads = node.ints("pads")
    attributes = {
        "kernel_shape": weights.shape[3:],
        "strides": node.ints("strides")[1:],
        "dilations": node.ints("dilations")[1:],
        "pads": (*pads[1:3], *pads[4:]),
        "group": node.integer("group", 1),
        "epilogue": node.formula("epilogue"),
    }
    shape = (n * planes, outputs, rows, columns)
    extras = [sketch.reshape(sketch.transpose(extra, PLANES_FIRST), shape) for extra in node.inputs[3:]]
    flat = weights.swapaxes(1, 2).reshape(outputs, -1, *weights.shape[3:])
    inputs = (x, sketch.constant(flat), node.input(2), *extras)
    y = sketch.node("FusedConv", inputs, shape, INTERNAL, **attributes)
    return sketch.finish(sketch.transpose(sketch.reshape(y, (n, planes, outputs, rows, columns)), PLANES_FIRST))


def _neighbours(sketch: Sketch, node: Node, taps: int, planes: int) -> str:
    pads, step, dilation = node.ints("pads"), node.ints("strides")[0], node.ints("dilations")[0]
    x = padded_planes(sketch, node.inputs[0], (pads[0], pads[3]))
    starts = [tap * dilation for tap in range(taps)]
    return neighbours(sketch, x, starts, (planes, step), node.integer("group", 1))


def padded_planes(sketch: Sketch, name: str, zeros: tuple[int, int]) -> str:
    """[N, C, D, H, W] as [N, D, C, H, W] with planes of zeros before and behind."""
    x = sketch.transpose(name, PLANES_FIRST)
    n, depth, *plane = sketch.shape(x)
    if not any(zeros):
        return x
    amounts = np.asarray([0, zeros[0], 0, 0, 0, 0, zeros[1], 0, 0, 0], np.int64)
    return sketch.node("Pad", (x, sketch.constant(amounts)), (n, depth + sum(zeros), *plane), mode="constant")


def neighbours(sketch: Sketch, x: str, starts: Sequence[int], walk: tuple[int, int], groups: int) -> str:
    """For each of some planes several input planes side by side as channels, group by group.

    Args:
        sketch: where nodes are added.
        x: [N, D, C, H, W].
        starts: the planes that the first result takes, in the order of the channels.
        walk: how many results, and how many planes further each of them begins.
        groups: channels are parted into these first.

    Returns:
        [N results, starts C, H, W].
    """
    n, depth, channels, height, width = sketch.shape(x)
    planes, step = walk
    parts = []
    for start in starts:
        bounds = [start, start + (planes - 1) * step + 1, 1, step]
        part = x
        if bounds != [0, depth, 1, 1]:
            names = [sketch.constant(np.asarray([value], np.int64)) for value in bounds]
            part = sketch.node("Slice", (x, *names), (n, planes, channels, height, width))
        parts.append(sketch.reshape(part, (n * planes, groups, channels // groups, height, width)))
    joined = parts[0]
    if len(parts) > 1:
        shape = (n * planes, groups, len(parts) * channels // groups, height, width)
        joined = sketch.node("Concat", parts, shape, axis=2)
    return sketch.reshape(joined, (n * planes, len(parts) * channels, height, width))
