"""Attention of ONNX in the forms that no kernel has as they stand, as the steps of its definition.

    Attention(q, k, v, mask, past_k, past_v)   becomes   MatMul(q, Transpose(Concat(past_k, k))) -> Mul(#scale)
    -> Add(Where(mask, 0, -inf)) -> Softmax -> MatMul(Concat(past_v, v)) -> Where(rows that see no key, 0)

In: a float32 Attention of static shapes. Out: nodes that have kernels; `fuse_attention` puts them together again where
nobody asks for the scores.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Array, Node
from alula.engine.graph.onnx_dtypes import ONNX_NUMBERS
from alula.engine.operators.attention import Mask
from alula.engine.operators.attributes import attributes_of
from alula.engine.operators.table import operator_of
from alula.engine.passes.known import static_shape
from alula.engine.passes.lower_attention import plain_form
from alula.engine.passes.sketch import Sketch

_APART, _PACKED = 4, 3
_MASK, _PAST_K, _PAST_V, _LENGTHS = 3, 4, 5, 6
_MOST_MASK = 1 << 24
_RAW, _CAPPED, _BIASED, _WEIGHTS = range(4)  # what qk_matmul_output_mode asks for


def lower_general_attention(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Replace one node, unless it has a kernel as it stands."""
    operator = operator_of(node)
    if node.kind != ("", "Attention") or operator is None or plain_form(editor, node) is not None:
        return None
    attributes = attributes_of(operator, node)
    if (
        attributes["softmax_precision"] not in {0, ONNX_NUMBERS[DType.FLOAT32]}
        or attributes["qk_matmul_output_mode"] > _WEIGHTS
    ):
        return None
    sizes = _sizes(editor, node, attributes)
    if sizes is None or not _fits(editor, node, sizes):
        return None
    return _Steps(editor, Sketch(editor, node), node, attributes, sizes).written()


@dataclass(frozen=True)
class _Sizes:
    """The extents of [batch, heads, rows, depth] queries, [batch, groups, keys, depth] keys; past is part of keys."""

    batch: int
    heads: int
    groups: int
    rows: int
    keys: int
    past: int
    depth: int
    width: int

    @property
    def scores(self) -> tuple[int, ...]:
        """The shape of the scores."""
        return self.batch, self.heads, self.rows, self.keys


def _sizes(editor: GraphEditor, node: Node, attributes: Mapping[str, Any]) -> _Sizes | None:
    """The extents, if those of all inputs fit together."""
    counts = (attributes["q_num_heads"], attributes["kv_num_heads"], attributes["kv_num_heads"])
    sides = [_apart(_floats(editor, name), count) for name, count in zip(node.inputs, counts, strict=False)]
    q, k, v = sides
    if q is None or k is None or v is None:
        return None
    past, past_v = (_floats(editor, node.input(place)) if node.input(place) else () for place in (_PAST_K, _PAST_V))
    if past is None or past_v is None or bool(past) != bool(past_v):
        return None
    before = past[2] if len(past) == _APART else 0
    sizes = _Sizes(q[0], q[1], k[1], q[2], k[2] + before, before, q[3], v[3])
    wanted = (sizes.batch, sizes.groups, k[2])
    if (*wanted, sizes.depth) != k or wanted != v[:3] or sizes.heads % sizes.groups:
        return None
    kept = (sizes.batch, sizes.groups, before)
    if past and ((*kept, sizes.depth) != past or (*kept, sizes.width) != past_v):
        return None
    return sizes


def _floats(editor: GraphEditor, name: str) -> tuple[int, ...] | None:
    return static_shape(editor, name) if editor.value(name).dtype is DType.FLOAT32 else None


def _apart(shape: tuple[int, ...] | None, heads: int) -> tuple[int, ...] | None:
    """The shape with heads on an axis of their own."""
    if shape is None or len(shape) == _APART:
        return shape
    if len(shape) != _PACKED or heads < 1 or shape[2] % heads:
        return None
    return shape[0], heads, shape[1], shape[2] // heads


