"""Reduction along axes.

In: x and the axes (an int64 input, absent or empty for all). Out: x with those axes reduced to 1 or gone.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.engine.graph.nodes import Array, Node
from alula.engine.operators.common import attribute_to_input, axes_of, integers
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

    return reference


def _mean(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:  # noqa: FBT001  as numpy has it
    return np.asarray(x.mean(axes, keepdims=keepdims))


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
    _reduction(
        "ReduceSum", ((1, 11, 13), 13), lambda x, axes, keep: x.sum(axes, x.dtype, keepdims=keep), "The sum along axes."
    ),
    _reduction("ReduceMax", ((1, 11, 12, 13, 18, 20), 18), _extreme(np.max, largest=True), "The largest along axes."),
    _reduction("ReduceMin", ((1, 11, 12, 13, 18, 20), 18), _extreme(np.min, largest=False), "The smallest along axes."),
    _reduction(
        "ReduceProd", ((1, 11, 13, 18), 18), lambda x, axes, keep: x.prod(axes, x.dtype, keepdims=keep),
        "The product along axes.",
    ),
)  # fmt: skip
