"""Convolutions and their transposes become nodes that take an epilogue.

    Conv(x, #w, #b)            becomes   FusedConv(x, #w, #b) {epilogue=<r0>}
    ConvTranspose(x, #w, #b)   becomes   FusedConvTranspose(x, #w, #b) {epilogue=<r0>}

In: a float32 node with constant weights and resolved padding. Out: the same with all its numbers written out.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.formula import IDENTITY
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import INTERNAL, Attribute, Node

_FUSED: Mapping[tuple[str, str], str] = MappingProxyType(
    {("", "Conv"): "FusedConv", ("", "ConvTranspose"): "FusedConvTranspose"}
)


def fuse_convolution(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Rewrite one convolution; others stay for the reference."""
    if node.kind not in _FUSED or node.text("auto_pad", "NOTSET") not in {"NOTSET", ""} or node.ints("output_shape"):
        return None
    weights = editor.constant(node.inputs[1])
    if weights is None or weights.dtype != np.float32 or editor.value(node.inputs[0]).dtype is not DType.FLOAT32:
        return None
    if node.input(2) and editor.constant(node.input(2)) is None:
        return None
    rank = weights.ndim - 2
    attributes: dict[str, Attribute] = {
        "kernel_shape": weights.shape[2:],
        "strides": node.ints("strides") or (1,) * rank,
        "dilations": node.ints("dilations") or (1,) * rank,
        "pads": node.ints("pads") or (0,) * (2 * rank),
        "group": node.integer("group", 1),
        "epilogue": IDENTITY,
    }
    if node.op == "ConvTranspose":
        attributes["output_padding"] = node.ints("output_padding") or (0,) * rank
    inputs = (node.inputs[0], node.inputs[1], node.input(2))
    fused = Node(_FUSED[node.kind], inputs, node.outputs[:1], MappingProxyType(attributes), node.name, INTERNAL)
    return Rewrite(drop=(node,), add=(fused,))