def _fits(editor: GraphEditor, node: Node, sizes: _Sizes) -> bool:
    """Whether mask and lengths are of the types and shapes of the standard."""
    lengths, mask = node.input(_LENGTHS), node.input(_MASK)
    if lengths:
        plain = editor.value(lengths).dtype is DType.INT64 and not sizes.past
        if not plain or static_shape(editor, lengths) != (sizes.batch,):
            return False
    if not mask:
        return True
    shape = static_shape(editor, mask)
    if not shape or len(shape) > _APART or editor.value(mask).dtype not in {DType.FLOAT32, DType.BOOL}:
        return False
    wide = (1,) * (_APART - len(shape)) + shape
    fits = all(dim in {1, full} for dim, full in zip(wide[:-1], sizes.scores, strict=False))
    return fits and shape[-1] <= sizes.keys and sizes.rows * sizes.keys <= _MOST_MASK


@dataclass(frozen=True)
class _Steps:
    """The nodes being written; owned by one rewrite."""

    editor: GraphEditor
    sketch: Sketch
    node: Node
    attributes: Mapping[str, Any]
    sizes: _Sizes

    def written(self) -> Rewrite:
        """All steps, and which values stand for the node's outputs."""
        at, sizes = self.sketch, self.sizes
        query = self._heads(0, sizes.heads)
        key = self._with_past(self._heads(1, sizes.groups), _PAST_K)
        value = self._with_past(self._heads(2, sizes.groups), _PAST_V)
        product = at.node("MatMul", (query, at.transpose(self._repeated(key), (0, 1, 3, 2))), sizes.scores)
        raw = at.node(
            "Mul", (product, self._number(self.attributes["scale"] or 1 / math.sqrt(sizes.depth))), sizes.scores
        )
        capped = self._capped(raw)
        bias, blind = self._bias()
        biased = at.node("Add", (capped, bias), sizes.scores) if bias else capped
        weights = at.node("Softmax", (biased,), sizes.scores, axis=-1)
        mode, fused = self.attributes["qk_matmul_output_mode"], capped == raw and not any(self.node.outputs[3:])
        if blind and not fused:
            weights = self._blinded(weights, blind)
        y = at.node("MatMul", (weights, self._repeated(value)), (*sizes.scores[:3], sizes.width))
        if blind and fused:
            # Behind the product, where it leaves the fragment whole that has a kernel.
            y = self._blinded(y, blind)
        results = (self._placed(y), key, value, (raw, capped, biased, weights)[mode])
        return at.finish_all({name: made for name, made in zip(self.node.outputs, results, strict=False) if name})

    def _heads(self, place: int, heads: int) -> str:
        """An input as [batch, head, token, feature]."""
        name = self.node.inputs[place]
        shape = self.sketch.shape(name)
        if len(shape) == _APART:
            return name
        split = self.sketch.reshape(name, (*shape[:2], heads, shape[2] // heads))
        return self.sketch.transpose(split, (0, 2, 1, 3))

    def _with_past(self, name: str, place: int) -> str:
        if not self.node.input(place):
            return name
        batch, groups, _, size = self.sketch.shape(name)
        return self.sketch.node(
            "Concat", (self.node.inputs[place], name), (batch, groups, self.sizes.keys, size), axis=2
        )

    def _repeated(self, name: str) -> str:
        """Each head of keys or values for all queries of its group; one head of all broadcasts by itself."""
        batch, groups, keys, size = self.sketch.shape(name)
        if groups in {1, self.sizes.heads}:
            return name
        shape = (batch, groups, self.sizes.heads // groups, keys, size)
        wanted = self.sketch.constant(np.asarray(shape, np.int64))
        apart = self.sketch.reshape(name, (batch, groups, 1, keys, size))
        return self.sketch.reshape(
            self.sketch.node("Expand", (apart, wanted), shape), (batch, self.sizes.heads, keys, size)
        )

    def _capped(self, raw: str) -> str:
        cap = self.attributes["softcap"]
        if cap <= 0:
            return raw
        shape, number = self.sizes.scores, self._number(cap)
        return self.sketch.node(
            "Mul", (self.sketch.node("Tanh", (self.sketch.node("Div", (raw, number), shape),), shape), number), shape
        )

    def _number(self, number: float) -> str:
        return self.sketch.constant(np.asarray(number, np.float32))

    def _placed(self, y: str) -> str:
        """The result, heads packed where the queries' are."""
        sizes = self.sizes
        if len(self.sketch.shape(self.node.inputs[0])) == _APART:
            return y
        turned = self.sketch.transpose(y, (0, 2, 1, 3))
        return self.sketch.reshape(turned, (sizes.batch, sizes.rows, sizes.heads * sizes.width))

    def _blinded(self, name: str, blind: str) -> str:
        """Zeros where a query sees no key; the softmax of such a row is NaN."""
        return self.sketch.node("Where", (blind, self._number(0), name), self.sketch.shape(name), dtype=DType.FLOAT32)

    def _bias(self) -> tuple[str, str]:
        """What to add to the scores, and which rows see no key [..., rows, 1]; empty names for nothing and none."""
        given, lengths = (self.editor.constant(self.node.input(place)) for place in (_MASK, _LENGTHS))
        if (given is None and self.node.input(_MASK)) or (lengths is None and self.node.input(_LENGTHS)):
            bias = self._computed_bias()
            shape = (*self.sketch.shape(bias)[:-1], 1)
            peak = self.sketch.node("ReduceMax", (bias, self.sketch.constant(np.asarray([-1]))), shape, keepdims=1)
            return bias, self.sketch.node("Equal", (peak, self._number(-np.inf)), shape, dtype=DType.BOOL)
        known = self._known_bias(given, lengths)
        if given is None and not known.any():
            return "", ""
        blind = np.isneginf(known.max(-1, keepdims=True))
        return self.sketch.constant(known), self.sketch.constant(blind) if blind.any() else ""

    def _known_bias(self, given: Array | None, lengths: Array | None) -> Array:
        offset = np.asarray(self.sizes.past) if lengths is None else lengths - self.sizes.rows
        mask = Mask(self.sizes.rows, self.sizes.keys, given, offset, lengths)
        bias = mask.bias(
            causal=bool(self.attributes["is_causal"]), left=self.attributes["left_window_size"],
            right=self.attributes["right_window_size"],
        )  # fmt: skip
        return np.asarray(bias, np.float32)

    def _computed_bias(self) -> str:
        """The same as steps, for masks and lengths that only the run tells."""
        seen, given = self._seen(), self._given()
        if given and self.sketch.dtype(given) is DType.BOOL:
            seen.append(given)
            given = ""
        if not seen:
            return given
        both = reduce(lambda one, other: self._logical("And", one, other), seen)
        choice = (both, self._number(0), self._number(-np.inf))
        bias = self.sketch.node("Where", choice, self.sketch.shape(both), dtype=DType.FLOAT32)
        if not given:
            return bias
        shape = np.broadcast_shapes(self.sketch.shape(bias), self.sketch.shape(given))
        return self.sketch.node("Add", (bias, given), shape)

    def _seen(self) -> list[str]:
        """Which keys a query sees by its place, and by the lengths of the samples."""
        lengths = self.node.input(_LENGTHS)
        if not lengths or self.editor.constant(lengths) is not None:
            known = self._known_bias(None, self.editor.constant(lengths))
            return [self.sketch.constant(known == 0)] if known.any() else []
        count = self.sketch.reshape(lengths, (self.sizes.batch, 1, 1, 1))
        keys = np.arange(self.sizes.keys)
        seen = [self._logical("Less", self.sketch.constant(keys), count)]
        # Query i stands at place i + length - rows.
        places = np.arange(-self.sizes.rows, 0).reshape(-1, 1) - keys
        causal, left, right = (self.attributes[name] for name in ("is_causal", "left_window_size", "right_window_size"))
        limits = [("GreaterOrEqual", 0)] * bool(causal) + [("LessOrEqual", left)] * (left >= 0)
        for op, limit in limits + [("GreaterOrEqual", -right)] * (right >= 0):
            shape = (self.sizes.batch, 1, self.sizes.rows, self.sizes.keys)
            distance = self.sketch.node("Add", (self.sketch.constant(places), count), shape)
            seen.append(self._logical(op, distance, self.sketch.constant(np.asarray(limit))))
        return seen

    def _given(self) -> str:
        """The mask, as long as there are keys; it hides those that it does not reach."""
        name = self.node.input(_MASK)
        missing = self.sizes.keys - self.sketch.shape(name)[-1] if name else 0
        if not missing:
            return name
        outer, hidden = self.sketch.shape(name)[:-1], self.sketch.dtype(name) is DType.BOOL
        more = np.full((*outer, missing), False if hidden else np.float32(-np.inf))
        return self.sketch.node("Concat", (name, self.sketch.constant(more)), (*outer, self.sizes.keys), axis=-1)

    def _logical(self, op: str, one: str, other: str) -> str:
        shape = np.broadcast_shapes(self.sketch.shape(one), self.sketch.shape(other))
        return self.sketch.node(op, (one, other), shape, dtype=DType.BOOL)
