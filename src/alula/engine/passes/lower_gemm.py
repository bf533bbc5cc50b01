"""Gemm of numbers other than float32, as a product and what goes around it.

    Gemm(a, b, c) {transA=1, alpha=2, beta=3}   becomes   Add(Mul(MatMul(Transpose(a), b), 2), Mul(c, 3))

In: a Gemm of float64 or integers. Out: nodes that have kernels or fuse.
"""

from __future__ import annotations

import numpy as np

from alula.engine.graph.dims import is_static
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node
from alula.engine.graph.numpy_dtypes import numpy_dtype
from alula.engine.operators.native.product import MULTIPLIED
from alula.engine.passes.sketch import Sketch


def lower_gemm(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Rewrite one node; factors that integers cannot hold stay with the reference."""
    if node.kind != ("", "Gemm"):
        return None
    values = [editor.value(name) for name in (*filter(None, node.inputs), node.output)]
    if any(value.dtype not in MULTIPLIED or value.shape is None or not is_static(value.shape) for value in values):
        return None
    alpha, beta = node.real("alpha", 1.0), node.real("beta", 1.0)
    if values[0].dtype.value != "float64" and not (alpha.is_integer() and beta.is_integer()):
        return None
    sketch = Sketch(editor, node)
    sides = [
        _turned(editor, sketch, name) if node.integer(flag) else name
        for name, flag in zip(node.inputs, ("transA", "transB"), strict=False)
    ]
    y = _times(sketch, sketch.node("MatMul", sides, sketch.shape(node.output)), alpha)
    if node.input(2):
        y = sketch.node("Add", (y, _times(sketch, node.inputs[2], beta)), sketch.shape(node.output))
    return sketch.finish(y)


def _turned(editor: GraphEditor, sketch: Sketch, name: str) -> str:
    array = editor.constant(name)
    return sketch.transpose(name, (1, 0)) if array is None else sketch.constant(array.T)


def _times(sketch: Sketch, name: str, factor: float) -> str:
    if factor == 1:
        return name
    number = sketch.constant(np.asarray(factor, numpy_dtype(sketch.dtype(name))))
    return sketch.node("Mul", (name, number), sketch.shape(name))
