"""Operations on the bits of integers, elementwise, with numpy's broadcasting.

In: integer arrays of one dtype. Out: an array of their joint shape in that dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.engine.graph.formula import FormulaBuilder, Operand
from alula.engine.graph.nodes import Array
from alula.engine.operators.common import Refusal, broadcast, same_as
from alula.engine.operators.formula import shifted
from alula.engine.operators.record import REQUIRED, Operator


def shift(x: Array, by: Array, *, direction: str) -> Array:
    """X shifted to the left, or to the right keeping its sign; see `shifted` for counts out of range."""
    if direction not in ("LEFT", "RIGHT"):
        raise Refusal("direction must be LEFT or RIGHT", f"it is {direction}")
    return shifted(x, by, left=direction == "LEFT")


def _lower_shift(b: FormulaBuilder, x: Operand, by: Operand, *, direction: str) -> Operand | None:
    if direction not in ("LEFT", "RIGHT"):
        return None
    return b.shl(x, by) if direction == "LEFT" else b.shr(x, by)


def _binary(name: str, reference: Callable[..., Any], primitive: str, summary: str) -> Operator:
    return Operator(
        name=name, since=(18,), inputs=("a", "b"), infer=broadcast(), reference=reference,
        lower=lambda b, x, y: b.emit(primitive, x, y), summary=summary,
    )  # fmt: skip


BIT_SHIFT = Operator(
    name="BitShift",
    since=(11, 28),
    inputs=("x", "by"),
    attributes=MappingProxyType({"direction": REQUIRED}),
    infer=broadcast(),
    reference=shift,
    lower=_lower_shift,
    summary="x shifted to the left or, keeping its sign, to the right.",
)

BITWISE_NOT = Operator(
    name="BitwiseNot",
    since=(18,),
    inputs=("x",),
    infer=same_as(),
    reference=np.invert,
    lower=lambda b, x: b.invert(x),
    summary="All bits turned.",
)

OPERATORS = (
    BIT_SHIFT,
    BITWISE_NOT,
    _binary("BitwiseAnd", np.bitwise_and, "and", "Bits that both have."),
    _binary("BitwiseOr", np.bitwise_or, "or", "Bits that one or both have."),
    _binary("BitwiseXor", np.bitwise_xor, "xor", "Bits that only one has."),
)
