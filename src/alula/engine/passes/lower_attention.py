"""Attention of ONNX, in its plain form, as the node that has a kernel.

    Attention(q, k, v) {is_causal=1}   becomes   ScaledDotProduct(q, k, v, #mask)

In: an Attention without past keys, lengths, windows, caps or other outputs than the first. Out: one node that reads and
writes heads where they stand. Masks that may hide all keys from a query stay, unless they are known not to.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Array, Node
from alula.engine.graph.onnx_dtypes import ONNX_NUMBERS
from alula.engine.operators.attributes import attributes_of
from alula.engine.operators.table import operator_of
from alula.engine.passes.fuse_attention import Heads, Result, placed, scaled_dot_product
from alula.engine.passes.known import static_shape
from alula.engine.passes.normal import NewConstants
from alula.engine.passes.views import View, dense, view_of

_APART, _PACKED = 4, 3
_MOST_MASK = 1 << 24
_NOTHING: Array = np.zeros(0, np.float32)
_PLAIN = {"softcap": 0.0, "left_window_size": -1, "right_window_size": -1}


def lower_attention(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Replace one node, and the transpose that puts its heads together."""
    form = plain_form(editor, node)
    if form is None:
        return None
    constants = NewConstants(editor, node.output)
    name = constants.add(form.mask, "mask") if form.mask.size else ""
    fused = scaled_dot_product(form.heads, name, form.scale, safe=False)
    if fused is None:
        return None
    add = (replace(fused, name=node.name),)
    drop = (node, *form.heads.result.gone)
    return Rewrite(drop=drop, add=add, constants=constants.arrays, values=constants.values)


@dataclass(frozen=True)
class PlainForm:
    """An Attention that has a kernel as it stands; the mask is empty where nothing is added to the scores."""

    heads: Heads
    mask: Array
    scale: float


def plain_form(editor: GraphEditor, node: Node) -> PlainForm | None:
    """What to hand the kernel; None for other nodes, and for forms that it does not have."""
    operator = operator_of(node)
    if node.kind != ("", "Attention") or operator is None or any(node.inputs[4:]) or any(node.outputs[1:]):
        return None
    attributes = attributes_of(operator, node)
    if any(attributes.get(name, plain) != plain for name, plain in _PLAIN.items()):
        return None
    if attributes["softmax_precision"] not in {0, ONNX_NUMBERS[DType.FLOAT32]}:
        return None
    heads = _heads(editor, node, attributes)
    if heads is None:
        return None
    mask = _mask(editor, node, (heads.q.shape[2], heads.k.shape[2]), causal=bool(attributes["is_causal"]))
    return None if mask is None else PlainForm(heads, mask, attributes["scale"] or 1 / math.sqrt(heads.q.shape[3]))


def _mask(editor: GraphEditor, node: Node, size: tuple[int, int], *, causal: bool) -> Array | None:
    """What to add to the scores, [rows, keys] or a constant that broadcasts to them; empty for nothing.

    None where the mask is computed, may hide all keys from a query (whose result ONNX defines as 0), or is too large.
    """
    rows, keys = size
    hidden = np.triu(np.full(size, -np.inf, np.float32), 1) if causal and rows * keys <= _MOST_MASK else _NOTHING
    given = editor.constant(node.input(3)) if node.input(3) else _NOTHING
    if given is None or (causal and not hidden.size):
        return None
    if given.size:
        if given.ndim > _APART or not given.ndim or given.shape[-1] != keys or given.size > _MOST_MASK:
            return None
        numbers = np.where(given, 0, -np.inf) if given.dtype == np.bool_ else given
        hidden = np.asarray(numbers + hidden if hidden.size else numbers, np.float32)
    blind = hidden.size and bool(np.isneginf(hidden.max(-1)).any())
    return None if blind or hidden.ndim > _APART else hidden


def _heads(editor: GraphEditor, node: Node, attributes: Mapping[str, Any]) -> Heads | None:
    """Where the heads stand; None for groups of queries that share keys, but for one group of all."""
    shape = static_shape(editor, node.output)
    if shape is None:
        return None
    counts = (attributes["q_num_heads"], attributes["kv_num_heads"], attributes["kv_num_heads"])
    sides = [_apart(editor, name, count) for name, count in zip(node.inputs[:3], counts, strict=True)]
    views = [view for view in sides if view is not None]
    if len(views) < len(sides):
        return None
    lead = views[0].shape[:2]
    full = [view.expanded((*lead, *view.shape[2:])) for view in views]
    q, k, v = full
    if q is None or k is None or v is None:
        return None
    if len(shape) == _APART:
        result = placed(editor, node)
    else:
        rows, width = q.shape[2], v.shape[3]
        strides = (rows * lead[1] * width, width, lead[1] * width, 1)
        result = Result(node.output, shape, strides)
    return None if result is None else Heads(q, k, v, result)


def _apart(editor: GraphEditor, name: str, heads: int) -> View | None:
    """An input as [batch, head, token, feature]."""
    view = view_of(editor, name)
    if view is not None and (view.factor != 1 or view.strides[-1] != 1):
        view = dense(editor, name)
    if view is None or len(view.shape) == _APART:
        return view
    if len(view.shape) != _PACKED or heads < 1 or view.shape[2] % heads:
        return None
    (batch, tokens, features), (b, t, e) = view.shape, view.strides
    size = features // heads
    return replace(view, shape=(batch, heads, tokens, size), strides=(b, size * e, t, e))
