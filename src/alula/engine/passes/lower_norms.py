"""Normalisations that have no kernel of their own become reductions and formulas.

    MeanVarianceNormalization(x)         becomes   d / (Sqrt(ReduceMean(d * d)) + 1e-9), d = x - ReduceMean(x)
    LpNormalization(x) {p=2}             becomes   x / Max(ReduceL2(x), smallest normal number)

In: float32 of static shape. Out: nodes that have kernels, most of which fuse.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node
from alula.engine.passes.known import are_float32
from alula.engine.passes.sketch import Sketch

# ONNX's function body of MeanVarianceNormalization.
_EPSILON = 1e-9
# A norm of 0 belongs to elements of 0, which stay 0 over any other number.
_SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)


def lower_norms(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Rewrite one normalisation."""
    if node.domain or node.op not in {"MeanVarianceNormalization", "LpNormalization"}:
        return None
    shape = editor.value(node.inputs[0]).shape
    if not shape or not are_float32(editor, node.inputs[:1]):
        return None
    sketch, rank = Sketch(editor, node), len(shape)
    if node.op == "LpNormalization":
        return _lp_norm(sketch, node, rank)
    return _mean_variance(sketch, node, [axis % rank for axis in node.ints("axes", (0, 2, 3))])


def _lp_norm(sketch: Sketch, node: Node, rank: int) -> Rewrite | None:
    kind = {1: "ReduceL1", 2: "ReduceL2"}.get(node.integer("p", 2))
    if kind is None:
        return None
    x = node.inputs[0]
    norm = _reduced(sketch, kind, x, [node.integer("axis", -1) % rank])
    bounded = sketch.node("Max", (norm, _number(sketch, _SMALLEST_NORMAL)), sketch.shape(norm))
    return sketch.finish(sketch.node("Div", (x, bounded), sketch.shape(x)))


def _mean_variance(sketch: Sketch, node: Node, axes: Sequence[int]) -> Rewrite:
    x = node.inputs[0]
    shape = sketch.shape(x)
    centred = sketch.node("Sub", (x, _reduced(sketch, "ReduceMean", x, axes)), shape)
    variance = _reduced(sketch, "ReduceMean", sketch.node("Mul", (centred, centred), shape), axes)
    deviation = sketch.node("Sqrt", (variance,), sketch.shape(variance))
    bounded = sketch.node("Add", (deviation, _number(sketch, _EPSILON)), sketch.shape(variance))
    return sketch.finish(sketch.node("Div", (centred, bounded), shape))


def _reduced(sketch: Sketch, op: str, name: str, axes: Sequence[int]) -> str:
    shape = [1 if axis in axes else extent for axis, extent in enumerate(sketch.shape(name))]
    return sketch.node(op, (name, sketch.constant(np.asarray(axes, np.int64))), shape, keepdims=1)


def _number(sketch: Sketch, value: float) -> str:
    return sketch.constant(np.asarray(value, np.float32))
