"""Arithmetic, elementwise, with numpy's broadcasting.

In: arrays of one dtype. Out: an array of their joint shape in the dtype of the first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from alula.engine.graph.formula import FormulaBuilder, Operand, Register
from alula.engine.graph.nodes import Array
from alula.engine.graph.primitives import INTEGERS
from alula.engine.operators.align import upgrade_broadcast
from alula.engine.operators.common import broadcast
from alula.engine.operators.formula import divided
from alula.engine.operators.precision import in_float32
from alula.engine.operators.record import Lower, Operator
from alula.engine.operators.unary import unary

# Beyond it a chain of products is longer than a formula may be.
_MOST_FACTORS = 8


def power(x: Array, y: Array) -> Array:
    """X to the y, in the dtype of x."""
    return np.asarray(np.power(x, y), x.dtype)


def mean(*arrays: Array) -> Array:
    """The arithmetic mean of arrays that broadcast together."""
    return np.asarray(reduce(np.add, arrays) / arrays[0].dtype.type(len(arrays)), arrays[0].dtype)


def _lower_power(b: FormulaBuilder, x: Operand, y: Operand) -> Operand | None:
    """Cheaper primitives for the exponents that they express; of integers no others, and those only for literals."""
    kind = b.type_of(x)
    if kind in INTEGERS:
        whole = isinstance(y, int) and 1 <= y <= _MOST_FACTORS
        return reduce(b.mul, [x] * int(y)) if whole and isinstance(y, int) else None
    if y == 1.0:
        return x
    if y == 2.0:  # noqa: PLR2004
        return b.mul(x, x)
    if y == 3.0:  # noqa: PLR2004
        return b.mul(b.mul(x, x), x)
    if y == 0.5:  # noqa: PLR2004
        return b.sqrt(x)
    if y == -1.0:
        return b.div(1.0, x)
    if isinstance(y, Register) and b.type_of(y) is not kind:
        y = b.cast(y, kind)
    return b.pow(x, y)


def _fold(primitive: str) -> Lower:
    """A variadic operator as a chain of one binary primitive."""

    def lower(b: FormulaBuilder, *operands: Operand) -> Operand:
        return reduce(lambda left, right: b.emit(primitive, left, right), operands)

    return lower


def _lower_mean(b: FormulaBuilder, *operands: Operand) -> Operand:
    return b.div(reduce(b.add, operands), float(len(operands)))


def _binary(name: str, reference: Callable[..., Any], lower: Lower, summary: str) -> Operator:
    return Operator(
        name=name, since=(1, 6, 7, 13, 14), inputs=("a", "b"), infer=broadcast(), reference=in_float32(reference),
        lower=lower, upgrade=upgrade_broadcast, summary=summary,
    )  # fmt: skip


def _variadic(name: str, since: tuple[int, ...], reference: Callable[..., Any], lower: Lower, summary: str) -> Operator:
    return Operator(
        name=name,
        since=since,
        inputs=("x*",),
        infer=broadcast(),
        reference=in_float32(reference),
        lower=lower,
        summary=summary,
    )


POW = Operator(
    name="Pow",
    since=(1, 7, 12, 13, 15),
    inputs=("x", "y"),
    infer=broadcast(mixed=True),
    reference=in_float32(power),
    lower=_lower_power,
    upgrade=upgrade_broadcast,
    summary="x to the y, in the dtype of x.",
)

OPERATORS = (
    _binary("Add", np.add, lambda b, x, y: b.add(x, y), "a + b."),
    _binary("Sub", np.subtract, lambda b, x, y: b.sub(x, y), "a - b."),
    _binary("Mul", np.multiply, lambda b, x, y: b.mul(x, y), "a * b."),
    _binary("Div", divided, lambda b, x, y: b.div(x, y), "a / b; integers are truncated towards zero."),
    POW,
    unary("Sqrt", (1, 6, 13), np.sqrt, lambda b, x: b.sqrt(x), "Square root."),
    unary("Exp", (1, 6, 13), np.exp, lambda b, x: b.exp(x), "e to the x."),
    unary("Log", (1, 6, 13), np.log, lambda b, x: b.log(x), "Natural logarithm."),
    unary("Neg", (1, 6, 13), np.negative, lambda b, x: b.neg(x), "-x."),
    unary("Abs", (1, 6, 13), np.abs, lambda b, x: b.abs(x), "|x|."),
    unary("Reciprocal", (1, 6, 13), lambda x: divided(np.ones_like(x), x), lambda b, x: b.div(1.0, x), "1 / x."),
    unary("Floor", (1, 6, 13), np.floor, lambda b, x: b.floor(x), "Round down."),
    unary("Ceil", (1, 6, 13), np.ceil, lambda b, x: b.ceil(x), "Round up."),
    _variadic("Min", (1, 6, 8, 12, 13), lambda *x: reduce(np.minimum, x), _fold("min"), "The smallest; NaN wins."),
    _variadic("Max", (1, 6, 8, 12, 13), lambda *x: reduce(np.maximum, x), _fold("max"), "The largest; NaN wins."),
    _variadic("Sum", (1, 6, 8, 13), lambda *x: reduce(np.add, x), _fold("add"), "The sum of all inputs."),
    _variadic("Mean", (1, 6, 8, 13), mean, _lower_mean, "The mean of all inputs."),
)
