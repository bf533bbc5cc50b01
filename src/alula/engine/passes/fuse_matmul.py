"""Matrix products become FusedMatMul, which takes a bias and an epilogue.

    Gemm(a, #b, #c) {alpha=2, transB=1}   becomes   FusedMatMul(a, #2b, #c) {transB=1, epilogue=<r0>}
    Gemm(a, b, c) {beta=2, transB=1}      becomes   FusedMatMul(a, Transpose(b)) -> Add(Mul(c, 2))
    MatMul(a, #b) -> Add(#bias)           becomes   FusedMatMul(a, #b, #bias) {epilogue=<r0>}
    MatMul(vector, b)                     becomes   Unsqueeze -> FusedMatMul -> Squeeze

In: a float32 Gemm or MatMul, or an Add behind one. Out: a FusedMatMul, and what brings its operands into form.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import Shape
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
    if any(shape is None or not shape for shape in shapes):
        return None
    ranks = [len(shape or ()) for shape in shapes]
    if min(ranks) >= _MATRIX:
        return Rewrite(drop=(node,), add=(_fused(node, (*node.inputs, ""), IDENTITY),))
    return _of_vectors(editor, node, ranks)


def _of_vectors(editor: GraphEditor, node: Node, ranks: list[int]) -> Rewrite:
    """A vector on the left is a row, on the right a column; the axis that this adds goes again."""
    parts = _Parts(editor, node)
    inputs, gone = [], []
    for name, rank, (axis, result_axis) in zip(node.inputs, ranks, ((0, -2), (1, -1)), strict=True):
        if rank >= _MATRIX:
            inputs.append(name)
            continue
        inputs.append(parts.unsqueezed(name, axis))
        gone.append(result_axis)
    whole = list(editor.value(node.output).shape or ())
    for axis in sorted(gone, reverse=True):
        whole.insert(len(whole) + axis + 1, 1)
    product = parts.add_node(_fused(node, (*inputs, ""), IDENTITY), tuple(whole))
    squeeze = Node("Squeeze", (product, parts.axes(*gone)), node.outputs, name=f"{node.label}.squeeze")
    return parts.rewrite(squeeze)


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
    """Factors go into constants where there are some, else into the epilogue; C becomes bias, extra input or a sum."""
    constants = _Constants(editor, f"{node.output}.times")
    alpha, beta = node.real("alpha", 1.0), node.real("beta", 1.0)
    if any(editor.value(name).shape is None for name in (*filter(None, node.inputs), node.output)):
        return None
    if node.integer("transB") and editor.constant(node.inputs[1]) is None:
        return _turned(editor, node)
    b, c = constants.times(node.inputs[1], alpha), node.input(2)
    bias = constants.times(c, beta) if c and b and _is_bias(editor, c, node.output) else None
    if c and not bias and editor.value(c).shape != editor.value(node.output).shape:
        return _with_sum(editor, node, c, beta)
    formula = _finish(1.0 if b else alpha, beta if c and not bias else None)
    inputs = (node.inputs[0], b or node.inputs[1], bias or "", *((c,) if c and not bias else ()))
    fused = _fused(node, inputs, formula)
    values = tuple(Value(name, DType.FLOAT32, array.shape) for name, array in constants.arrays.items())
    return Rewrite(drop=(node,), add=(fused,), constants=constants.arrays, values=values)


def _turned(editor: GraphEditor, node: Node) -> Rewrite:
    """A computed right-hand side is transposed in memory; the next round takes what is left."""
    parts = _Parts(editor, node)
    rows, columns = editor.value(node.inputs[1]).shape or ()
    b = parts.add("Transpose", (node.inputs[1],), (columns, rows), perm=(1, 0))
    return parts.rewrite(replace(node.with_attributes(transB=0), inputs=(node.inputs[0], b, *node.inputs[2:])))


def _with_sum(editor: GraphEditor, node: Node, c: str, beta: float) -> Rewrite:
    """C that has to be broadcast is added behind the product."""
    parts = _Parts(editor, node)
    alone = replace(node.with_attributes(beta=1.0), inputs=node.inputs[:2])
    product = parts.add_node(alone, editor.value(node.output).shape or ())
    known, factor = editor.constant(c), np.asarray(beta, np.float32)
    if beta != 1 and known is not None:
        c = parts.constant(known * factor)
    elif beta != 1:
        c = parts.add("Mul", (c, parts.constant(factor)), editor.value(c).shape or ())
    return parts.rewrite(Node("Add", (product, c), node.outputs, name=f"{node.label}.sum"))


@dataclass
class _Parts:
    """Nodes, values and constants that together replace a node; owned by one rewrite."""

    editor: GraphEditor
    node: Node
    nodes: list[Node] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    arrays: dict[str, Array] = field(default_factory=dict)

    def add(self, op: str, inputs: tuple[str, ...], shape: Shape, **attributes: Attribute) -> str:
        """The result of a new float32 node."""
        name = f"{self.node.label}.{op.lower()}{len(self.nodes)}"
        return self.add_node(Node(op, inputs, ("",), MappingProxyType(attributes), name), shape)

    def add_node(self, node: Node, shape: Shape) -> str:
        """The result of a node, under a new name."""
        own = self._fresh()
        self.nodes.append(replace(node, outputs=(own,)))
        self.values.append(Value(own, DType.FLOAT32, shape))
        return own

    def constant(self, array: Array) -> str:
        """A new constant."""
        own = self._fresh()
        self.arrays[own] = array
        self.values.append(Value(own, DType(array.dtype.name), array.shape))
        return own

    def unsqueezed(self, name: str, axis: int) -> str:
        """A vector with another axis before or behind its own."""
        array, extent = self.editor.constant(name), (self.editor.value(name).shape or ())[0]
        if array is not None:
            return self.constant(np.expand_dims(array, axis))
        return self.add("Unsqueeze", (name, self.axes(axis)), (extent, 1) if axis else (1, extent))

    def axes(self, *axes: int) -> str:
        """A constant list of axes."""
        return self.constant(np.asarray(axes, np.int64))

    def rewrite(self, last: Node) -> Rewrite:
        """Everything, in the place of the node; `last` makes its output."""
        nodes = (*self.nodes, last)
        return Rewrite(drop=(self.node,), add=nodes, constants=self.arrays, values=tuple(self.values))

    def _fresh(self) -> str:
        return self.editor.fresh(f"{self.node.output}.part{len(self.values)}")


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
