"""Formulas run in numpy, and the functions that numpy lacks: the error function, division and casts as ONNX has them.

In: a Formula and arrays of its types. Out: an array of their joint shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.formula import Formula, Operand, Register, Step, operand_type
from alula.engine.graph.nodes import Array
from alula.engine.graph.numpy_dtypes import numpy_dtype
from alula.engine.graph.primitives import INTEGERS, SINGLE

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


def divided(a: Array, b: Array) -> Array:
    """A / b in the dtype of a; integers are cut towards zero, and 0 where b is."""
    if a.dtype.kind not in "iu":
        return np.asarray(np.divide(a, b), a.dtype)
    quotient = np.floor_divide(a, b)
    inexact = (quotient * b != a) & (b != 0)
    return np.asarray(quotient + (inexact & ((a < 0) != (b < 0))), a.dtype)


def shifted(a: Array, b: Array, *, left: bool) -> Array:
    """Integers shifted; by more bits than there are (or a negative count) only the sign's own extension remains."""
    bits = 8 * a.dtype.itemsize
    outside = (b < 0) | (b >= bits)
    count = np.where(outside, 0, b).astype(a.dtype)
    if left:
        return np.asarray(np.where(outside, a.dtype.type(0), np.left_shift(a, count)))
    return np.asarray(np.where(outside, np.where(a < 0, -1, 0).astype(a.dtype), np.right_shift(a, count)))


_PRIMITIVES: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "add": np.add,
        "sub": np.subtract,
        "mul": np.multiply,
        "div": divided,
        "rem": np.fmod,
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
        "ceil": np.ceil,
        "trunc": np.trunc,
        "round": np.rint,
        "sin": np.sin,
        "cos": np.cos,
        "tan": np.tan,
        "asin": np.arcsin,
        "acos": np.arccos,
        "atan": np.arctan,
        "sinh": np.sinh,
        "cosh": np.cosh,
        "asinh": np.arcsinh,
        "acosh": np.arccosh,
        "atanh": np.arctanh,
        "pow": np.power,
        "eq": np.equal,
        "lt": np.less,
        "le": np.less_equal,
        "is_nan": np.isnan,
        "and": np.bitwise_and,
        "or": np.bitwise_or,
        "xor": np.bitwise_xor,
        "not": np.invert,
        "shl": lambda a, b: shifted(a, b, left=True),
        "shr": lambda a, b: shifted(a, b, left=False),
        "select": np.where,
    }
)


def evaluate_formula(formula: Formula, arrays: Sequence[Array]) -> Array:
    """Run a formula.

    Args:
        formula: the steps.
        arrays: one for each input register, of its type, of shapes that broadcast together.

    Returns:
        An array of the type of the formula's result.

    Raises:
        ValueError: the number of arrays is not the formula's, or their shapes do not broadcast.
    """
    if len(arrays) != formula.inputs:
        msg = f"the formula has {formula.inputs} inputs, it got {len(arrays)}"
        raise ValueError(msg)
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    types = formula.register_types
    registers = [np.asarray(array, _held(kind)) for array, kind in zip(arrays, types, strict=False)]
    with np.errstate(all="ignore"):
        for step, kind in zip(formula.steps, types[formula.inputs :], strict=True):
            result = _step(step, registers, types)
            registers.append(np.asarray(result, _held(kind)))
        result = registers[-1] if formula.steps else registers[0]
        result = result.astype(numpy_dtype(formula.result_type), copy=False)
    return result if result.shape == shape else np.broadcast_to(result, shape)


def _held(kind: DType) -> np.dtype[Any]:
    """The numpy dtype that a register of a type is computed in."""
    return np.dtype(np.float32) if kind in SINGLE else numpy_dtype(kind)


def _step(step: Step, registers: Sequence[Array], types: Sequence[DType]) -> Any:
    if step.op == "cast":
        operand, to = step.operands[0], step.to or DType.FLOAT32
        if isinstance(operand, Register):
            return cast_elements(registers[operand.index], to)
        return np.asarray(operand, _held(to)).astype(numpy_dtype(to))
    kind = operand_type(step, types)
    kinds = [DType.BOOL if step.op == "select" and not i else kind for i in range(len(step.operands))]
    return _PRIMITIVES[step.op](*(_read(o, k, registers) for o, k in zip(step.operands, kinds, strict=True)))


def _read(operand: Operand, kind: DType, registers: Sequence[Array]) -> Array:
    return registers[operand.index] if isinstance(operand, Register) else np.asarray(operand, _held(kind))


def cast_elements(x: Array, to: DType) -> Array:
    """The primitive `cast`: real numbers are cut towards zero, and what has no place in an integer has one answer.

    That is the least int32, or for types of 64 bits the least int64, cut to the width; for uint32 and uint64 the upper
    half has its place. C leaves it open; x86 and numpy there do the same.

    Args:
        x: of any type of `FORMULA_TYPES`.
        to: another of them.
    """
    if to is DType.BOOL:
        return np.asarray(x != 0)
    if x.dtype.kind != "f" or to not in INTEGERS:
        narrow = to is DType.BFLOAT16 and x.dtype.itemsize > 4  # noqa: PLR2004  bytes
        return (x.astype(np.float32) if narrow else x).astype(numpy_dtype(to))
    bits = 64 if to.itemsize == 8 else 32  # noqa: PLR2004  bytes
    high = (x >= 2.0 ** (bits - 1)) & (to in (DType.UINT32, DType.UINT64))
    whole = np.where(high, x - x.dtype.type(2.0 ** (bits - 1)), x) if high.any() else x
    inside = np.abs(whole) < 2.0 ** (bits - 1)
    least = np.int64(-(1 << (bits - 1)))
    signed = np.where(inside, np.where(inside, whole, 0).astype(np.int64), least)
    return np.where(high, signed ^ least, signed).astype(numpy_dtype(to))
