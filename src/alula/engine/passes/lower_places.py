"""Elements that go to places which other values say, by the operators that have kernels for that.

    MaxUnpool(x, places)                becomes   ScatterElements(zeros, places, x), all in one row
    TensorScatter(cache, new, starts)   becomes   ScatterElements(cache, starts + [0, 1, ...], new)
    OneHot(real indices)                becomes   OneHot(Cast(indices))

In: values of static shape. Out: nodes that have kernels.
"""

from __future__ import annotations

import math

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import is_static
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node
from alula.engine.graph.numpy_dtypes import numpy_dtype
from alula.engine.operators.window import window_of
from alula.engine.passes.sketch import Sketch

_INT64 = 7
_INDICES = frozenset({DType.INT32, DType.INT64})


def lower_places(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Rewrite one node."""
    lower = {"MaxUnpool": _unpool, "TensorScatter": _scatter, "OneHot": _one_hot}.get(node.op)
    if node.domain or lower is None:
        return None
    shapes = [editor.value(name).shape for name in (*filter(None, node.inputs), node.output)]
    if any(shape is None or not is_static(shape) or 0 in shape for shape in shapes):
        return None
    return lower(editor, node)


def _unpool(editor: GraphEditor, node: Node) -> Rewrite:
    """Places count in the tensor that the window says; a larger one is that with zeros behind."""
    sketch, x = Sketch(editor, node), node.inputs[0]
    shape, wanted = sketch.shape(x), sketch.shape(node.output)
    window = window_of(node.ints("kernel_shape"), dict(node.attributes))
    rows = zip(shape[2:], window.kernel, window.strides, window.pads, strict=True)
    inner = (*shape[:2], *((size - 1) * stride + taps - sum(pads) for size, taps, stride, pads in rows))
    total, count = math.prod(inner), math.prod(shape)
    zero = sketch.constant(np.zeros(1, numpy_dtype(sketch.dtype(x))))
    empty = sketch.node("Expand", (zero, sketch.constant(np.asarray([total]))), (total,))
    flat = (sketch.reshape(name, (count,)) for name in (node.inputs[1], x))
    y = sketch.reshape(sketch.node("ScatterElements", (empty, *flat), (total,), axis=0), inner)
    if wanted != inner:
        behind = [size - least for size, least in zip(wanted, inner, strict=True)]
        y = sketch.node("Pad", (y, sketch.constant(np.asarray([*(0,) * len(inner), *behind]))), wanted)
    return sketch.finish(y)


def _scatter(editor: GraphEditor, node: Node) -> Rewrite | None:
    """One place for each step of each sample, the same for everything around it."""
    sketch, (cache, update) = Sketch(editor, node), node.inputs[:2]
    shape, new = sketch.shape(cache), sketch.shape(update)
    axis, start = node.integer("axis", -2) % len(shape), node.input(2)
    thin = tuple(extent if place == axis else 1 for place, extent in enumerate(new))
    places = sketch.constant(np.arange(new[axis]).reshape(thin))
    if start:
        if sketch.dtype(start) is not DType.INT64:
            return None
        thin = (shape[0], *thin[1:])
        places = sketch.node("Add", (sketch.reshape(start, (shape[0], *(1,) * (len(shape) - 1))), places), thin)
        if node.text("mode", "linear") == "circular":
            places = sketch.node("Mod", (places, sketch.constant(np.asarray(shape[axis]))), thin)
    places = sketch.node("Expand", (places, sketch.constant(np.asarray(new))), new)
    return sketch.finish(sketch.node("ScatterElements", (cache, places, update), shape, axis=axis))


def _one_hot(editor: GraphEditor, node: Node) -> Rewrite | None:
    indices = editor.value(node.inputs[0])
    if indices.dtype in _INDICES:
        return None
    sketch = Sketch(editor, node)
    whole = sketch.node("Cast", (indices.name,), sketch.shape(indices.name), dtype=DType.INT64, to=_INT64)
    dtype = sketch.dtype(node.inputs[2])
    hot = sketch.node(
        "OneHot", (whole, *node.inputs[1:]), sketch.shape(node.output), dtype=dtype, axis=node.integer("axis", -1)
    )
    return sketch.finish(hot)
