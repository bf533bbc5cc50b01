"""Transposed convolutions of large strides: a matrix product, and its columns added up.

    ConvTranspose(x, #w, #b)   becomes   Col2Im(MatMul(#w, x)) + #b

In: a float32 ConvTranspose over two axes of which kernels cannot compute each phase. Out: nodes that have kernels.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import is_static, static
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Array, Node
from alula.engine.operators.native_spatial_transposed import transposed_zeros
from alula.engine.passes.sketch import Sketch

_RANK = 4
_AXES = 2


def lower_conv_transpose(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Rewrite one node; padding and sizes are written out already."""
    if node.kind != ("", "ConvTranspose") or node.text("auto_pad", "NOTSET") not in {"NOTSET", ""}:
        return None
    weights, x, y = editor.constant(node.inputs[1]), editor.value(node.inputs[0]), editor.value(node.output).shape
    if weights is None or weights.dtype != np.float32 or x.dtype is not DType.FLOAT32 or weights.ndim != _RANK:
        return None
    if x.shape is None or y is None or not is_static(x.shape) or not is_static(y) or node.ints("output_shape"):
        return None
    full = node.with_attributes(
        strides=node.ints("strides") or (1, 1), dilations=node.ints("dilations") or (1, 1), pads=_pads(node)
    )
    extra = node.ints("output_padding") or (0, 0)
    larger = any(more >= stride for more, stride in zip(extra, full.ints("strides"), strict=True))
    if larger or transposed_zeros(full, weights, x.shape, y) is not None or not math.prod(static(y)):
        return None
    return _product(Sketch(editor, node), full, weights)


def _pads(node: Node) -> tuple[int, ...]:
    return node.ints("pads") or (0,) * (2 * _AXES)


def _product(sketch: Sketch, node: Node, weights: Array) -> Rewrite:
    n, channels, height, width = sketch.shape(node.inputs[0])
    groups, shape = node.integer("group", 1), sketch.shape(node.output)
    taps = math.prod(weights.shape[1:])
    turned = weights.reshape(groups, channels // groups, taps).swapaxes(1, 2)
    x = sketch.reshape(node.inputs[0], (n, groups, channels // groups, height * width))
    columns = sketch.node("MatMul", (sketch.constant(turned), x), (n, groups, taps, height * width))
    flat = sketch.reshape(columns, (n, groups * taps, height * width))
    sizes = (sketch.constant(np.asarray(numbers, np.int64)) for numbers in (shape[2:], weights.shape[2:]))
    attributes: dict[str, Any] = {name: node.ints(name) for name in ("strides", "dilations", "pads")}
    y = sketch.node("Col2Im", (flat, *sizes), shape, **attributes)
    bias = node.input(2)
    if bias:
        y = sketch.node("Add", (y, sketch.reshape(bias, (shape[1], 1, 1))), shape)
    return sketch.finish(y)
