"""Formulas run in numpy, and the error function, which numpy lacks.

In: a Formula and float32 arrays. Out: a float32 array of their joint shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.engine.graph.formula import Formula, Operand, Register
from alula.engine.graph.nodes import Array

# W. J. Cody, "Rational Chebyshev approximations for the error function", Math. Comp. 23 (1969); the coefficients as in
# SPECFUN's CALERF. For |x| <= 0.46875: erf(x) = x P(x^2) / Q(x^2). Highest power first.
_P = (
    1.85777706184603153e-1,
    3.16112374387056560e0,
    1.13864154151050156e2,
    3.77485237685302021e2,
    3.20937758913846947e3,
)
_Q = (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3)
# For 0.46875 <= |x| <= 4: erfc(x) = exp(-x^2) R(x) / S(x). Above 4, erfc < 1.6e-8, so that its relative error is of
# no account for erf.
_R = (
    2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e0, 6.61191906371416295e1,
    2.98635138197400131e2, 8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3,
)  # fmt: skip
_S = (
    1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
    3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3,
)  # fmt: skip
_BORDER = 0.46875
_FAR = 6.0  # erf(6) rounds to 1 in double precision


def erf(x: Array) -> Array:
    """The error function in the dtype of `x`; relative error below 1e-9, NaN stays NaN."""
    wide = np.asarray(x, np.float64)
    size = np.abs(wide)
    inner = np.clip(wide, -_BORDER, _BORDER)
    near = inner * np.polyval(_P, inner * inner) / np.polyval(_Q, inner * inner)
    capped = np.minimum(size, _FAR)
    far = 1.0 - np.exp(-capped * capped) * np.polyval(_R, capped) / np.polyval(_S, capped)
    result = np.where(size <= _BORDER, near, np.copysign(far, wide))
    return np.asarray(result, x.dtype)


_PRIMITIVES: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "add": np.add,
        "sub": np.subtract,
        "mul": np.multiply,
        "div": np.divide,
        "min": np.minimum,
        "max": np.maximum,
        "neg": np.negative,
        "abs": np.abs,
        "sqrt": np.sqrt,
        "exp": np.exp,
        "log": np.log,
        "tanh": np.tanh,
        "erf": erf,
        "floor": np.floor,
    }
)


def evaluate_formula(formula: Formula, arrays: Sequence[Array]) -> Array:
    """Run a formula.

    Args:
        formula: the steps.
        arrays: float32, one for each input register, of shapes that broadcast together.

    Raises:
        ValueError: the number of arrays is not the formula's, or their shapes do not broadcast.
    """
    if len(arrays) != formula.inputs:
        msg = f"the formula has {formula.inputs} inputs, it got {len(arrays)}"
        raise ValueError(msg)
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    registers = list(arrays)
    with np.errstate(all="ignore"):
        for step in formula.steps:
            result = _PRIMITIVES[step.op](*(_read(operand, registers) for operand in step.operands))
            registers.append(np.asarray(result, np.float32))
    result = registers[-1] if formula.steps else registers[0]
    return result if result.shape == shape else np.broadcast_to(result, shape)


def _read(operand: Operand, registers: Sequence[Array]) -> Array:
    return registers[operand.index] if isinstance(operand, Register) else np.asarray(operand, np.float32)
