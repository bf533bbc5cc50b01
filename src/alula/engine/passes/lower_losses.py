"""Losses of classification, as picking and sums.

    NegativeLogLikelihoodLoss(x, target, weight) {mean}   becomes   ReduceSum(-p * w) / ReduceSum(w),
        p = GatherElements(x, target), w = Gather(weight, target), both 0 where the target is ignored
    SoftmaxCrossEntropyLoss(x, target, weight)            becomes   the same of LogSoftmax(x)

In: float32 scores of static shape. Out: nodes that have kernels. Classes outside of the scores, which the reference
refuses, are left to the kernel that gathers: it reads inside of its operand.
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

_CROSS, _LIKELIHOOD = "SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss"
_CLASSES = (DType.INT32, DType.INT64)


def lower_losses(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Rewrite one loss."""
    if node.domain or node.op not in {_CROSS, _LIKELIHOOD} or not _fits(editor, node):
        return None
    at, scores = Sketch(editor, node), node.inputs[0]
    if node.op == _CROSS:
        scores = at.node("LogSoftmax", (scores,), at.shape(scores), axis=1)
    results = dict(zip(node.outputs, (_loss(at, node, scores), scores), strict=False))
    return at.finish_all({name: made for name, made in results.items() if name})


def _fits(editor: GraphEditor, node: Node) -> bool:
    """Whether types and shapes are those of the standard; others are for the reference to explain."""
    x, target = (static_shape(editor, name) for name in node.inputs[:2])
    if not x or target is None or target != (x[0], *x[2:]) or editor.value(node.inputs[0]).dtype is not DType.FLOAT32:
        return False
    weight = node.input(2)
    if weight and (static_shape(editor, weight) != (x[1],) or editor.value(weight).dtype is not DType.FLOAT32):
        return False
    return editor.value(node.inputs[1]).dtype in _CLASSES and node.text("reduction", "mean") in {"none", "sum", "mean"}


def _loss(at: Sketch, node: Node, scores: str) -> str:
    target, ignored = node.inputs[1], node.attributes.get("ignore_index")
    shape, zero = at.shape(target), at.constant(np.asarray(0, np.float32))
    counted, chosen = "", target
    if isinstance(ignored, int):
        kind = numpy_dtype(at.dtype(target))
        matches = at.node("Equal", (target, at.constant(np.asarray(ignored, kind))), shape, dtype=DType.BOOL)
        counted = at.node("Not", (matches,), shape)
        chosen = at.node("Where", (counted, target, at.constant(np.asarray(0, kind))), shape, dtype=at.dtype(target))
    place = (shape[0], 1, *shape[1:])
    picked = at.node("GatherElements", (scores, at.reshape(chosen, place)), place, axis=1)
    loss = at.node("Neg", (at.reshape(picked, shape),), shape)
    weights = at.node("Gather", (node.input(2), chosen), shape, axis=0) if node.input(2) else ""
    if weights:
        loss = at.node("Mul", (loss, weights), shape)
    if counted:
        one = at.constant(np.asarray(1, np.float32))
        weights = at.node("Where", (counted, weights or one, zero), shape, dtype=DType.FLOAT32)
        loss = at.node("Where", (counted, loss, zero), shape, dtype=DType.FLOAT32)
    reduction = node.text("reduction", "mean")
    if reduction == "none":
        return loss
    total = _total(at, loss)
    if reduction == "sum":
        return total
    divisor = _total(at, weights) if weights else at.constant(np.asarray(math.prod(shape), np.float32))
    return at.node("Div", (total, divisor), ())


def _total(at: Sketch, name: str) -> str:
    flat = at.reshape(name, (math.prod(at.shape(name)),))
    return at.node("ReduceSum", (flat, at.constant(np.asarray([0], np.int64))), (), keepdims=0)
