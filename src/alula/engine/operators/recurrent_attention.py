"""Attention with a state in the place of a cache, the causal convolution before it, and rotary positions.

In: queries, keys and values as [batch, steps, heads x size]; signals as [batch, channels, steps]. Out: the same, and
the state with which the next call goes on. Everything is computed in float32 and rounded once.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import numpy as np

from alula.engine.graph.dims import Dim
from alula.engine.graph.nodes import Array
from alula.engine.operators.attention import for_each_query_head, heads_apart, heads_packed
from alula.engine.operators.common import Mismatch, known, show
from alula.engine.operators.precision import widened
from alula.engine.operators.record import REQUIRED, Inference, Inferred, Operator, Tolerance

_RULES = MappingProxyType({"linear": (0, 0), "gated": (1, 0), "delta": (0, 1), "gated_delta": (1, 1)})
_PACKED = 3
_ACTIVATIONS = ("none", "silu", "swish")


def linear_attention(*inputs: Array | None, **attributes: Any) -> tuple[Array, Array]:
    """State S of [key size, value size] a head: S <- exp(decay) S + k (beta (v - S^T k))^T, y = scale S^T q.

    Yang et al. 2024, Gated Delta Networks, equation 10; without gate or delta, their terms are left out.
    """
    query, key, value, past, decay, beta = inputs
    if query is None or key is None or value is None:
        raise Mismatch("queries, keys and values must be there", "one is left out")
    heads, kv_heads = attributes["q_num_heads"], attributes["kv_num_heads"]
    gated, corrected = _rule(attributes["update_rule"], decay, beta)
    q, k, v = (
        heads_apart(x, count).astype(np.float32) for x, count in ((query, heads), (key, kv_heads), (value, kv_heads))
    )
    batch, _, steps, size = q.shape
    gates = np.exp(_by_head(decay, kv_heads, size)) if gated else None
    strengths = _by_head(beta, kv_heads, 1) if corrected else None
    shape = (batch, kv_heads, size, v.shape[3])
    if past is not None and past.shape != shape:
        raise Mismatch(f"the past state must be {show(shape)}", f"it is {show(past.shape)}")
    state = np.zeros(shape, np.float32) if past is None else past.astype(np.float32)
    scale = np.float32(attributes["scale"] or 1 / np.sqrt(size))
    y = np.zeros((batch, heads, steps, v.shape[3]), np.float32)
    for step in range(steps):
        if gates is not None:
            state = state * gates[:, :, step, :, None]
        written = v[:, :, step]
        if strengths is not None:
            written = strengths[:, :, step] * (written - np.einsum("bhkv,bhk->bhv", state, k[:, :, step]))
        state = state + k[:, :, step, :, None] * written[:, :, None]
        y[:, :, step] = scale * np.einsum("bhk,bhkv->bhv", q[:, :, step], for_each_query_head(state, heads))
    return heads_packed(y).astype(query.dtype), state.astype(query.dtype if past is None else past.dtype)


def _rule(rule: str, decay: Array | None, beta: Array | None) -> tuple[bool, bool]:
    """Whether the rule has a gate and a correction.

    Raises:
        Mismatch: there is no such rule, or its inputs are left out, or others are there.
    """
    if rule not in _RULES:
        raise Mismatch(f"update_rule must be one of {', '.join(_RULES)}", f"it is {rule}")
    gated, corrected = map(bool, _RULES[rule])
    if (decay is not None) != gated or (beta is not None) != corrected:
        wanted = " and ".join(name for name, wants in (("decay", gated), ("beta", corrected)) if wants) or "neither"
        raise Mismatch(f"rule {rule} takes of decay and beta {wanted}", "the inputs are others")
    return gated, corrected


def _by_head(x: Array | None, heads: int, size: int) -> Array:
    """[batch, steps, n] as [batch, heads, steps, m]: one number a head (or for all heads), or `size` of them."""
    if x is None or x.ndim != _PACKED or x.shape[2] not in (1, heads, heads * size):
        raise Mismatch(f"decay and beta must be [batch, steps, {heads}]", "one is not")
    return heads_apart(x, min(heads, x.shape[2])).astype(np.float32)


def _infer_linear_attention(at: Inference) -> Inferred:
    heads, kv_heads = at.attributes["q_num_heads"], at.attributes["kv_num_heads"]
    q, v = at.shape(0), at.shape(2)
    if len(q) != _PACKED or len(v) != _PACKED or heads < 1 or kv_heads < 1:
        raise Mismatch("inputs must be [batch, steps, heads x size]", f"one is {show(q)}")
    size, width = known(q[2]) // heads, known(v[2]) // kv_heads
    state = at.dtype(3) if at.has(3) else at.dtype(0)
    return [(at.dtype(0), (q[0], q[1], heads * width)), (state, (q[0], kv_heads, size, width))]


def causal_convolution(
    x: Array, weight: Array, bias: Array | None = None, past: Array | None = None, *, activation: str
) -> tuple[Array, Array]:
    """Each channel's sum over the last steps, itself included; and the steps that the next call needs."""
    if x.ndim != _PACKED or weight.ndim != _PACKED or weight.shape[1] != 1 or activation not in _ACTIVATIONS:
        raise Mismatch("x must be [batch, channels, steps], weight [channels, 1, k]", f"they are {show(weight.shape)}")
    taps = weight.shape[2]
    before = np.zeros((*x.shape[:2], taps - 1), x.dtype) if past is None else past
    whole = np.concatenate([before, x], 2)
    windows = np.lib.stride_tricks.sliding_window_view(widened(whole), taps, 2)
    y = (windows * widened(weight)[:, 0, None, :]).sum(-1)
    y = (y if bias is None else y + widened(bias)[:, None]).astype(x.dtype)
    if activation != "none":
        y = (widened(y) / (1 + np.exp(-widened(y)))).astype(x.dtype)
    return y, whole[:, :, whole.shape[2] - (taps - 1) :]


