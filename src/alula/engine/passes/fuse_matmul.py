"""Matrix products become FusedMatMul, which takes a bias and an epilogue.

    Gemm(a, #b, #c) {alpha=2, transB=1}   becomes   FusedMatMul(a, #2b, #c) {transB=1, epilogue=<r0>}
    MatMul(a, #b) -> Add(#bias)           becomes   FusedMatMul(a, #b, #bias) {epilogue=<r0>}

In: a float32 Gemm or MatMul, or an Add behind one. Out: a FusedMatMul.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.formula import IDENTITY, Formula, FormulaBuilder
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import INTERNAL, Array, Attribute, Node, Value

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
    if any(shape is None or len(shape) < _MATRIX for shape in shapes):
        return None
    return Rewrite(drop=(node,), add=(_fused(node, (*node.inputs, ""), IDENTITY),))


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


@dataclass
class _Constants:
    """New arrays for a node; owned by one rewrite."""

    editor: GraphEditor
    stem: str
    arrays: dict[str, Array] = field(default_factory=dict)

    def times(self, name: str, factor: float) -> str | None:
        """The name of a constant times a factor; None where it is not constant."""
        array = self.editor.constant(name)
        if factor == 1:
            return name
        if array is None:
            return None
        own = self.editor.fresh(self.stem)
        self.arrays[own] = np.asarray(array * np.float32(factor), np.float32)
        return own


def _gemm(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Factors go into constants where there are some, else into the epilogue; C becomes bias or an extra input."""
    constants = _Constants(editor, f"{node.output}.times")
    alpha, beta = node.real("alpha", 1.0), node.real("beta", 1.0)
    b, c = constants.times(node.inputs[1], alpha), node.input(2)
    bias = constants.times(c, beta) if c and b and _is_bias(editor, c, node.output) else None
    if c and not bias and editor.value(c).shape != editor.value(node.output).shape:
        return None
    formula = _finish(1.0 if b else alpha, beta if c and not bias else None)
    inputs = (node.inputs[0], b or node.inputs[1], bias or "", *((c,) if c and not bias else ()))
    fused = _fused(node, inputs, formula)
    values = tuple(Value(name, DType.FLOAT32, array.shape) for name, array in constants.arrays.items())
    return Rewrite(drop=(node,), add=(fused,), constants=constants.arrays, values=values)


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


def _fused(node: Node, inputs: tuple[str, ...], epilogue: Formula) -> Node:
    turns: dict[str, Attribute] = {
        "transA": node.integer("transA"),
        "transB": node.integer("transB"),
        "epilogue": epilogue,
    }
    return Node("FusedMatMul", inputs, node.outputs[:1], MappingProxyType(turns), node.name, INTERNAL)
