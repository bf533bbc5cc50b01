"""Convolutions become FusedConv, which takes an epilogue.

    Conv(x, #w, #b)   becomes   FusedConv(x, #w, #b) {epilogue=<r0>}

In: a float32 Conv with constant weights and resolved padding. Out: a FusedConv that has all its numbers written out.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.formula import IDENTITY
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import INTERNAL, Node


def fuse_convolution(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Rewrite one convolution; others stay for the reference."""
    if node.kind != ("", "Conv") or node.text("auto_pad", "NOTSET") not in {"NOTSET", ""}:
        return None
    weights = editor.constant(node.inputs[1])
    if weights is None or weights.dtype != np.float32 or editor.value(node.inputs[0]).dtype is not DType.FLOAT32:
        return None
    if node.input(2) and editor.constant(node.input(2)) is None:
        return None
    kernel = weights.shape[2:]
    attributes = {
        "kernel_shape": kernel,
        "strides": node.ints("strides") or (1,) * len(kernel),
        "dilations": node.ints("dilations") or (1,) * len(kernel),
        "pads": node.ints("pads") or (0,) * (2 * len(kernel)),
        "group": node.integer("group", 1),
        "epilogue": IDENTITY,
    }
    inputs = (node.inputs[0], node.inputs[1], node.input(2))
    fused = Node("FusedConv", inputs, node.outputs[:1], MappingProxyType(attributes), node.name, INTERNAL)
    return Rewrite(drop=(node,), add=(fused,))
