"""Attention and packed weights in ONNX Runtime's domain com.microsoft.

In: their nodes (onnxruntime, docs/ContribOperators.md). Out: standard nodes, and two operators of alula's own: masks as
numbers to add, and weights of a few bits as floats.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.nodes import INTERNAL, Array, Node
from alula.engine.graph.numpy_dtypes import dtype_of
from alula.engine.operators.common import Mismatch, Refusal, known, show
from alula.engine.operators.microsoft_quantised import integer_product
from alula.engine.operators.record import REQUIRED, Inference, Inferred, Operator
from alula.engine.operators.rewriting import Steps, rewritten

_FILTER = -10000.0
_MATRIX, _FOR_EACH_QUERY = 2, 3


def attention_bias(mask: Array, like: Array, *, filtered: float) -> Array:
    """A mask as numbers to add to scores, [batch, 1, 1 or queries, keys] in the dtype of `like`.

    Args:
        mask: integers, 0 for what is not seen: [batch, keys] or [batch, queries, keys]; or [batch] with the length of
            each sample; or [2 batch] with the ends and then the starts.
        like: [batch, keys, size], for its dtype and sizes.
        filtered: what is added where nothing is to be seen.
    """
    if mask.ndim in {_MATRIX, _FOR_EACH_QUERY}:
        seen = mask != 0
    else:
        _check_lengths(mask.shape[0], like.shape[0], mask.ndim)
        places, batch = np.arange(like.shape[1]), like.shape[0]
        seen = places < mask[:batch, np.newaxis]
        if mask.size > batch:
            seen &= places >= mask[batch:, np.newaxis]
    shape = (seen.shape[0], 1, seen.shape[1] if seen.ndim == _FOR_EACH_QUERY else 1, seen.shape[-1])
    return np.where(seen, 0, filtered).reshape(shape).astype(like.dtype)


def _check_lengths(count: int, batch: int, rank: int) -> None:
    if rank != 1 or count not in {batch, 2 * batch}:
        needed = "mask must be [batch], [2 batch], [batch, keys] or [batch, queries, keys]"
        raise Mismatch(needed, f"it has {rank} dimensions, the first of {count}, for {batch} samples")


def _infer_bias(at: Inference) -> Inferred:
    mask, like = at.shape(0), at.shape(1)
    if len(mask) in {_MATRIX, _FOR_EACH_QUERY}:
        return [(at.dtype(1), (mask[0], 1, mask[1] if len(mask) == _FOR_EACH_QUERY else 1, mask[-1]))]
    _check_lengths(known(mask[0]) if mask else 0, known(like[0]), len(mask))
    return [(at.dtype(1), (like[0], 1, 1, like[1]))]


ATTENTION_BIAS = Operator(
    name="AttentionBias",
    domain=INTERNAL,
    since=(1,),
    inputs=("mask", "like"),
    attributes=MappingProxyType({"filtered": REQUIRED}),
    infer=_infer_bias,
    reference=attention_bias,
    summary="A mask of integers as numbers to add to scores.",
)


def unpack_bits(b: Array, scales: Array, zeros: Array | None = None, *, bits: int, block_size: int, rows: int) -> Array:
    """Weights of a few bits, in blocks with a scale each, as floats [rows, columns].

    Args:
        b: bytes [columns, blocks, block_size bits / 8], the first element in the lowest bits.
        scales: [columns, blocks] in any shape; they decide the dtype.
        zeros: bytes, packed as b for each column, or numbers of the scales' dtype; half of the range by default.
        bits: an element.
        block_size: elements a block.
        rows: how many of them are not padding.
    """
    columns, blocks = b.shape[0], b.shape[1]
    whole = _elements(b.reshape(columns, -1), bits).reshape(columns, blocks, block_size)
    offset: Array = np.asarray(float(1 << (bits - 1)), np.float32)
    if zeros is not None:
        packed = dtype_of(zeros) is DType.UINT8
        offset = _elements(zeros.reshape(columns, -1), bits)[:, :blocks] if packed else zeros.reshape(columns, blocks)
        offset = offset.astype(np.float32)[:, :, np.newaxis]
    wide = (whole.astype(np.float32) - offset) * scales.astype(np.float32).reshape(columns, blocks, 1)
    return np.ascontiguousarray(wide.reshape(columns, -1)[:, :rows].T).astype(scales.dtype)


def _elements(rows: Array, bits: int) -> Array:
    """The elements of packed rows, the first in the lowest bits."""
    single = np.unpackbits(rows.astype(np.uint8), axis=-1, bitorder="little").reshape(len(rows), -1, bits)
    return single @ (1 << np.arange(bits))


def _infer_unpacked(at: Inference) -> Inferred:
    b, bits = at.shape(0), at.attributes["bits"]
    if len(b) != _FOR_EACH_QUERY or bits not in {2, 4, 8}:
        raise Mismatch("packed weights must be [columns, blocks, bytes] of 2, 4 or 8 bits", f"they are {show(b)}")
    if known(b[2]) * 8 != at.attributes["block_size"] * bits:
        raise Mismatch(f"a block must have {at.attributes['block_size'] * bits // 8} bytes", f"it has {b[2]}")
    return [(at.dtype(1), (at.attributes["rows"], b[0]))]


UNPACK_BITS = Operator(
    name="UnpackBits",
    domain=INTERNAL,
    since=(1,),
    inputs=("b", "scales", "zeros?"),
    attributes=MappingProxyType({"bits": REQUIRED, "block_size": REQUIRED, "rows": REQUIRED}),
    infer=_infer_unpacked,
    reference=unpack_bits,
    summary="Weights of a few bits, in blocks with a scale each, as floats.",
)


def _bias_of(steps: Steps, node: Node, mask: str, like: str) -> str:
    """What a mask adds to the scores."""
    filtered = node.real("mask_filter_value", _FILTER)
    return steps.add("AttentionBias", mask, like, domain=INTERNAL, filtered=filtered) if mask else ""


def _attended(steps: Steps, node: Node, qkv: tuple[str, ...], bias: str, past: tuple[str, str]) -> str:
    """ONNX's Attention over queries, keys and values; `present` is what the caller shows of the last two."""
    heads = node.integer("num_heads")
    shown = (f"{node.output}.keys", f"{node.output}.values") if steps.output(1) else ()
    y = f"{node.output}.attended"
    scale: dict[str, Any] = {"scale": node.real("scale")} if node.real("scale") else {}
    steps.write(
        "Attention", (*qkv, bias, *past), (y, *shown), q_num_heads=heads, kv_num_heads=heads,
        is_causal=node.integer("unidirectional"), **scale,
    )  # fmt: skip
    return y


