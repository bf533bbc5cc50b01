"""The two products of squeeze-and-excitation, which are of one pixel, become one step.

    x[N, C, 1, 1] -> FusedConv(#w1, #b1) <e1> -> FusedConv(#w2, #b2) <e2>
    x[N, C, 1, 1] -> Flatten -> FusedMatMul(#w1, #b1) <e1> -> FusedMatMul(#w2, #b2) <e2> -> Reshape [N, O, 1, 1]
    become   ChannelGate(x, #w1, #b1, #w2, #b2) {squeeze=<e1>, excite=<e2>}

The pool before and the scaling behind stay nodes of their own: the scaling joins what follows it.

In: the last of these nodes. Out: one node whose weights are matrices [rows, columns].
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.formula import Formula
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import INTERNAL, Array, Node
from alula.engine.passes.known import static_shape
from alula.engine.passes.match import is_closed
from alula.engine.passes.normal import NewConstants

_CONV = (INTERNAL, "FusedConv")
_MATMUL = (INTERNAL, "FusedMatMul")
_VIEWS = frozenset({("", "Reshape"), ("", "Flatten"), ("", "Squeeze"), ("", "Unsqueeze")})
_ONE_PIXEL = (1, 1)
_MATRIX = 2
_RANK = 4
# Each worker computes the first product whole: it is to be the smaller part. Published blocks squeeze 4 to 24 times.
_LEAST_SQUEEZE = 2


@dataclass(frozen=True)
class _Product:
    """Formula(w x + b), with w [rows, columns]."""

    w: Array
    b: Array | None
    formula: Formula


def fuse_squeeze_excite(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Join the products that end in one node."""
    found = _of_convolutions(editor, node) or _of_matrices(editor, node)
    if found is None:
        return None
    x, chain = found
    pixels = [static_shape(editor, name) for name in (x, node.output)]
    if any(shape is None or len(shape) != _RANK or shape[2:] != _ONE_PIXEL for shape in pixels):
        return None
    if not is_closed(editor, chain, node):
        return None
    products = [_product(editor, part) for part in chain if part.kind in {_CONV, _MATMUL}]
    squeeze, excite = products
    if squeeze is None or excite is None or len(squeeze.w) * _LEAST_SQUEEZE > len(excite.w):
        return None
    return _gate(editor, node, x, (squeeze, excite), chain)


def _of_convolutions(editor: GraphEditor, node: Node) -> tuple[str, tuple[Node, ...]] | None:
    """What the products read, and both of them; None where there are no two."""
    before = editor.producer_of(node.inputs[0]) if node.kind == _CONV else None
    return (before.inputs[0], (before, node)) if before is not None and before.kind == _CONV else None


def _of_matrices(editor: GraphEditor, node: Node) -> tuple[str, tuple[Node, ...]] | None:
    """The same with views at both ends; the first may have other readers, and then stays."""
    if node.kind not in _VIEWS:
        return None
    excite = editor.producer_of(node.inputs[0])
    squeeze = None if excite is None or excite.kind != _MATMUL else editor.producer_of(excite.inputs[0])
    view = None if squeeze is None or squeeze.kind != _MATMUL else editor.producer_of(squeeze.inputs[0])
    if excite is None or squeeze is None or view is None or view.kind not in _VIEWS:
        return None
    # Rows are images: a view that gives one image's channels to several rows is none of ours.
    rows, images = static_shape(editor, view.output), static_shape(editor, view.inputs[0])
    after = static_shape(editor, node.output)
    if rows is None or len(rows) != _MATRIX or not images or not after or rows[0] != images[0] or rows[0] != after[0]:
        return None
    own = (view,) if editor.uses_of(view.output) == 1 else ()
    return view.inputs[0], (*own, squeeze, excite, node)


def _product(editor: GraphEditor, node: Node) -> _Product | None:
    """One product of rows and a constant matrix of float32; None for others."""
    w, b = editor.constant(node.inputs[1]), editor.constant(node.input(2))
    if w is None or (node.input(2) and b is None) or any(node.inputs[3:]):
        return None
    if any(editor.value(name).dtype is not DType.FLOAT32 for name in filter(None, node.inputs)):
        return None
    if node.kind == _CONV:
        if w.shape[2:] != _ONE_PIXEL or any(node.ints("pads")) or node.integer("group", 1) != 1:
            return None
        w = w.reshape(w.shape[:2])
    elif node.integer("transA") or w.ndim != _MATRIX:
        return None
    elif not node.integer("transB"):
        w = w.T
    row = None if b is None else np.broadcast_to(b.reshape(-1), (len(w),))
    return _Product(w, row, node.formula("epilogue"))


def _gate(
    editor: GraphEditor, node: Node, x: str, products: tuple[_Product, _Product], chain: tuple[Node, ...]
) -> Rewrite:
    constants = NewConstants(editor, node.output)
    names = [x]
    for product, what in zip(products, ("squeeze", "excite"), strict=True):
        names.append(constants.add(product.w, what))
        names.append("" if product.b is None else constants.add(product.b, f"{what}.bias"))
    attributes = MappingProxyType({"squeeze": products[0].formula, "excite": products[1].formula})
    gate = Node("ChannelGate", tuple(names), node.outputs, attributes, node.name, INTERNAL)
    return Rewrite(drop=chain, add=(gate,), constants=constants.arrays, values=constants.values)
