"""Attention put together, heads read and written where they stand.

    x [B, T, 3 H D] -> Reshape -> Transpose -> Split -> q, k, v
    q, k -> MatMul(q * scale, k^T) -> Add(mask) -> Softmax -> MatMul(v) -> Transpose -> Reshape [B, T, H D]
    becomes   x, x, x, mask -> ScaledDotProduct {views: offset and strides of q, k, v and the result}

In: the product of the weights and the values. Out: one node. Scores, [B, H, T, T], are never stored, and no copy is
made to take heads apart or to put them together. What is not float32, or has no feature beside feature, stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import INTERNAL, Attribute, Node
from alula.engine.passes.known import static_shape
from alula.engine.passes.match import Fixed, Match, Number, Some, either, find, made
from alula.engine.passes.merge_reshapes import is_view
from alula.engine.passes.merge_transposes import order_of
from alula.engine.passes.views import View, dense, view_of

_PRODUCT = made("MatMul", Some("q"), Some("k"), name="scores")
_SCALED = either(made("Mul", _PRODUCT, Number(name="factor")), made("Div", _PRODUCT, Number(name="divisor")), _PRODUCT)
_MASKED = either(made("Add", _SCALED, Some("mask")), made("Add", _SCALED, Fixed("mask")), _SCALED)
_WEIGHTS = made("Softmax", _MASKED, name="softmax")
# PyTorch lets rows whose mask is -inf everywhere weigh nothing.
_SAFE = either(made("Where", made("IsNaN", _WEIGHTS), Number(0.0), _WEIGHTS, name="safe"), _WEIGHTS)
_SPELLINGS = (made("MatMul", _SAFE, Some("v")),)
_RANK = 4


@dataclass(frozen=True)
class Result:
    """Where the heads are put: the value that is made, its shape, strides of [batch, head, row, feature], what goes."""

    name: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    gone: tuple[Node, ...] = ()


@dataclass(frozen=True)
class Heads:
    """Queries, keys and values as [batch, head, token, feature], and where the result is put."""

    q: View
    k: View
    v: View
    result: Result


def fuse_attention(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Replace the fragment that ends here, and what puts the heads together behind it."""
    if node.kind != ("", "MatMul"):
        return None
    match = find(editor, node, _SPELLINGS)
    if match is None or not _is_plain(editor, match, node):
        return None
    sides = _sides(editor, match, node)
    result = placed(editor, node)
    if sides is None or result is None:
        return None
    numbers = match.numbers
    scale = numbers.get("factor", 1.0) / numbers.get("divisor", 1.0)
    mask = match.values.get("mask", "")
    scores = (*sides[0].shape[:3], sides[1].shape[2])
    if mask and not _fits(editor, mask, scores):
        return None
    fused = scaled_dot_product(Heads(*sides, result), mask, scale, safe="safe" in match.named)
    return None if fused is None else Rewrite(drop=(*match.nodes, *result.gone), add=(replace(fused, name=node.name),))


def scaled_dot_product(heads: Heads, mask: str, scale: float, *, safe: bool) -> Node | None:
    """The internal node; None where features of the values or the result are no neighbours.

    Args:
        heads: where queries, keys, values and the result stand.
        mask: the value added to the scores, with a number for each key; or an empty name.
        scale: of the scores, beside the factors of queries and keys.
        safe: whether rows of scores without a softmax weigh nothing.
    """
    q, k, v, result = heads.q, heads.k, heads.v, heads.result
    sizes = (*q.shape[:3], k.shape[2], q.shape[3], v.shape[3])
    if v.strides[-1] != 1 or result.strides[-1] != 1:
        return None
    views = [(view.offset, *view.strides) for view in (q, k, v)] + [(0, *result.strides)]
    attributes: dict[str, Attribute] = {
        "sizes": sizes,
        "views": tuple(int(number) for view in views for number in view),
        "shape": result.shape,
        "scale": q.factor * k.factor * scale,
        "safe": int(safe),
    }
    inputs = (q.name, k.name, v.name, *([mask] if mask else []))
    return Node("ScaledDotProduct", inputs, (result.name,), MappingProxyType(attributes), domain=INTERNAL)


def _is_plain(editor: GraphEditor, match: Match, node: Node) -> bool:
    """Whether the softmax is along the keys, and the mask gives no axes to the scores."""
    scores, softmax = match.named["scores"], match.named["softmax"]
    shape = static_shape(editor, scores.output)
    if shape is None or shape != static_shape(editor, softmax.output) or len(shape) > _RANK:
        return False
    weights = match.named.get("safe", softmax)
    if static_shape(editor, weights.output) != shape or static_shape(editor, node.output) is None:
        return False
    return match.numbers.get("divisor", 1.0) != 0 and softmax.integer("axis", -1) % len(shape) == len(shape) - 1


def _sides(editor: GraphEditor, match: Match, node: Node) -> tuple[View, View, View] | None:
    """Queries [batch, head, row, feature], keys and values the same, each where it can be read from."""
    shape = static_shape(editor, node.output) or ()
    lead = ((1,) * _RANK + shape[:-2])[-2:]
    views = []
    for part in ("q", "k", "v"):
        name = match.values[part]
        view = view_of(editor, name)
        if part == "v" and view is not None and (view.strides[-1] != 1 or view.factor != 1):
            view = dense(editor, name)
        wide = view.of_rank(_RANK) if view is not None and len(view.shape) > 1 else None
        full = wide.expanded((*lead, *wide.shape[2:])) if wide is not None else None
        if full is None:
            return None
        views.append(_turned(full) if part == "k" else full)
    return views[0], views[1], views[2]


def _turned(view: View) -> View:
    """The last two axes exchanged."""
    b, h, d, t = view.shape
    strides = (*view.strides[:2], view.strides[3], view.strides[2])
    return replace(view, shape=(b, h, t, d), strides=strides)


def placed(editor: GraphEditor, node: Node) -> Result | None:
    """What puts the heads together goes, if it is all that reads them."""
    shape = static_shape(editor, node.output)
    if shape is None:
        return None
    probe = np.empty(shape, np.int8)
    last, gone = node, []
    follower = _only_reader(editor, last)
    order = order_of(editor, follower) if follower is not None else None
    if follower is not None and order is not None and order[-1] == len(order) - 1:
        probe = np.empty([shape[axis] for axis in order], np.int8).transpose(np.argsort(order))
        last = follower
        gone.append(follower)
    follower = _only_reader(editor, last)
    if follower is not None and is_view(follower) and static_shape(editor, follower.output) is not None:
        last = follower
        gone.append(follower)
    strides = (0,) * (_RANK - len(shape)) + probe.strides
    return Result(last.output, static_shape(editor, last.output) or shape, strides, tuple(gone))


def _only_reader(editor: GraphEditor, node: Node) -> Node | None:
    """The node that alone reads a result, as its first input."""
    readers = editor.consumers_of(node.output)
    if len(readers) != 1 or node.output in editor.outputs or readers[0].inputs[0] != node.output:
        return None
    return readers[0]


def _fits(editor: GraphEditor, mask: str, scores: tuple[int, ...]) -> bool:
    """Whether a mask broadcasts to the scores, with a number for each key."""
    shape = static_shape(editor, mask)
    if shape is None or len(shape) > _RANK or editor.value(mask).dtype is not DType.FLOAT32:
        return False
    wide = (1,) * (_RANK - len(shape)) + shape
    return wide[-1] == scores[-1] and all(dim in {1, full} for dim, full in zip(wide, scores, strict=True))
