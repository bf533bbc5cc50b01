"""Constant factors of what a convolution or a matrix product reads, worked into its weights.

    x -> Mul(#s [1, C, 1, 1]) -> Conv(#w [M, C, ...])   becomes   x -> Conv(#w * s)
    x -> Div(#s [E]) -> FusedMatMul(#w [E, M])          becomes   x -> FusedMatMul(#w / s)

Zeros around a picture stay zeros under a factor; terms would not, and stay.

In: a convolution or product of one picture or row and constant weights. Out: the same with other weights.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Array, Node
from alula.engine.passes.fold_scale import affine_of, by_axis
from alula.engine.passes.fuse_matmul import FUSED_MATMUL
from alula.engine.passes.normal import NewConstants

_CONV = ("", "Conv")
_FACTORS = frozenset({"Mul", "Div"})
_MATRIX = 2


def fold_factor(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Work one factor into the weights of the node that reads the product with it."""
    w = editor.constant(node.input(1)) if node.kind in {_CONV, FUSED_MATMUL} else None
    scaling = editor.producer_of(node.inputs[0]) if w is not None and w.dtype == np.float32 else None
    if w is None or scaling is None or scaling.domain or scaling.op not in _FACTORS:
        return None
    if node.kind == FUSED_MATMUL and (w.ndim != _MATRIX or node.integer("transA")):
        return None
    if editor.uses_of(scaling.output) != 1:
        return None
    side = 1 if editor.constant(scaling.inputs[1]) is not None else 0
    array, x = editor.constant(scaling.inputs[side]), scaling.inputs[1 - side]
    shape = editor.value(x).shape
    if array is None or not shape or shape != editor.value(scaling.output).shape:
        return None
    axis = 1 if node.kind == _CONV else len(shape) - 1
    row = by_axis(array, len(shape), axis, shape[axis])
    affine = None if row is None else affine_of(scaling.op, row, constant_first=side == 0)
    return None if affine is None else _changed(editor, node, (scaling, x), _scaled(node, w, affine.scale))


def _scaled(node: Node, w: Array, scale: Array) -> Array:
    """Weights in float64; those of a group read the channels of that group."""
    if node.kind == FUSED_MATMUL:
        return w * (scale if node.integer("transB") else scale[:, None])
    groups = node.integer("group", 1)
    parted = w.reshape(groups, len(w) // groups, w.shape[1], -1) * scale.reshape(groups, 1, w.shape[1], 1)
    return np.asarray(parted.reshape(w.shape))


def _changed(editor: GraphEditor, node: Node, source: tuple[Node, str], wide: Array) -> Rewrite | None:
    """The node on what was scaled; None where a weight is too large for float32."""
    scaling, x = source
    with np.errstate(over="ignore"):
        w = wide.astype(np.float32)
    if not np.isfinite(w).all():
        return None
    constants = NewConstants(editor, node.output)
    changed = replace(node, inputs=(x, constants.add(w, "weights"), *node.inputs[2:]))
    return Rewrite(drop=(scaling, node), add=(changed,), constants=constants.arrays, values=constants.values)
