"""A deformable convolution is a matrix product over what its displaced taps read.

    DeformConv(x, #w, offset, #b, mask)   becomes   MatMul(#w, DeformColumns(x, offset, mask)) + #b

In: a float32 DeformConv with constant weights and static shapes. Out: nodes that have kernels.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import INTERNAL, Array, Node
from alula.engine.passes.known import are_float32
from alula.engine.passes.sketch import Sketch


def lower_deform_conv(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Rewrite one node."""
    if node.kind != ("", "DeformConv"):
        return None
    weights = editor.constant(node.inputs[1])
    if weights is None or not are_float32(editor, filter(None, (*node.inputs, node.output))):
        return None
    return _product(Sketch(editor, node), node, weights)


def _product(sketch: Sketch, node: Node, weights: Array) -> Rewrite:
    n, channels = sketch.shape(node.inputs[0])[:2]
    shape, groups = sketch.shape(node.output), node.integer("group", 1)
    taps, pixels = math.prod(weights.shape[2:]), math.prod(shape[2:])
    names = ("strides", "dilations", "pads")
    attributes: dict[str, Any] = {name: node.ints(name) for name in names if node.ints(name)}
    attributes |= {"kernel_shape": weights.shape[2:], "offset_group": node.integer("offset_group", 1)}
    inputs = (node.inputs[0], node.inputs[2], *filter(None, (node.input(4),)))
    columns = sketch.node("DeformColumns", inputs, (n, channels * taps, pixels), INTERNAL, **attributes)
    parted = sketch.reshape(columns, (n, groups, channels // groups * taps, pixels))
    kernels = sketch.constant(np.ascontiguousarray(weights.reshape(groups, shape[1] // groups, -1)))
    y = sketch.node("MatMul", (kernels, parted), (n, groups, shape[1] // groups, pixels))
    y = sketch.reshape(y, shape)
    if node.input(3):
        y = sketch.node("Add", (y, sketch.reshape(node.input(3), (shape[1], 1, 1))), shape)
    return sketch.finish(y)
