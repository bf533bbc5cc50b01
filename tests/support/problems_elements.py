"""Problems of operators that treat each element alone: angles, bits, rounding, conversions, seldom activations.

In: nothing. Out: `PROBLEMS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

from alula.engine.graph.nodes import Array
from support.problem import EXTREMES, X3, X4, Problem, bools, floats, number, positive, problem, reals, wholes

# Ties, borders of float8 and float16, and numbers far outside both.
_BORDERS = floats(0.0, -0.0, 0.4999, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 14.9, 240.0, 448.0, 464.0, 480.0, 57344.0, 6.1e4)
_FAR = floats(1e6, -1e6, np.inf, -np.inf, np.nan, 1e-7, -1e-7, 6e-8, 1e-9)


def _remainders() -> list[Array]:
    """One dividend with both signs for each integer type."""
    signed = [np.asarray([7, -7, 8, -8, 0], dtype) for dtype in (np.int8, np.int16, np.int32, np.int64)]
    return signed + [np.asarray([7, 200, 8, 9, 0], dtype) for dtype in (np.uint8, np.uint16, np.uint32, np.uint64)]


def _trigonometry() -> list[Problem]:
    whole = ("Sin", "Cos", "Tan", "Atan", "Sinh", "Cosh", "Asinh")
    inside = reals(3, 5, low=-0.99, high=0.99)
    found = [problem(op, X3) for op in whole]
    found += [problem(op, EXTREMES) for op in ("Atan", "Asinh")]
    found += [problem(op, inside.astype(np.float16)) for op in whole]
    found += [problem(op, inside, opset=9) for op in ("Asin", "Acos", "Atanh", "Sinh")]
    found += [problem(op, EXTREMES) for op in ("Asin", "Acos", "Atanh", "Acosh")]
    return [*found, problem("Acosh", positive(3, 4) + 1), problem("Sin", reals(0, 3)), problem("Cos", number(0.5))]


def _bits() -> list[Problem]:
    found = []
    for dividend in _remainders():
        divisor = np.asarray([3, 3, 5, 5, 2], dividend.dtype)
        found += [problem("Mod", dividend, divisor, fmod=fmod) for fmod in (0, 1)]
        found += [problem(f"Bitwise{op}", dividend, divisor[:1]) for op in ("And", "Or", "Xor")]
        found.append(problem("BitwiseNot", dividend))
    shifts = np.asarray([0, 1, 7, 3], np.uint8)
    found += [problem("BitShift", np.asarray([[255], [3]], np.uint8), shifts, direction=d) for d in ("LEFT", "RIGHT")]
    return [
        *found,
        problem("Mod", np.asarray([7, -7], np.int32), np.asarray([[-3], [4]], np.int32)),
        problem("Mod", reals(3, 4), positive(4), fmod=1),
        problem("Mod", reals(3, 4), -positive(4), opset=28, judge="onnx"),
        problem("Mod", reals(2, 3).astype(np.float16), positive(3).astype(np.float16), fmod=1),
        problem("BitShift", np.asarray([-8, -1, 5], np.int32), np.asarray([1, 31, 2], np.int32), direction="RIGHT",
                opset=28),
        problem("BitShift", np.asarray([1, 3], np.uint64), np.asarray([63, 2], np.uint64), direction="LEFT", opset=11),
        problem("Xor", bools(3, 4), bools(4)),
    ]  # fmt: skip


def _rounding() -> list[Problem]:
    sides: tuple[dict[str, Any], ...] = ({}, {"detect_negative": 0}, {"detect_positive": 0})
    return [
        problem("Round", _BORDERS, judge="ort"),
        problem("Round", EXTREMES, judge="ort"),
        problem("Round", _BORDERS.astype(np.float16), opset=11),
        problem("Round", _BORDERS.astype(np.float64), opset=11),
        problem("Sign", EXTREMES),
        problem("Sign", wholes(3, 4)),
        problem("Sign", np.asarray([0, 3], np.uint8)),
        problem("Sign", np.asarray([0, -3], np.int64), opset=9),
        problem("IsNaN", EXTREMES),
        problem("IsNaN", EXTREMES.astype(np.float16), opset=13),
        *(problem("IsInf", EXTREMES, **attributes) for attributes in sides),
        problem("IsInf", EXTREMES.astype(np.float64), opset=10),
    ]


def _activations() -> list[Problem]:
    found = [problem(op, X4) for op in ("Selu", "Celu", "ThresholdedRelu", "Softsign", "Shrink")]
    found += [problem(op, EXTREMES, judge="ort") for op in ("Selu", "Celu", "ThresholdedRelu", "Shrink", "Softsign")]
    return [
        *found,
        problem("Selu", X3, alpha=2.0, gamma=3.0, opset=6),
        problem("Celu", X3, alpha=2.5, opset=12),
        problem("ThresholdedRelu", X3, alpha=-0.5, opset=10),
        problem("Shrink", X3, lambd=1.0, bias=0.5),
        problem("Shrink", wholes(3, 4), lambd=2.0, bias=1.0),
        problem("Softsign", X3, opset=1),
        problem("SwiGLU", X4, X4[::-1].copy(), opset=28),
        problem("SwiGLU", X4, X4[::-1].copy(), alpha=1.7, opset=28),
    ]


def _conversions() -> list[Problem]:
    codes = (1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 16)
    found = [problem("Cast", positive(3, 4) * 9, to=code) for code in codes]
    found += [problem("Cast", np.asarray([-200, -1, 0, 1, 70000], np.int32), to=code) for code in codes]
    found += [problem("Cast", bools(5), to=code) for code in codes]
    found += [problem("Cast", positive(6).astype(ml_dtypes.bfloat16), to=code) for code in codes]
    borders = np.concatenate([_BORDERS, _FAR])
    short = [problem("Cast", borders, to=code, saturate=keep, opset=19) for code in range(17, 21) for keep in (0, 1)]
    with np.errstate(over="ignore"):
        half = borders.astype(np.float16)
    short += [problem("Cast", half, to=code, opset=19) for code in range(17, 21)]
    short += [problem("Cast", np.asarray([3, 500], np.int32), to=code, opset=19) for code in range(17, 21)]
    powers = floats(0.0, 1e-39, 0.124, 0.7, 0.75, 0.8, 1.1, 2.0, 3e38, np.nan)
    short += [problem("Cast", powers, to=24, round_mode=mode, opset=24) for mode in ("up", "down", "nearest")]
    halves = floats(-7.6, -6.0, -0.25, 0.25, 0.75, 1.25, 5.0, 100.0)
    short += [problem("Cast", halves, to=23, opset=23)]
    short += [problem("Cast", np.asarray([-8, -1, 0, 7, 12], np.int8), to=code, opset=25) for code in (21, 22, 25, 26)]
    return [
        *found,
        *short,
        problem("CastLike", X3, wholes(1), opset=19),
        problem("CastLike", wholes(3), number(1, np.float16), opset=15),
        problem("CastLike", borders, np.zeros(1, ml_dtypes.float8_e5m2), saturate=0, opset=19),
        problem("BitCast", X3, to=6, opset=26),
        problem("BitCast", wholes(4), to=1, opset=26),
        problem("BitCast", reals(3).astype(np.float16), to=16, opset=26),
        problem("BitCast", np.asarray([-1, 5], np.int8), to=2, opset=26),
    ]


def _short_floats() -> list[Problem]:
    """Arithmetic on floats of 16 bits; the judge rounds each step, so that only functions of one step are alike."""
    unary = (
        "Relu", "Sigmoid", "Tanh", "Erf", "Elu", "Softplus", "HardSigmoid", "LeakyRelu", "Sqrt", "Exp", "Log", "Neg",
        "Abs", "Reciprocal", "Floor", "Ceil",
    )  # fmt: skip
    x, y = positive(3, 5).astype(ml_dtypes.bfloat16), positive(5).astype(ml_dtypes.bfloat16)
    found = [problem(op, x) for op in unary]
    found += [problem(op, x, y) for op in ("Add", "Sub", "Mul", "Div", "Min", "Max", "Less", "Equal", "Sum")]
    return found


PROBLEMS: Sequence[Problem] = (
    *_trigonometry(), *_bits(), *_rounding(), *_activations(), *_conversions(), *_short_floats(),
)  # fmt: skip
