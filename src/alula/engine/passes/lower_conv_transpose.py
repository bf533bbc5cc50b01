"""Transposed convolutions of large strides, or of computed weights: a matrix product, and its columns added up.

    ConvTranspose(x, #w, #b)   becomes   Col2Im(MatMul(#w, x)) + #b

In: a float32 ConvTranspose over two axes of which kernels cannot compute each phase, or whose weights are not constant.
Out: nodes that have kernels.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import Shape, is_static, static
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node
from alula.engine.operators.native.transposed import transposed_zeros
from alula.engine.passes.sketch import Sketch

_RANK = 4
_AXES = 2


def lower_conv_transpose(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Rewrite one node; padding and sizes are written out already."""
    if node.kind != ("", "ConvTranspose") or node.text("auto_pad", "NOTSET") not in {"NOTSET", ""}:
        return None
    weights, x, y = editor.value(node.inputs[1]), editor.value(node.inputs[0]), editor.value(node.output).shape
    if weights.shape is None or len(weights.shape) != _RANK or not is_static(weights.shape):
        return None
    if {weights.dtype, x.dtype} != {DType.FLOAT32}:
        return None
    if x.shape is None or y is None or not is_static(x.shape) or not is_static(y) or node.ints("output_shape"):
        return None
    full = node.with_attributes(
        strides=node.ints("strides") or (1, 1), dilations=node.ints("dilations") or (1, 1), pads=_pads(node)
    )
    extra = node.ints("output_padding") or (0, 0)
    larger = any(more >= stride for more, stride in zip(extra, full.ints("strides"), strict=True))
    if larger or _has_kernels(editor, full, x.shape, y) or not math.prod(static(y)):
        return None
    return _product(editor, Sketch(editor, node), full)


def _has_kernels(editor: GraphEditor, node: Node, x: Shape, y: Shape) -> bool:
    """Whether each phase is a convolution, of weights and a bias that are constant."""
    weights = editor.constant(node.inputs[1])
    if weights is None or (node.input(2) and editor.constant(node.input(2)) is None):
        return False
    return transposed_zeros(node, weights, x, y) is not None


def _pads(node: Node) -> tuple[int, ...]:
    return node.ints("pads") or (0,) * (2 * _AXES)


def _product(editor: GraphEditor, sketch: Sketch, node: Node) -> Rewrite:
    n, channels, height, width = sketch.shape(node.inputs[0])
    groups, shape = node.integer("group", 1), sketch.shape(node.output)
    kernel = sketch.shape(node.inputs[1])
    taps = math.prod(kernel[1:])
    turned = _turned(editor, sketch, node.inputs[1], (groups, channels // groups, taps))
    x = sketch.reshape(node.inputs[0], (n, groups, channels // groups, height * width))
    columns = sketch.node("MatMul", (turned, x), (n, groups, taps, height * width))
    flat = sketch.reshape(columns, (n, groups * taps, height * width))
    sizes = (sketch.constant(np.asarray(numbers, np.int64)) for numbers in (shape[2:], kernel[2:]))
    attributes: dict[str, Any] = {name: node.ints(name) for name in ("strides", "dilations", "pads")}
    y = sketch.node("Col2Im", (flat, *sizes), shape, **attributes)
    bias = node.input(2)
    if bias:
        y = sketch.node("Add", (y, sketch.reshape(bias, (shape[1], 1, 1))), shape)
    return sketch.finish(y)


def _turned(editor: GraphEditor, sketch: Sketch, weights: str, shape: tuple[int, int, int]) -> str:
    """Weights with the taps before the input channels."""
    array = editor.constant(weights)
    if array is None:
        return sketch.transpose(sketch.reshape(weights, shape), (0, 2, 1))
    return sketch.constant(array.reshape(shape).swapaxes(1, 2))
