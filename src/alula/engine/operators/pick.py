"""Picking elements by rank: ArgMax, ArgMin, TopK.

In: x. Out: int64 positions along an axis; TopK also the elements.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.nodes import Array, Node
from alula.engine.operators.common import Mismatch, attribute_to_input, axis_of, integers
from alula.engine.operators.record import Inference, Inferred, Operator
from alula.engine.operators.reduce import reduced_shape


def _arg(function: Callable[..., Any]) -> Callable[..., Array]:
    def reference(x: Array, *, axis: int, keepdims: int, select_last_index: int) -> Array:
        place = axis_of(axis, x.ndim)
        if select_last_index:
            found = x.shape[place] - 1 - function(np.flip(x, place), place, keepdims=bool(keepdims))
        else:
            found = function(x, place, keepdims=bool(keepdims))
        return np.asarray(found, np.int64)

    return reference


def _infer_arg(at: Inference) -> Inferred:
    x = at.shape(0)
    axis = axis_of(at.attributes["axis"], len(x))
    return [(DType.INT64, reduced_shape(x, (axis,), at.attributes["keepdims"]))]


def _arg_operator(name: str, function: Callable[..., Any], summary: str) -> Operator:
    return Operator(
        name=name,
        since=(1, 11, 12, 13),
        inputs=("x",),
        attributes=MappingProxyType({"axis": 0, "keepdims": 1, "select_last_index": 0}),
        infer=_infer_arg,
        reference=_arg(function),
        summary=summary,
    )


def top_k(x: Array, k: Array, *, axis: int, largest: int, sorted: int) -> tuple[Array, Array]:  # noqa: A002  ONNX's
    """The k largest (or smallest) along an axis in order, lower positions first among equals, and their positions."""
    del sorted  # in order is one of the orders that 0 allows
    place = axis_of(axis, x.ndim)
    count = _checked_count(k, x.shape[place])
    if largest:  # sorting the reversed axis upwards and reading it backwards keeps equals in order
        flipped = np.argsort(np.flip(x, place), place, kind="stable")
        order = x.shape[place] - 1 - np.flip(flipped, place)
    else:
        order = np.argsort(x, place, kind="stable")
    chosen = order.take(range(count), place).astype(np.int64)
    return np.take_along_axis(x, chosen, place), chosen


def _checked_count(k: Array, most: int) -> int:
    numbers = integers(k)
    if len(numbers) != 1 or not 0 <= numbers[0] <= most:
        raise Mismatch(f"k must be one number in [0, {most}]", f"it is {list(numbers)}")
    return numbers[0]


def _infer_top_k(at: Inference) -> Inferred:
    x = at.shape(0)
    axis = axis_of(at.attributes["axis"], len(x))
    dim = x[axis]
    (count,) = (_checked_count(at.constant(1), dim),) if isinstance(dim, int) else integers(at.constant(1))
    shape = (*x[:axis], count, *x[axis + 1 :])
    return [(at.dtype(0), shape), (DType.INT64, shape)]


def _upgrade_top_k(node: Node, version: int, constant: Callable[[Array], str]) -> Node:
    if version >= 10 or "k" not in node.attributes:  # noqa: PLR2004
        return node
    return attribute_to_input(node.with_attributes(k=(node.integer("k"),)), "k", 1, constant)


TOP_K = Operator(
    name="TopK",
    since=(1, 10, 11, 24),
    inputs=("x", "k"),
    outputs=("values", "indices"),
    attributes=MappingProxyType({"axis": -1, "largest": 1, "sorted": 1}),
    infer=_infer_top_k,
    reference=top_k,
    upgrade=_upgrade_top_k,
    summary="The k largest or smallest elements along an axis.",
)

OPERATORS = (
    _arg_operator("ArgMax", np.argmax, "Where the largest element stands."),
    _arg_operator("ArgMin", np.argmin, "Where the smallest element stands."),
    TOP_K,
)