def _sum_of(steps: Steps, mask: str, more: str) -> str:
    return steps.add("Add", mask, more) if mask and more else mask or more


def _self_attention(steps: Steps, node: Node, joined: str, mask: str, pasts: tuple[str, str]) -> str:
    """Attention of a sequence to itself, its queries, keys and values side by side; `pasts` is past and more bias."""
    if any(node.integer(name) for name in ("do_rotary", "past_present_share_buffer", "rotary_embedding_dim")):
        raise Refusal("do_rotary and past_present_share_buffer must be 0", "one is not")
    past, more = pasts
    sizes = node.ints("qkv_hidden_sizes")
    split: dict[str, Any] = {"axis": -1} if sizes else {"axis": -1, "num_outputs": 3}
    qkv = steps.several("Split", 3, joined, *([steps.constant(sizes)] if sizes else []), **split)
    bias = _sum_of(steps, _bias_of(steps, node, mask, joined), more)
    first = steps.constant([0])
    both = ("", "")
    if past:
        halves = steps.several("Split", 2, past, axis=0, num_outputs=2)
        both = (steps.add("Squeeze", halves[0], first), steps.add("Squeeze", halves[1], first))
    y = _attended(steps, node, qkv, bias, both)
    if steps.output(1):
        parts = [steps.add("Unsqueeze", f"{node.output}.{name}", first) for name in ("keys", "values")]
        steps.write("Concat", tuple(parts), (steps.output(1),), axis=0)
    return y


def _attention(steps: Steps, node: Node) -> str:
    joined = steps.add("MatMul", *node.inputs[:2])
    joined = steps.add("Add", joined, node.input(2)) if node.input(2) else joined
    if node.input(6):
        raise Refusal("past must have its own length", "past_sequence_length is there")
    return _self_attention(steps, node, joined, node.input(3), (node.input(4), node.input(5)))


def _quantised_attention(steps: Steps, node: Node) -> str:
    x, w, bias, x_scale, w_scale, mask, x_zero, w_zero, past = (node.input(index) for index in range(9))
    joined = integer_product(steps, (x, x_scale, x_zero), (w, w_scale, w_zero), bias)
    return _self_attention(steps, node, joined, mask, (past, ""))


def _multi_head(steps: Steps, node: Node) -> str:
    q, k, v, bias, mask, more, past_k, past_v = (node.input(index) for index in range(8))
    if not k or not v:
        raise Refusal("queries, keys and values must be three inputs", "they are packed in one")
    if bias:
        parts = steps.several("Split", 3, bias, axis=-1, num_outputs=3)
        q, k, v = (steps.add("Add", x, part) for x, part in zip((q, k, v), parts, strict=True))
    added = _sum_of(steps, _bias_of(steps, node, mask, k), more)
    y = _attended(steps, node, (q, k, v), added, (past_k, past_v))
    for index, name in ((1, "keys"), (2, "values")):
        if steps.output(index):
            steps.write("Identity", (f"{node.output}.{name}",), (steps.output(index),))
    return y


def _few_bits(steps: Steps, node: Node) -> str:
    a, b, scales, zeros, order, bias = (node.input(index) for index in range(6))
    if order:
        raise Refusal("groups must lie in order", "g_idx is there")
    w = steps.add(
        "UnpackBits", b, scales, zeros, domain=INTERNAL, bits=node.integer("bits", 4),
        block_size=node.integer("block_size"), rows=node.integer("K"),
    )  # fmt: skip
    y = steps.add("MatMul", a, w)
    return steps.add("Add", y, bias) if bias else y


OPERATORS = (
    ATTENTION_BIAS,
    UNPACK_BITS,
    rewritten("Attention", "x w b? mask? past? bias? length?", _attention, "Attention of a sequence to itself.",
              outputs="y present", attributes="do_rotary mask_filter_value num_heads past_present_share_buffer "
              "qkv_hidden_sizes rotary_embedding_dim scale unidirectional"),
    rewritten("QAttention", "x w b x_scale w_scale mask? x_zero? w_zero? past?", _quantised_attention,
              "Attention of a quantised sequence to itself.", outputs="y present",
              attributes="do_rotary mask_filter_value num_heads past_present_share_buffer scale unidirectional"),
    rewritten("MultiHeadAttention", "q k? v? b? mask? bias? past_k? past_v?", _multi_head,
              "Attention over keys and values.", outputs="y present_k present_v",
              attributes="mask_filter_value num_heads scale unidirectional"),
    rewritten("MatMulNBits", "a b scales zeros? order? bias?", _few_bits, "The product with weights of a few bits.",
              attributes="K N accuracy_level bits block_size weight_prepacked"),
)  # fmt: skip
