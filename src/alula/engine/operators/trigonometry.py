"""Trigonometric and hyperbolic functions and their inverses, elementwise.

In: x of any float dtype, angles in radians. Out: y of the same shape and dtype, NaN outside the domain.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from alula.engine.operators.record import Operator
from alula.engine.operators.unary import unary


def _function(name: str, since: tuple[int, ...], reference: Callable[..., Any], summary: str) -> Operator:
    return unary(name, since, reference, lambda b, x: b.emit(name.lower(), x), summary)


OPERATORS = (
    _function("Sin", (7, 22), np.sin, "Sine."),
    _function("Cos", (7, 22), np.cos, "Cosine."),
    _function("Tan", (7, 22), np.tan, "Tangent."),
    _function("Asin", (7, 22), np.arcsin, "Inverse sine."),
    _function("Acos", (7, 22), np.arccos, "Inverse cosine."),
    _function("Atan", (7, 22), np.arctan, "Inverse tangent."),
    _function("Sinh", (9, 22), np.sinh, "Hyperbolic sine."),
    _function("Cosh", (9, 22), np.cosh, "Hyperbolic cosine."),
    _function("Asinh", (9, 22), np.arcsinh, "Inverse hyperbolic sine."),
    _function("Acosh", (9, 22), np.arccosh, "Inverse hyperbolic cosine."),
    _function("Atanh", (9, 22), np.arctanh, "Inverse hyperbolic tangent."),
)
