"""Attention of the domain `alula`: heads are read and written where they stand.

In: q, k, v float32 of any shape, seen through strides; a mask that broadcasts to [batch, heads, rows, keys]. Out: y.
"""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import Shape, is_static, static
from alula.engine.graph.nodes import INTERNAL, Array
from alula.engine.operators.common import Mismatch, broadcast_shapes, show
from alula.engine.operators.record import REQUIRED, Inference, Inferred, Operator, Tolerance, UnknownShape

_AXES = 4


def scaled_dot_product(q: Array, k: Array, v: Array, mask: Array | None = None, **attributes: Any) -> Array:
    """softmax(scale q k^T + mask) v (Vaswani et al., "Attention Is All You Need", 2017, section 3.2.1).

    Args:
        q: queries, as `k` and `v` an array that holds all heads.
        k: keys.
        v: values.
        mask: added to the scores.
        attributes: `sizes`: batch, heads, rows, keys, depth, width. `views`: for q, k, v and the output the offset and
            the strides of batch, head, token and feature, in elements. `shape` of the output. `scale` of the scores.
            `safe`: whether a row of scores without a softmax (NaN) weighs its values by 0.
    """
    batch, heads, rows, keys, depth, width = attributes["sizes"]
    views = _views(attributes["views"])
    queries, turned, values = (
        _seen(array, view, (batch, heads, *size))
        for array, view, size in zip((q, k, v), views, ((rows, depth), (keys, depth), (keys, width)), strict=False)
    )
    scores = np.matmul(queries, turned.swapaxes(-1, -2)) * np.float32(attributes["scale"])
    if mask is not None:
        scores = scores + mask
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    weights = powers / powers.sum(-1, keepdims=True)
    if attributes["safe"]:
        weights = np.where(np.isnan(weights), np.float32(0), weights)
    y = np.zeros(_checked(attributes["shape"]), np.float32)
    _seen(y, views[3], (batch, heads, rows, width), writeable=True)[...] = np.matmul(weights, values)
    return y


def _checked(shape: tuple[int, ...]) -> tuple[int, ...]:
    if min(shape, default=1) < 1:
        raise Mismatch("shape must be of positive numbers", f"it is {show(shape)}")
    return shape


def _views(views: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    step = 1 + _AXES
    if len(views) != _AXES * step:
        raise Mismatch(f"views must be {_AXES * step} numbers", f"they are {len(views)}")
    return tuple(views[start : start + step] for start in range(0, len(views), step))


def _seen(array: Array, view: tuple[int, ...], shape: tuple[int, ...], *, writeable: bool = False) -> Array:
    """An array through strides, none of which reaches outside of it."""
    offset, *strides = view
    _check_view(array.size, view, shape)
    flat = np.ascontiguousarray(array).reshape(-1)[offset:]
    steps = [stride * flat.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(flat, shape, steps, writeable=writeable)


def _check_view(size: int, view: tuple[int, ...], shape: tuple[int, ...]) -> None:
    offset, *strides = view
    last = offset + sum((dim - 1) * stride for dim, stride in zip(shape, strides, strict=True))
    if min(shape) < 1 or min(view) < 0 or last >= size:
        raise Mismatch(f"a view must stay inside its {size} elements", f"it reaches element {last}")


def _infer(at: Inference) -> Inferred:
    if len(at.attributes["sizes"]) != 6:  # noqa: PLR2004
        raise Mismatch("sizes must be 6 numbers", f"they are {len(at.attributes['sizes'])}")
    batch, heads, rows, keys, depth, width = at.attributes["sizes"]
    shape = _checked(at.attributes["shape"])
    views = _views(at.attributes["views"])
    sizes = ((rows, depth), (keys, depth), (keys, width))
    for index, (view, size) in enumerate(zip(views, sizes, strict=False)):
        given = at.shape(index)
        if not is_static(given):
            raise UnknownShape
        _check_view(math.prod(static(given)), view, (batch, heads, *size))
    _check_view(math.prod(shape), views[3], (batch, heads, rows, width))
    if at.has(3):
        _check_mask(at.shape(3), (batch, heads, rows, keys))
    return [(DType.FLOAT32, shape)]


def _check_mask(mask: Shape, scores: Shape) -> None:
    if broadcast_shapes(scores, mask) != scores:
        raise Mismatch(f"the mask must broadcast to {show(scores)}", f"it is {show(mask)}")


SCALED_DOT_PRODUCT = Operator(
    name="ScaledDotProduct",
    domain=INTERNAL,
    since=(1,),
    inputs=("q", "k", "v", "mask?"),
    attributes=MappingProxyType({"sizes": REQUIRED, "views": REQUIRED, "shape": REQUIRED, "scale": 1.0, "safe": 0}),
    infer=_infer,
    reference=scaled_dot_product,
    agrees_within=Tolerance(relative=1e-4, absolute=1e-5),
    summary="Attention of all heads where they stand: softmax(scale q k^T + mask) v.",
)

OPERATORS = (SCALED_DOT_PRODUCT,)
