"""Pooling by norms, as powers, means and roots.

    LpPool(x) {p=2, kernel_shape=[3, 3]}   becomes   Sqrt(AveragePool(x * x) {count_include_pad=1} * 9)
    GlobalLpPool(x) {p=3}                  becomes   Pow(ReduceSum(Pow(Abs(x), 3)), 1/3)

In: float32 of static shape. Out: nodes that have kernels. Windows that hang over the end of the input stay, since a
mean divides by what they hold.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node
from alula.engine.passes.known import static_shape
from alula.engine.passes.sketch import Sketch

_WINDOW = ("auto_pad", "dilations", "kernel_shape", "pads", "strides")
_EUCLID = 2
# Powers of float32 beyond it leave the range that their root comes back from.
_LARGEST = 8
_CHANNELS = 2


def lower_norm_pools(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Rewrite one pooling."""
    if node.domain or node.op not in {"LpPool", "GlobalLpPool"} or node.integer("ceil_mode"):
        return None
    x, p = node.inputs[0], node.attributes.get("p", _EUCLID)
    shapes = (static_shape(editor, x), static_shape(editor, node.output))
    if (
        editor.value(x).dtype is not DType.FLOAT32
        or not all(shapes)
        or not isinstance(p, int | float)
        or not 0 < p <= _LARGEST
    ):
        return None
    at = Sketch(editor, node)
    shape, wanted = at.shape(x), at.shape(node.output)
    total = _power(at, x, p)
    if node.op == "LpPool":
        window: dict[str, Any] = {name: node.attributes[name] for name in _WINDOW if name in node.attributes}
        mean = at.node("AveragePool", (total,), wanted, count_include_pad=1, **window)
        size = at.constant(np.asarray(math.prod(node.ints("kernel_shape")), np.float32))
        total = at.node("Mul", (mean, size), wanted)
    elif len(shape) > _CHANNELS:
        axes = at.constant(np.arange(_CHANNELS, len(shape), dtype=np.int64))
        total = at.node("ReduceSum", (total, axes), wanted, keepdims=1)
    return at.finish(_root(at, total, p))


def _power(at: Sketch, x: str, p: float) -> str:
    """|x| to the p."""
    shape = at.shape(x)
    if p == _EUCLID:
        return at.node("Mul", (x, x), shape)
    size = at.node("Abs", (x,), shape)
    return size if p == 1 else at.node("Pow", (size, at.constant(np.asarray(p, np.float32))), shape)


def _root(at: Sketch, x: str, p: float) -> str:
    if p == 1:
        return x
    if p == _EUCLID:
        return at.node("Sqrt", (x,), at.shape(x))
    return at.node("Pow", (x, at.constant(np.asarray(1 / p, np.float32))), at.shape(x))
