"""Matrix products become FusedMatMul, which takes a bias and an epilogue.

    Gemm(a, #b, #c) {alpha=2, transB=1}   becomes   FusedMatMul(a, #2b, #c) {transB=1, epilogue=<r0>}
    Gemm(a, b, c) {beta=2, transB=1}      becomes   FusedMatMul(a, Transpose(b)) -> Add(Mul(c, 2))
    MatMul(a, #b) -> Add(#bias)           becomes   FusedMatMul(a, #b, #bias) {epilogue=<r0>}
    MatMul(vector, b)                     becomes   Reshape -> FusedMatMul -> Reshape

In: a float32 Gemm or MatMul, or an Add behind one. Out: a FusedMatMul, and what brings its operands into form.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.formula import IDENTITY, Formula, FormulaBuilder
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import INTERNAL, Array, Node
from alula.engine.passes.known import are_float32
from alula.engine.passes.sketch import Sketch

_MATRIX = 2
FUSED_MATMUL = (INTERNAL, "FusedMatMul")


def fuse_matmul(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Rewrite one product, or give the one before an Add its bias."""
    if node.domain or node.op not in {"Gemm", "MatMul", "Add"}:
        return None
    if any(editor.value(name).dtype is not DType.FLOAT32 for name in node.inputs if name):
        return None
    return {"Gemm": _gemm, "MatMul": _matmul, "Add": _bias}[node.op](editor, node)


def _matmul(editor: GraphEditor, node: Node) -> Rewrite | None:
    shapes = [editor.value(name).shape for name in node.inputs]
    if any(shape is None or not shape for shape in shapes):
        return None
    ranks = [len(shape or ()) for shape in shapes]
    if min(ranks) >= _MATRIX:
        attributes = MappingProxyType(_attributes(node, IDENTITY))
        fused = Node("FusedMatMul", (*node.inputs, ""), node.outputs[:1], attributes, node.name, INTERNAL)
        return Rewrite(drop=(node,), add=(fused,))
    return _of_vectors(editor, node, ranks)


def _of_vectors(editor: GraphEditor, node: Node, ranks: list[int]) -> Rewrite | None:
    """A vector on the left is a row, on the right a column; the axis that this adds goes again."""
    if not are_float32(editor, (*node.inputs, node.output)):
        return None
    sketch = Sketch(editor, node)
    shape = list(sketch.shape(node.output))
    left, right = node.inputs
    if ranks[1] < _MATRIX:
        right = sketch.reshape(right, (*sketch.shape(right), 1))
        shape.append(1)
    if ranks[0] < _MATRIX:
        left = sketch.reshape(left, (1, *sketch.shape(left)))
        shape.insert(len(shape) - 1, 1)
    product = sketch.node("FusedMatMul", (left, right, ""), shape, INTERNAL, **_attributes(node, IDENTITY))
    return sketch.finish(sketch.reshape(product, sketch.shape(node.output)))


def _bias(editor: GraphEditor, node: Node) -> Rewrite | None:
    for side, other in ((0, 1), (1, 0)):
        product = editor.producer_of(node.inputs[side])
        row = editor.constant(node.inputs[other])
        if product is None or product.kind != FUSED_MATMUL or row is None or editor.uses_of(product.output) != 1:
            continue
        shape = editor.value(product.output).shape
        if product.input(2) or product.formula("epilogue") != IDENTITY or shape != editor.value(node.output).shape:
            continue
        if shape is not None and _is_row(row, shape[-1]):
            inputs = (*product.inputs[:2], node.inputs[other])
            return Rewrite(drop=(product, node), add=(replace(product, inputs=inputs, outputs=node.outputs),))
    return None


def _is_row(array: Array, columns: object) -> bool:
    """Whether adding the array adds the same to each row."""
    return array.size == 1 or (array.shape[-1] == columns and array.size == columns)


def _gemm(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Factors go into constants where there are some, else into the epilogue; C becomes bias, extra input or a sum."""
    if not are_float32(editor, filter(None, (*node.inputs, node.output))):
        return None
    if node.integer("transB") and editor.constant(node.inputs[1]) is None:
        return _turned(editor, node)
    sketch = Sketch(editor, node)
    alpha, beta = node.real("alpha", 1.0), node.real("beta", 1.0)
    b, c = _times(editor, sketch, node.inputs[1], alpha), node.input(2)
    bias = _times(editor, sketch, c, beta) if c and b and _is_bias(editor, c, node.output) else None
    if c and not bias and sketch.shape(c) != sketch.shape(node.output):
        return _with_sum(editor, node, c, beta)
    formula = _finish(1.0 if b else alpha, beta if c and not bias else None)
    inputs = (node.inputs[0], b or node.inputs[1], bias or "", *((c,) if c and not bias else ()))
    return sketch.finish(
        sketch.node("FusedMatMul", inputs, sketch.shape(node.output), INTERNAL, **_attributes(node, formula))
    )


def _times(editor: GraphEditor, sketch: Sketch, name: str, factor: float) -> str | None:
    """A constant times a factor, or any value times 1; None for others."""
    array = editor.constant(name)
    if factor == 1:
        return name
    return None if array is None else sketch.constant(np.asarray(array * np.float32(factor), np.float32))


def _turned(editor: GraphEditor, node: Node) -> Rewrite:
    """A computed right-hand side is transposed in memory; the next round takes what is left."""
    sketch = Sketch(editor, node)
    inputs = (node.inputs[0], sketch.transpose(node.inputs[1], (1, 0)), *node.inputs[2:])
    attributes: dict[str, Any] = {**node.attributes, "transB": 0}
    return sketch.finish(sketch.node("Gemm", inputs, sketch.shape(node.output), **attributes))


def _with_sum(editor: GraphEditor, node: Node, c: str, beta: float) -> Rewrite:
    """C that has to be broadcast is added behind the product."""
    sketch = Sketch(editor, node)
    shape = sketch.shape(node.output)
    attributes: dict[str, Any] = {**node.attributes, "beta": 1.0}
    product = sketch.node("Gemm", node.inputs[:2], shape, **attributes)
    scaled = _times(editor, sketch, c, beta)
    if scaled is None:
        scaled = sketch.node("Mul", (c, sketch.constant(np.asarray(beta, np.float32))), sketch.shape(c))
    return sketch.finish(sketch.node("Add", (product, scaled), shape))


def _is_bias(editor: GraphEditor, name: str, output: str) -> bool:
    array, shape = editor.constant(name), editor.value(output).shape
    return array is not None and shape is not None and _is_row(array, shape[-1])


def _finish(alpha: float, beta: float | None) -> Formula:
    """Alpha r0 + beta r1; no second register where beta is None."""
    builder = FormulaBuilder(1 if beta is None else 2)
    x = builder.arguments()[0]
    scaled = x if alpha == 1 else builder.mul(x, alpha)
    if beta is not None:
        extra = builder.arguments()[1]
        builder.add(scaled, extra if beta == 1 else builder.mul(extra, beta))
    return builder.build()


def _attributes(node: Node, epilogue: Formula) -> dict[str, Any]:
    return {"transA": node.integer("transA"), "transB": node.integer("transB"), "epilogue": epilogue}
