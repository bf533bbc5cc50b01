"""Attention over keys and values: scaled dot products, masks, caches, grouped heads.

In: queries, keys, values as [batch, heads, steps, size], or [batch, steps, heads x size]. Out: as the queries, with the
values' size; the keys and values with their past; the scores. Storage types are computed in float32 and rounded
after each stage, as the standard's function body does.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import Dim, Shape
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Array
from alula.engine.graph.numpy_dtypes import numpy_dtype
from alula.engine.graph.onnx_dtypes import ONNX_DTYPES, ONNX_NUMBERS
from alula.engine.operators.common import Mismatch, Refusal, known, show
from alula.engine.operators.control import Body, separated
from alula.engine.operators.nested import GraphRunner
from alula.engine.operators.precision import widened
from alula.engine.operators.record import Inference, Inferred, Operator, Tolerance, UnknownShape

_HEADS_APART = 4  # dimensions where the heads have an axis of their own
_HEADS_PACKED = 3
_PRECISIONS = frozenset(ONNX_NUMBERS[dtype] for dtype in (DType.FLOAT32, DType.FLOAT16, DType.FLOAT64, DType.BFLOAT16))


def heads_apart(x: Array, heads: int) -> Array:
    """[batch, steps, heads x size] as [batch, heads, steps, size]; four dimensions stay.

    Raises:
        Mismatch: the rank is another, or the last dimension is no multiple of the heads.
    """
    if x.ndim == _HEADS_APART:
        return x
    if x.ndim != _HEADS_PACKED or heads < 1 or x.shape[2] % heads:
        raise Mismatch(f"inputs must be [batch, steps, {heads or 'heads'} x size]", f"one is {show(x.shape)}")
    return x.reshape(x.shape[0], x.shape[1], heads, -1).transpose(0, 2, 1, 3)


def heads_packed(x: Array) -> Array:
    """[batch, heads, steps, size] as [batch, steps, heads x size]."""
    return x.transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], -1)


def for_each_query_head(x: Array, heads: int) -> Array:
    """Keys or values with each head repeated for its group of query heads.

    Raises:
        Mismatch: the query heads are no multiple of the others.
    """
    if x.shape[1] == 0 or heads % x.shape[1]:
        raise Mismatch(f"{heads} query heads must be a multiple of key heads", f"there are {x.shape[1]}")
    return x if x.shape[1] == heads else np.repeat(x, heads // x.shape[1], 1)


@dataclass(frozen=True)
class Mask:
    """Which keys a query sees, as numbers to add to its scores: 0 or what the file says, -inf for what it does not."""

    queries: int
    keys: int
    given: Array | None
    offset: Array
    lengths: Array | None

    def bias(self, *, causal: bool, left: int, right: int) -> Array:
        """[..., queries, keys] in the dtype of the mask given, else float32.

        Query i stands at place i + offset, which may differ from sample to sample. `causal` hides later keys; `left`
        and `right` hide what is farther away, -1 nothing.
        """
        places = np.arange(self.queries).reshape(-1, 1) + self.offset.reshape(-1, 1, 1, 1)
        distance = places - np.arange(self.keys)
        seen = np.ones_like(distance, np.bool_)
        if causal:
            seen &= distance >= 0
        if left >= 0:
            seen &= distance <= left
        if right >= 0:
            seen &= -distance <= right
        if self.lengths is not None:
            seen = seen & (np.arange(self.keys) < self.lengths.reshape(-1, 1, 1, 1))
        hidden = np.where(seen, np.float32(0), np.float32(-np.inf))
        return hidden if self.given is None else hidden + self._additive(self.given)

    def _additive(self, mask: Array) -> Array:
        """The mask as numbers to add, as long as there are keys; it hides those that it does not reach."""
        numbers = np.where(mask, np.float32(0), np.float32(-np.inf)) if mask.dtype == np.bool_ else widened(mask)
        missing = self.keys - mask.shape[-1] if mask.ndim else 0
        return (
            np.pad(numbers, [(0, 0)] * (mask.ndim - 1) + [(0, missing)], constant_values=-np.inf)
            if missing > 0
            else numbers
        )


def masked_softmax(scores: Array, bias: Array) -> Array:
    """exp(x) / sum exp(x) along the last axis; a row that sees no key is 0 (ONNX, Attention: fully-masked rows)."""
    peak = scores.max(-1, keepdims=True, initial=-np.inf)
    powers = np.exp(scores - np.where(np.isneginf(peak), scores.dtype.type(0), peak))
    total = powers.sum(-1, keepdims=True)
    rows = powers / np.where(total == 0, scores.dtype.type(1), total)
    blind = np.isneginf(bias.max(-1, keepdims=True, initial=-np.inf))
    return np.asarray(np.where(blind, scores.dtype.type(0), rows), scores.dtype)


def attention(*inputs: Array | None, **attributes: Any) -> tuple[Array, ...]:
    """softmax(q k^T scale + bias) v, keys and values with their past, and the scores at a stage of the computation."""
    q, k, v, mask, past_k, past_v, lengths = inputs
    if q is None or k is None or v is None:
        raise Mismatch("queries, keys and values must be there", "one is left out")
    if (past_k is None) != (past_v is None) or (past_k is not None and lengths is not None):
        raise Mismatch("past keys come with past values, and without lengths", "they do not")
    heads, kv_heads = attributes["q_num_heads"], attributes["kv_num_heads"]
    query, key, value = heads_apart(q, heads), heads_apart(k, kv_heads), heads_apart(v, kv_heads)
    if past_k is not None and past_v is not None:
        key, value = np.concatenate([past_k, key], 2), np.concatenate([past_v, value], 2)
    offset = np.asarray(0 if past_k is None else past_k.shape[2])
    if lengths is not None:
        offset = lengths - query.shape[2]
    bias = Mask(query.shape[2], key.shape[2], mask, offset, lengths).bias(
        causal=bool(attributes["is_causal"]), left=attributes["left_window_size"], right=attributes["right_window_size"]
    )
    y, scores = _attended(query, key, value, _stage(bias, query.dtype), attributes)
    return heads_packed(y) if q.ndim == _HEADS_PACKED else y, key, value, scores


def _attended(query: Array, key: Array, value: Array, bias: Array, attributes: Any) -> tuple[Array, Array]:
    heads, dtype = query.shape[1], query.dtype
    k, v = for_each_query_head(key, heads), for_each_query_head(value, heads)
    # The standard scales both factors by the square root, which keeps their product small.
    root = np.asarray(np.sqrt(attributes["scale"] or 1 / np.sqrt(query.shape[3])), dtype)
    raw = _stage(np.matmul(widened(query * root), widened(k * root).swapaxes(2, 3)), dtype)
    cap = attributes["softcap"]
    capped = _stage(np.tanh(raw / raw.dtype.type(cap)) * raw.dtype.type(cap), dtype) if cap > 0 else raw
    biased = _stage(capped + bias, dtype)
    rows = _stage(masked_softmax(_softmax_input(biased.astype(dtype), attributes["softmax_precision"]), bias), dtype)
    shown = (raw, capped, biased, rows)[attributes["qk_matmul_output_mode"]]
    y = np.matmul(rows, widened(v))
    return np.asarray(y, dtype), np.broadcast_to(shown, biased.shape).astype(dtype)


def _stage(x: Array, dtype: Any) -> Array:
    """A result rounded to the type of the model's values, which is where ONNX's function body rounds; wide again."""
    return widened(np.asarray(x, dtype))


def _softmax_input(scores: Array, precision: int) -> Array:
    """Scores in the precision that the softmax is asked for, else their own; even a storage type is computed in itself.

    Raises:
        Refusal: it is no floating-point type.
    """
    if not precision:
        return scores
    if precision not in _PRECISIONS:
        raise Refusal("softmax_precision must be float32, float16, double or bfloat16", f"it is {precision}")
    return scores.astype(numpy_dtype(ONNX_DTYPES[precision]))


def _apart(shape: Shape, heads: int) -> Shape:
    """What `heads_apart` makes of a shape."""
    if len(shape) == _HEADS_APART:
        return shape
    if len(shape) != _HEADS_PACKED or heads < 1 or known(shape[2]) % heads:
        raise Mismatch(f"inputs must be [batch, steps, {heads or 'heads'} x size]", f"one is {show(shape)}")
    return shape[0], heads, shape[1], known(shape[2]) // heads


def _infer_attention(at: Inference) -> Inferred:
    heads, kv_heads = at.attributes["q_num_heads"], at.attributes["kv_num_heads"]
    query, key, value = _apart(at.shape(0), heads), _apart(at.shape(1), kv_heads), _apart(at.shape(2), kv_heads)
    steps: Dim = key[2]
    if at.has(4):
        steps = at.shape(4)[2] + steps
    batch, heads, queries, _ = query
    y: Shape = (batch, heads, queries, value[3])
    packed: Shape = (batch, queries, known(heads) * known(value[3])) if len(at.shape(0)) == _HEADS_PACKED else y
    return [
        (at.dtype(0), packed),
        (at.dtype(1), (*key[:2], steps, key[3])),
        (at.dtype(2), (*value[:2], steps, value[3])),
        (at.dtype(0), (batch, heads, queries, steps)),
    ]


def flex_attention(
    q: Array, k: Array, v: Array, *captured: Any, captures: tuple[str, ...], run_graph: GraphRunner, **attributes: Any
) -> Array:
    """softmax(score_mod(q k^T scale)) v, where graphs may change the scores and the probabilities."""
    if not q.ndim == k.ndim == v.ndim == _HEADS_APART:
        raise Mismatch("inputs must be [batch, heads, steps, size]", f"one is {show(q.shape)}")
    precision = attributes["softmax_precision"]
    kind = numpy_dtype(ONNX_DTYPES[precision]) if precision in _PRECISIONS else widened(q).dtype
    root = np.sqrt(np.float32(attributes["scale"] or 1 / np.sqrt(q.shape[3]))).astype(q.dtype)
    keys = for_each_query_head(k, q.shape[1]) * root
    scores = np.matmul(widened(q * root), widened(keys).swapaxes(2, 3)).astype(q.dtype).astype(kind)
    outside = separated(captured, captures)[1]
    scores = _modified(scores, attributes["score_mod"], outside, run_graph)
    powers = np.exp(widened(scores) - widened(scores).max(-1, keepdims=True))
    rows = (powers / powers.sum(-1, keepdims=True)).astype(kind)
    rows = _modified(rows, attributes["prob_mod"], outside, run_graph)
    values = for_each_query_head(v, q.shape[1]).astype(kind)
    return np.asarray(np.matmul(widened(rows), widened(values)), v.dtype)


def _modified(x: Array, graph: Graph | None, captured: dict[str, Any], run_graph: GraphRunner) -> Array:
    if graph is None:
        return x
    (result,) = Body(graph, captured).run(run_graph, x)
    return np.asarray(result, x.dtype)


def _infer_flex_attention(at: Inference) -> Inferred:
    query, value = at.shape(0), at.shape(2)
    if len(query) != _HEADS_APART or len(value) != _HEADS_APART:
        raise UnknownShape
    return [(at.dtype(0), (*query[:3], value[3]))]


ATTENTION = Operator(
    name="Attention",
    since=(23, 24, 25),
    inputs=("q", "k", "v", "mask?", "past_k?", "past_v?", "lengths?"),
    outputs=("y", "present_k", "present_v", "scores"),
    attributes=MappingProxyType(
        {
            "is_causal": 0, "q_num_heads": 0, "kv_num_heads": 0, "scale": 0.0, "softcap": 0.0, "softmax_precision": 0,
            "qk_matmul_output_mode": 0, "left_window_size": -1, "right_window_size": -1,
        }
    ),
    infer=_infer_attention,
    reference=attention,
    agrees_within=Tolerance(relative=1e-4, absolute=1e-5),
    summary="Softmax of scaled products of queries and keys, times values.",
)  # fmt: skip

FLEX_ATTENTION = Operator(
    name="FlexAttention",
    domain="ai.onnx.preview",
    since=(1,),
    inputs=("q", "k", "v", "captured*"),
    attributes=MappingProxyType(
        {"scale": 0.0, "softmax_precision": 0, "score_mod": None, "prob_mod": None, "captures": ()}
    ),
    infer=_infer_flex_attention,
    reference=flex_attention,
    nested=True,
    agrees_within=Tolerance(relative=1e-4, absolute=1e-5),
    summary="Attention whose scores and probabilities go through graphs.",
)

OPERATORS = (ATTENTION, FLEX_ATTENTION)
