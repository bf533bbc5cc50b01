"""Resampling of integers, and of a part of a picture, by operators that have kernels for that.

    Resize(x) {nearest} of integers         becomes   Gather(Gather(x, #rows), #columns)
    Resize(x, #part) {tf_crop_and_resize}   becomes   a product with a table of weights along each axis

In: a Resize whose numbers are constant. Out: nodes that have kernels. Weighed sums of integers stay: the reference
computes them in float64, and the nearest integer of a sum halfway between two depends on its last bit.
"""

from __future__ import annotations

import math

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import is_static
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node
from alula.engine.graph.numpy_dtypes import numpy_dtype
from alula.engine.operators.attributes import attributes_of
from alula.engine.operators.resample import Taps, taps_of
from alula.engine.operators.resize import RESIZE, lines_of
from alula.engine.passes.sketch import Sketch


def lower_resize(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Rewrite one node; what the kernels take stays."""
    if node.kind != ("", "Resize"):
        return None
    x, y = editor.value(node.inputs[0]), editor.value(node.output).shape
    if not x.shape or not is_static(x.shape) or y is None or not is_static(y) or 0 in (*x.shape, *y):
        return None
    if any(editor.constant(name) is None for name in node.inputs[1:] if name):
        return None
    crops = node.text("coordinate_transformation_mode") == "tf_crop_and_resize"
    nearest = node.text("mode", "nearest") == "nearest"
    if x.dtype is DType.FLOAT32 and not crops:
        return None
    if not nearest and x.dtype is not DType.FLOAT32:
        return None
    return _by_axis(editor, Sketch(editor, node), node, nearest=nearest)


def _by_axis(editor: GraphEditor, sketch: Sketch, node: Node, *, nearest: bool) -> Rewrite:
    attributes = attributes_of(RESIZE, node)
    roi, scales, sizes = (editor.constant(node.input(index)) for index in (1, 2, 3))
    y = node.inputs[0]
    for axis, line in lines_of(sketch.shape(y), (roi, scales, sizes), attributes):
        taps = taps_of(line, attributes)
        y = _picked(sketch, y, axis, taps) if nearest else _weighed(sketch, y, axis, taps)
        if taps.outside.any():
            y = _bordered(sketch, y, axis, taps, float(attributes["extrapolation_value"]))
    return sketch.finish(y)


def _picked(sketch: Sketch, x: str, axis: int, taps: Taps) -> str:
    shape = list(sketch.shape(x))
    shape[axis] = len(taps.indices)
    return sketch.node("Gather", (x, sketch.constant(taps.indices[:, 0].astype(np.int64))), shape, axis=axis)


def _weighed(sketch: Sketch, x: str, axis: int, taps: Taps) -> str:
    """A product with a matrix that has a row for each new element."""
    shape = sketch.shape(x)
    table = np.zeros((len(taps.indices), shape[axis]))
    for column, weights in zip(taps.indices.T, taps.weights.T, strict=True):
        np.add.at(table, (np.arange(len(table)), column), weights)
    outer, inner = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    rows = sketch.reshape(x, (outer, shape[axis], inner))
    y = sketch.node("MatMul", (sketch.constant(table.astype(np.float32)), rows), (outer, len(table), inner))
    return sketch.reshape(y, (*shape[:axis], len(table), *shape[axis + 1 :]))


def _bordered(sketch: Sketch, x: str, axis: int, taps: Taps, value: float) -> str:
    """What lies outside of the picture shows one value."""
    shape = sketch.shape(x)
    outside = sketch.constant(taps.outside.reshape(-1, *(1,) * (len(shape) - 1 - axis)))
    number = sketch.constant(np.asarray(value, numpy_dtype(sketch.dtype(x))))
    return sketch.node("Where", (outside, number, x), shape, dtype=sketch.dtype(x))
