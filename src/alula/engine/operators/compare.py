"""Comparison, logic and choice, elementwise, with numpy's broadcasting.

In: arrays. Out: bool arrays of their joint shape; Where gives the dtype of its branches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.operators.align import upgrade_broadcast
from alula.engine.operators.common import broadcast, broadcast_shapes, same_dtypes
from alula.engine.operators.precision import in_float32
from alula.engine.operators.record import Inference, Inferred, Lower, Operator


def _relation(name: str, since: tuple[int, ...], reference: Callable[..., Any], lower: Lower, summary: str) -> Operator:
    return Operator(
        name=name, since=since, inputs=("a", "b"), infer=broadcast(DType.BOOL), reference=in_float32(reference),
        lower=lower, upgrade=upgrade_broadcast, summary=summary,
    )  # fmt: skip


def _infer_where(at: Inference) -> Inferred:
    same_dtypes(at, (1, 2))
    return [(at.dtype(1), broadcast_shapes(at.shape(0), at.shape(1), at.shape(2)))]


NOT = Operator(
    name="Not",
    since=(1,),
    inputs=("x",),
    infer=lambda at: [(DType.BOOL, at.shape(0))],
    reference=np.logical_not,
    lower=lambda b, x: b.invert(x),
    summary="Negation of bools.",
)

WHERE = Operator(
    name="Where",
    since=(9, 16),
    inputs=("condition", "x", "y"),
    infer=_infer_where,
    reference=np.where,
    lower=lambda b, condition, x, y: b.select(condition, x, y),
    summary="x where the condition holds, else y.",
)

OPERATORS = (
    _relation("Equal", (1, 7, 11, 13, 19), np.equal, lambda b, x, y: b.eq(x, y), "a == b."),
    _relation("Less", (1, 7, 9, 13), np.less, lambda b, x, y: b.lt(x, y), "a < b."),
    _relation("Greater", (1, 7, 9, 13), np.greater, lambda b, x, y: b.lt(y, x), "a > b."),
    _relation("LessOrEqual", (12, 16), np.less_equal, lambda b, x, y: b.le(x, y), "a <= b."),
    _relation("GreaterOrEqual", (12, 16), np.greater_equal, lambda b, x, y: b.le(y, x), "a >= b."),
    _relation("And", (1, 7), np.logical_and, lambda b, x, y: b.both(x, y), "Both."),
    _relation("Or", (1, 7), np.logical_or, lambda b, x, y: b.either(x, y), "One or both."),
    _relation("Xor", (1, 7), np.logical_xor, lambda b, x, y: b.differ(x, y), "One, not both."),
    NOT,
    WHERE,
)
