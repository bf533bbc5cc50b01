"""Running sums and products along an axis, and sequences turned round.

In: x of any rank. Out: the shape and dtype of x.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.engine.graph.dims import Shape
from alula.engine.graph.nodes import Array
from alula.engine.operators.common import Mismatch, agree, axis_of, integers, show
from alula.engine.operators.precision import in_float32
from alula.engine.operators.record import Inference, Inferred, Operator

_FRONT_AXES = 2  # the batch and time axes of sequences are the first two, in either order


def _running(function: Callable[..., Any], neutral: int) -> Callable[..., Array]:
    """Each element joined with all before it (with `reverse`: behind it), or with `exclusive` those alone."""

    def reference(x: Array, axis: Array, *, exclusive: int, reverse: int) -> Array:
        place = _place(axis, x.ndim)
        turned = np.flip(x, place) if reverse else x
        y = np.asarray(function(turned, axis=place, dtype=x.dtype))
        if exclusive and x.shape[place]:
            first = np.full_like(y.take([0], place), neutral)
            y = np.concatenate([first, y.take(range(x.shape[place] - 1), place)], place)
        return np.flip(y, place) if reverse else y

    return in_float32(reference)


def _place(axis: Array, rank: int) -> int:
    numbers = integers(axis)
    if len(numbers) != 1:
        raise Mismatch("axis must be one number", f"it is {list(numbers)}")
    return axis_of(numbers[0], rank)


def _infer_running(at: Inference) -> Inferred:
    known = at.inputs[1]
    if known is not None and known.constant is not None:
        _place(known.constant, len(at.shape(0)))
    return [(at.dtype(0), at.shape(0))]


def reverse_sequence(x: Array, lengths: Array, *, batch_axis: int, time_axis: int) -> Array:
    """Each sample's first `length` steps in the opposite order; later ones stay."""
    _check_sequences(x.shape, lengths.shape, batch_axis, time_axis)
    steps, ends = np.arange(x.shape[time_axis]), lengths[:, None]
    if ((ends < 0) | (ends > len(steps))).any():
        raise Mismatch(f"lengths must be in [0, {len(steps)}]", f"they are {lengths.tolist()}")
    order = np.where(steps < ends, ends - 1 - steps, steps)
    oriented = order if batch_axis == 0 else order.T
    return np.take_along_axis(x, oriented.reshape(*oriented.shape, *(1,) * (x.ndim - _FRONT_AXES)), time_axis)


def _check_sequences(x: Shape, lengths: Shape, batch_axis: int, time_axis: int) -> None:
    if sorted((batch_axis, time_axis)) != [0, 1] or len(x) < _FRONT_AXES:
        found = f"they are {batch_axis} and {time_axis} of {show(x)}"
        raise Mismatch("batch and time must be the first two axes", found)
    if len(lengths) != 1 or not agree(lengths[0], x[batch_axis]):
        raise Mismatch(f"lengths must be [{x[batch_axis]}]", f"they are {show(lengths)}")


def _infer_reverse(at: Inference) -> Inferred:
    _check_sequences(at.shape(0), at.shape(1), at.attributes["batch_axis"], at.attributes["time_axis"])
    return [(at.dtype(0), at.shape(0))]


def _cumulative(
    name: str, since: tuple[int, ...], function: Callable[..., Any], neutral: int, summary: str
) -> Operator:
    return Operator(
        name=name, since=since, inputs=("x", "axis"), infer=_infer_running, reference=_running(function, neutral),
        attributes=MappingProxyType({"exclusive": 0, "reverse": 0}), summary=summary,
    )  # fmt: skip


REVERSE_SEQUENCE = Operator(
    name="ReverseSequence",
    since=(10, 28),
    inputs=("x", "lengths"),
    attributes=MappingProxyType({"batch_axis": 1, "time_axis": 0}),
    infer=_infer_reverse,
    reference=reverse_sequence,
    summary="Sequences of different lengths, each turned round.",
)

OPERATORS = (
    _cumulative("CumSum", (11, 14), np.cumsum, 0, "The sum of all elements up to each one."),
    _cumulative("CumProd", (26,), np.cumprod, 1, "The product of all elements up to each one."),
    REVERSE_SEQUENCE,
)
