"""A deformable convolution is a matrix product over what its displaced taps read.

    DeformConv(x, #w, offset, #b, mask)   becomes   MatMul(#w, DeformColumns(x, offset, mask)) + #b

In: a float32 DeformConv with constant weights and static shapes. Out: nodes that have kernels.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import is_static, static
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import INTERNAL, Array, Node
from alula.engine.passes.sketch import Sketch


def lower_deform_conv(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Rewrite one node."""
    if node.kind != ("", "DeformConv"):
        return None
    weights = editor.constant(node.inputs[1])
    values = [editor.value(name) for name in (*node.inputs, node.output) if name]
    if weights is None or any(
        v.dtype is not DType.FLOAT32 or v.shape is None or not is_static(v.shape) for v in values
    ):
        return None
    if not all(math.prod(static(value.shape or ())) for value in values):
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
