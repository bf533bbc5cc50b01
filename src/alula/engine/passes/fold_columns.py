"""Constant factors and terms by column, worked into the weights of the matrix product before them.

    FusedMatMul(a, #w, #b) -> Mul(#s) -> Add(#t)   becomes   FusedMatMul(a, #w * s, #b * s + t)

This is LayerScale (Touvron et al., Going deeper with image transformers, 2021) and whatever else follows a product.

In: Add, Sub, Mul or Div of a product without an epilogue and a constant row or number. Out: the product alone.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from alula.engine.graph.formula import IDENTITY
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Array, Node
from alula.engine.passes.fold_scale import SCALES, affine_of, by_axis
from alula.engine.passes.fuse_matmul import FUSED_MATMUL
from alula.engine.passes.normal import NewConstants


def fold_columns(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Work one constant into the product."""
    if node.domain or node.op not in SCALES:
        return None
    side = 1 if editor.constant(node.inputs[1]) is not None else 0
    array, product = editor.constant(node.inputs[side]), editor.producer_of(node.inputs[1 - side])
    if array is None or product is None or product.kind != FUSED_MATMUL or editor.uses_of(product.output) != 1:
        return None
    w, b = editor.constant(product.inputs[1]), editor.constant(product.input(2))
    shape = editor.value(product.output).shape
    if w is None or (product.input(2) and b is None) or product.formula("epilogue") != IDENTITY or not shape:
        return None
    row = by_axis(array, len(shape), len(shape) - 1, shape[-1])
    affine = None if row is None else affine_of(node.op, row, constant_first=side == 0)
    if affine is None or shape != editor.value(node.output).shape:
        return None
    scale = affine.scale[:, None] if product.integer("transB") else affine.scale
    bias = affine.shift if b is None else b.reshape(-1) * affine.scale + affine.shift
    return _changed(editor, node, product, (w * scale, bias))


def _changed(editor: GraphEditor, node: Node, product: Node, arrays: tuple[Array, Array]) -> Rewrite | None:
    """The product with other constants; None where one is too large for float32."""
    with np.errstate(over="ignore"):
        w, bias = (array.astype(np.float32) for array in arrays)
    if not np.isfinite(w).all() or not np.isfinite(bias).all():
        return None
    constants = NewConstants(editor, node.output)
    inputs = [product.inputs[0], constants.add(w, "weights")]
    inputs.append(constants.add(bias, "bias") if product.input(2) or bias.any() else "")
    changed = replace(product, inputs=tuple(inputs), outputs=node.outputs)
    return Rewrite(drop=(product, node), add=(changed,), constants=constants.arrays, values=constants.values)
