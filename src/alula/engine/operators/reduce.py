"""Reduction along axes.

In: x and the axes (an int64 input, absent or empty for all). Out: x with those axes reduced to 1 or gone. Over nothing,
sums of powers are 0, products 1, logarithms -inf, and extremes the other end of the dtype.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.engine.graph.nodes import Array, Node
from alula.engine.operators.common import attribute_to_input, axes_of, integers
from alula.engine.operators.formula import divided
from alula.engine.operators.precision import in_float32
from alula.engine.operators.record import Inference, Inferred, Operator


def _chosen(axes: Array | None, rank: int, noop: int) -> tuple[int, ...]:
    given = () if axes is None else integers(axes)
    if given:
        return axes_of(given, rank)
    return () if noop else tuple(range(rank))


def reduced_shape(shape: tuple[Any, ...], axes: tuple[int, ...], keepdims: int) -> tuple[Any, ...]:
    """The shape with axes set to 1, or left out."""
    if keepdims:
        return tuple(1 if axis in axes else dim for axis, dim in enumerate(shape))
    return tuple(dim for axis, dim in enumerate(shape) if axis not in axes)


def _infer(at: Inference) -> Inferred:
    x = at.shape(0)
    axes = _chosen(at.constant(1) if at.has(1) else None, len(x), at.attributes["noop_with_empty_axes"])
    return [(at.dtype(0), reduced_shape(x, axes, at.attributes["keepdims"]))]


def _reference(function: Callable[..., Any]) -> Callable[..., Array]:
    def reference(x: Array, axes: Array | None = None, *, keepdims: int, noop_with_empty_axes: int) -> Array:
        chosen = _chosen(axes, x.ndim, noop_with_empty_axes)
        return np.asarray(function(x, chosen, bool(keepdims)), x.dtype)

    return in_float32(reference)


def _mean(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:  # noqa: FBT001  as numpy has it
    if x.dtype.kind == "f":
        return np.asarray(x.mean(axes, keepdims=keepdims))
    count = math.prod(x.shape[axis] for axis in axes)
    return np.asarray(divided(x.sum(axes, x.dtype, keepdims=keepdims), np.asarray(count, x.dtype)))


def _sum(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:  # noqa: FBT001
    return np.asarray(x.sum(axes, x.dtype, keepdims=keepdims))


def _length(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:  # noqa: FBT001
    """The square root of the sum of squares; integers count in float64, which rounds down at the end."""
    wide = x if x.dtype.kind == "f" else x.astype(np.float64)
    return np.sqrt(_sum(wide * wide, axes, keepdims))


def log_sum_exp(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:  # noqa: FBT001
    """Log of the sum of exp(x), shifted by the largest element so that nothing overflows."""
    largest = x.max(axes, keepdims=True, initial=-np.inf)
    shift = np.where(np.isfinite(largest), largest, 0).astype(x.dtype)
    result = np.log(np.exp(x - shift).sum(axes, keepdims=True, dtype=x.dtype)) + shift
    return np.asarray(result.reshape(reduced_shape(x.shape, axes, keepdims)))


def _extreme(function: Callable[..., Any], largest: bool) -> Callable[..., Any]:  # noqa: FBT001
    """Maximum or minimum; over nothing it is the dtype's other end, as ONNX 20 has it."""

    def reduce_extreme(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:  # noqa: FBT001
        if x.size:
            return np.asarray(function(x, axis=axes, keepdims=keepdims))
        return np.full(reduced_shape(x.shape, axes, keepdims), _end(x.dtype, lowest=largest))

    return reduce_extreme


def _end(dtype: Any, *, lowest: bool) -> Any:
    if dtype.kind == "f":
        return -np.inf if lowest else np.inf
    if dtype.kind == "b":
        return not lowest
    return np.iinfo(dtype).min if lowest else np.iinfo(dtype).max


def _reduction(
    name: str, versions: tuple[tuple[int, ...], int], function: Callable[..., Any], summary: str
) -> Operator:
    """A record; `versions` are those of the operator and the first with axes as input."""
    since, as_input = versions

    def upgrade(node: Node, version: int, constant: Callable[[Array], str]) -> Node:
        return node if version >= as_input else attribute_to_input(node, "axes", 1, constant)

    return Operator(
        name=name, since=since, inputs=("x", "axes?"), infer=_infer, reference=_reference(function), upgrade=upgrade,
        attributes=MappingProxyType({"keepdims": 1, "noop_with_empty_axes": 0}), summary=summary,
    )  # fmt: skip


OPERATORS = (
    _reduction("ReduceMean", ((1, 11, 13, 18), 18), _mean, "The mean along axes."),
    _reduction("ReduceSum", ((1, 11, 13), 13), _sum, "The sum along axes."),
    _reduction("ReduceMax", ((1, 11, 12, 13, 18, 20), 18), _extreme(np.max, largest=True), "The largest along axes."),
    _reduction("ReduceMin", ((1, 11, 12, 13, 18, 20), 18), _extreme(np.min, largest=False), "The smallest along axes."),
    _reduction(
        "ReduceProd", ((1, 11, 13, 18), 18), lambda x, axes, keep: x.prod(axes, x.dtype, keepdims=keep),
        "The product along axes.",
    ),
    _reduction(
        "ReduceL1", ((1, 11, 13, 18), 18), lambda x, axes, keep: _sum(np.abs(x), axes, keep),
        "The sum of magnitudes along axes.",
    ),
    _reduction("ReduceL2", ((1, 11, 13, 18), 18), _length, "The square root of the sum of squares along axes."),
    _reduction(
        "ReduceSumSquare", ((1, 11, 13, 18), 18), lambda x, axes, keep: _sum(x * x, axes, keep),
        "The sum of squares along axes.",
    ),
    _reduction(
        "ReduceLogSum", ((1, 11, 13, 18, 28), 18), lambda x, axes, keep: np.log(_sum(x, axes, keep)),
        "The logarithm of the sum along axes.",
    ),
    _reduction(
        "ReduceLogSumExp", ((1, 11, 13, 18, 28), 18), log_sum_exp,
        "The logarithm of the sum of exponentials along axes.",
    ),
)  # fmt: skip