def _infer_causal_convolution(at: Inference) -> Inferred:
    x, weight = at.shape(0), at.shape(1)
    kept: Dim = weight[2] + -1
    return [(at.dtype(0), x), (at.dtype(0), (*x[:2], kept))]


def rotary_embedding(
    x: Array,
    cosines: Array,
    sines: Array,
    places: Array | None = None,
    **attributes: int,
) -> Array:
    """Pairs of each head turned by the angle of their place (Su et al. 2021, RoFormer, equation 15).

    Caches are [places, half], or [batch, steps, half] where no places are given. A pair is two neighbours, or an
    element of the first half and one of the second.
    """
    apart = heads_apart(x, attributes["num_heads"])
    turning = attributes["rotary_embedding_dim"] or apart.shape[3]
    cos, sin = (widened(cache if places is None else cache[places])[:, None] for cache in (cosines, sines))
    if turning > apart.shape[3] or 2 * cos.shape[-1] != turning or cos.shape != sin.shape:
        raise Mismatch(f"caches must end in {turning // 2}", f"one is {show(cosines.shape)}")
    part = widened(apart[..., :turning])
    one, other = (part[..., ::2], part[..., 1::2]) if attributes["interleaved"] else np.split(part, 2, -1)
    turned = (cos * one - sin * other, sin * one + cos * other)
    pairs = np.stack(turned, -1).reshape(part.shape) if attributes["interleaved"] else np.concatenate(turned, -1)
    y = np.concatenate([pairs.astype(x.dtype), apart[..., turning:]], -1)
    return heads_packed(y) if x.ndim == _PACKED else y


LINEAR_ATTENTION = Operator(
    name="LinearAttention",
    since=(27,),
    inputs=("q", "k", "v", "past?", "decay?", "beta?"),
    outputs=("y", "present"),
    attributes=MappingProxyType(
        {
            "q_num_heads": REQUIRED, "kv_num_heads": REQUIRED, "update_rule": "gated_delta", "scale": 0.0,
            "chunk_size": 64,
        }
    ),
    infer=_infer_linear_attention,
    reference=linear_attention,
    agrees_within=Tolerance(relative=1e-4, absolute=1e-5),
    summary="Attention with a state of fixed size; chunk_size is a hint without meaning for the result.",
)  # fmt: skip

CAUSAL_CONVOLUTION = Operator(
    name="CausalConvWithState",
    since=(27,),
    inputs=("x", "w", "b?", "past?"),
    outputs=("y", "present"),
    attributes=MappingProxyType({"activation": "none"}),
    infer=_infer_causal_convolution,
    reference=causal_convolution,
    summary="Convolution of each channel with its last steps.",
)

ROTARY_EMBEDDING = Operator(
    name="RotaryEmbedding",
    since=(23,),
    inputs=("x", "cosines", "sines", "places?"),
    attributes=MappingProxyType({"interleaved": 0, "rotary_embedding_dim": 0, "num_heads": 0}),
    infer=lambda at: [(at.dtype(0), at.shape(0))],
    reference=rotary_embedding,
    summary="Pairs of elements turned by an angle that says where they stand.",
)

OPERATORS = (LINEAR_ATTENTION, CAUSAL_CONVOLUTION, ROTARY_EMBEDDING)
