"""Rotary positions and causal convolutions with a state, as operators that have kernels.

    RotaryEmbedding(x, cos, sin, places)        becomes   Concat(c * one - s * other, s * one + c * other),
                                                          c = Gather(cos, places), s = Gather(sin, places)
    CausalConvWithState(x, w, b, past) {silu}   becomes   z * Sigmoid(z), z = Conv(Concat(past, x), w, b)

In: float32 of static shapes. Out: moves and formulas, most of which fuse, and a convolution of single channels.
"""

from __future__ import annotations

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node
from alula.engine.passes.known import static_shape
from alula.engine.passes.sketch import Sketch

_APART, _PACKED = 4, 3
_PLACES, _PAST = 3, 3


def lower_rotary(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Rewrite one RotaryEmbedding or CausalConvWithState."""
    if node.domain or node.op not in {"RotaryEmbedding", "CausalConvWithState"}:
        return None
    if any(_floats(editor, name) is None for name in filter(None, node.inputs[:3])):
        return None
    return (_rotary if node.op == "RotaryEmbedding" else _causal_convolution)(editor, node)


def _floats(editor: GraphEditor, name: str) -> tuple[int, ...] | None:
    return static_shape(editor, name) if editor.value(name).dtype is DType.FLOAT32 else None


def _rotary(editor: GraphEditor, node: Node) -> Rewrite | None:
    at, x = Sketch(editor, node), node.inputs[0]
    packed, heads = len(at.shape(x)) == _PACKED, node.integer("num_heads")
    if packed and (heads < 1 or at.shape(x)[2] % heads):
        return None
    if packed:
        batch, steps, features = at.shape(x)
        x = at.transpose(at.reshape(x, (batch, steps, heads, features // heads)), (0, 2, 1, 3))
    batch, heads, steps, size = at.shape(x)
    turning = node.integer("rotary_embedding_dim") or size
    angles = [_angles(at, node, name, (batch, steps, turning // 2)) for name in node.inputs[1:3]]
    if turning > size or turning % 2 or not all(angles):
        return None
    turned = _turned(at, _cut(at, x, 0, turning), (angles[0], angles[1]), interleaved=bool(node.integer("interleaved")))
    if turning < size:
        turned = at.node("Concat", (turned, _cut(at, x, turning, size)), at.shape(x), axis=-1)
    if packed:
        turned = at.reshape(at.transpose(turned, (0, 2, 1, 3)), (batch, steps, heads * size))
    return at.finish(turned)


def _angles(at: Sketch, node: Node, cache: str, shape: tuple[int, int, int]) -> str:
    """The numbers of each place, [batch, 1, steps, half]; an empty name where the cache has others."""
    batch, steps, half = shape
    if node.input(_PLACES):
        known = at.dtype(node.input(_PLACES)) is DType.INT64 and at.shape(node.input(_PLACES)) == (batch, steps)
        if not known or len(at.shape(cache)) != 2 or at.shape(cache)[1] != half:  # noqa: PLR2004  places, half
            return ""
        cache = at.node("Gather", (cache, node.input(_PLACES)), shape, axis=0)
    return at.reshape(cache, (batch, 1, steps, half)) if at.shape(cache) == shape else ""


def _turned(at: Sketch, part: str, angles: tuple[str, str], *, interleaved: bool) -> str:
    """Su et al. 2021, RoFormer, equation 15: pairs of neighbours, or of an element of each half."""
    shape = at.shape(part)
    half = (*shape[:-1], shape[-1] // 2)
    if interleaved:
        pairs = at.reshape(part, (*half, 2))
        one, other = (at.reshape(_cut(at, pairs, side, side + 1), half) for side in (0, 1))
    else:
        one, other = _cut(at, part, 0, half[-1]), _cut(at, part, half[-1], shape[-1])
    cos, sin = angles
    first = at.node("Sub", (at.node("Mul", (cos, one), half), at.node("Mul", (sin, other), half)), half)
    second = at.node("Add", (at.node("Mul", (sin, one), half), at.node("Mul", (cos, other), half)), half)
    if not interleaved:
        return at.node("Concat", (first, second), shape, axis=-1)
    sides = [at.reshape(side, (*half, 1)) for side in (first, second)]
    return at.reshape(at.node("Concat", sides, (*half, 2), axis=-1), shape)


def _cut(at: Sketch, name: str, start: int, end: int) -> str:
    """Elements [start, end) of the last axis."""
    shape = at.shape(name)
    if (start, end) == (0, shape[-1]):
        return name
    numbers = [at.constant(np.asarray([number], np.int64)) for number in (start, end, -1)]
    return at.node("Slice", (name, *numbers), (*shape[:-1], end - start))


def _causal_convolution(editor: GraphEditor, node: Node) -> Rewrite | None:
    at, x, weight = Sketch(editor, node), node.inputs[0], node.inputs[1]
    if len(at.shape(x)) != _PACKED or len(at.shape(weight)) != _PACKED:
        return None
    (batch, channels, steps), taps = at.shape(x), at.shape(weight)[2]
    before, shape = (batch, channels, taps - 1), (batch, channels, taps - 1 + steps)
    activation = node.text("activation", "none")
    if at.shape(weight)[:2] != (channels, 1) or taps == 1 or activation not in {"none", "silu", "swish"}:
        return None
    past = node.input(_PAST)
    if past and _floats(editor, past) != before:
        return None
    past = past or at.constant(np.zeros(before, np.float32))
    whole = at.node("Concat", (past, x), shape, axis=2)
    bias = [node.input(2)] if node.input(2) else []
    y = at.node("Conv", (whole, weight, *bias), at.shape(x), group=channels, kernel_shape=(taps,))
    if activation != "none":
        y = at.node("Mul", (y, at.node("Sigmoid", (y,), at.shape(x))), at.shape(x))
    results = {name: made for name, made in zip(node.outputs, (y, ""), strict=False) if name and made}
    if any(node.outputs[1:]):
        results[node.outputs[1]] = _cut(at, whole, steps, steps + taps - 1)
    return at.finish_all(results)
