"""Picking by rules that are known, or that another operator has a kernel for.

    Compress(x, #condition) {axis=1}   becomes   Gather(x, #places) {axis=1}
    Hardmax(x) {axis=1}                becomes   OneHot(ArgMax(x), #depth, #[0, 1])

In: a Compress with a constant condition, or a Hardmax, of static shapes. Out: nodes that have kernels.
"""

from __future__ import annotations

import math

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node
from alula.engine.graph.numpy_dtypes import numpy_dtype
from alula.engine.passes.known import static_shape
from alula.engine.passes.sketch import Sketch


def lower_picks(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Rewrite one node."""
    if node.domain or node.op not in {"Compress", "Hardmax"}:
        return None
    shape = static_shape(editor, node.inputs[0])
    return (_compress if node.op == "Compress" else _hardmax)(editor, node, shape) if shape else None


def _compress(editor: GraphEditor, node: Node, shape: tuple[int, ...]) -> Rewrite | None:
    condition = editor.constant(node.inputs[1])
    if condition is None or not condition.any():
        return None
    places, sketch = np.flatnonzero(condition).astype(np.int64), Sketch(editor, node)
    x, axis = node.inputs[0], node.attributes.get("axis")
    if not isinstance(axis, int):
        x, shape, axis = sketch.reshape(x, (math.prod(shape),)), (math.prod(shape),), 0
    axis %= len(shape)
    result = (*shape[:axis], places.size, *shape[axis + 1 :])
    return sketch.finish(sketch.node("Gather", (x, sketch.constant(places)), result, axis=axis))


def _hardmax(editor: GraphEditor, node: Node, shape: tuple[int, ...]) -> Rewrite | None:
    dtype = editor.value(node.inputs[0]).dtype
    if dtype not in {DType.FLOAT32, DType.FLOAT64}:
        return None
    sketch, axis = Sketch(editor, node), node.integer("axis", -1) % len(shape)
    x = node.inputs[0]
    if node.integer("coerced"):
        x = sketch.reshape(x, (math.prod(shape[:axis]), math.prod(shape[axis:])))
        axis = 1
    extents = sketch.shape(x)
    kept = (*extents[:axis], *extents[axis + 1 :])
    place = sketch.node("ArgMax", (x,), kept, dtype=DType.INT64, axis=axis, keepdims=0)
    depth, values = sketch.constant(np.asarray(extents[axis])), sketch.constant(np.asarray([0, 1], numpy_dtype(dtype)))
    hot = sketch.node("OneHot", (place, depth, values), extents, dtype=dtype, axis=axis)
    return sketch.finish(sketch.reshape(hot, shape))
