"""Rounding, signs, remainders, and questions about single floats; elementwise.

In: x, or a and b that broadcast together. Out: the dtype of the first, or bool.
"""

from __future__ import annotations

import math
from types import MappingProxyType

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.formula import FormulaBuilder, Operand
from alula.engine.graph.nodes import Array
from alula.engine.graph.primitives import REALS, SIGNED
from alula.engine.operators.common import Refusal, broadcast
from alula.engine.operators.precision import in_float32
from alula.engine.operators.record import Inference, Inferred, Operator
from alula.engine.operators.unary import unary


def modulo(a: Array, b: Array, *, fmod: int) -> Array:
    """The remainder of a / b: with the sign of b, or with `fmod` that of a, as C has it."""
    if fmod not in (0, 1):
        raise Refusal("fmod must be 0 or 1", f"it is {fmod}")
    return np.asarray(np.fmod(a, b) if fmod else np.mod(a, b), a.dtype)


def is_infinite(x: Array, *, detect_negative: int, detect_positive: int) -> Array:
    """Where x is infinite, on the asked sides."""
    both: Array = np.isinf(x)
    return both & (((x < 0) & bool(detect_negative)) | ((x > 0) & bool(detect_positive)))


def _lower_sign(b: FormulaBuilder, x: Operand) -> Operand:
    """Floats that are neither side of 0 are 0 or NaN and stay."""
    kind = b.type_of(x)
    if kind in REALS:
        return b.select(b.lt(x, 0.0), -1.0, b.select(b.lt(0.0, x), 1.0, x))
    return b.clamp(x, -1, 1) if kind in SIGNED else b.min(x, 1)


def _lower_is_infinite(b: FormulaBuilder, x: Operand, *, detect_negative: int, detect_positive: int) -> Operand | None:
    if detect_negative and detect_positive:
        return b.eq(b.abs(x), math.inf)
    if detect_negative or detect_positive:
        return b.eq(x, math.inf if detect_positive else -math.inf)
    return None


def _lower_modulo(b: FormulaBuilder, x: Operand, y: Operand, *, fmod: int) -> Operand | None:
    """Of integers alone; a remainder that has not the sign of the divisor is one divisor away from it."""
    if fmod not in (0, 1):
        return None
    left = b.rem(x, y)
    if fmod or b.type_of(left) not in SIGNED:
        return left
    turned = b.both(b.lt(b.differ(left, y), 0), b.invert(b.eq(left, 0)))
    return b.select(turned, b.add(left, y), left)


def _bools(at: Inference) -> Inferred:
    return [(DType.BOOL, at.shape(0))]


MOD = Operator(
    name="Mod",
    since=(10, 13, 28),
    inputs=("a", "b"),
    attributes=MappingProxyType({"fmod": 0}),
    infer=broadcast(),
    reference=in_float32(modulo),
    lower=_lower_modulo,
    summary="The remainder of a / b, with the sign of b, or of a with `fmod`.",
)

OPERATORS = (
    unary("Round", (11, 22), np.rint, lambda b, x: b.round(x), "To the nearest whole number, halves to the even one."),
    unary("Sign", (9, 13), np.sign, _lower_sign, "-1, 0 or 1."),
    unary("IsNaN", (9, 13, 20), np.isnan, lambda b, x: b.is_nan(x), "Where x is not a number.", infer=_bools),
    unary("IsInf", (10, 20), is_infinite, _lower_is_infinite, "Where x is infinite.", infer=_bools,
          attributes={"detect_negative": 1, "detect_positive": 1}),
    MOD,
)  # fmt: skip
