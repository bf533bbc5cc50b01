"""Activation functions with a curve, elementwise.

In: x of any shape; SwiGLU a gate beside it. Out: y of the same shape and dtype.
"""

from __future__ import annotations

import math
from types import MappingProxyType

import numpy as np

from alula.engine.graph.formula import FormulaBuilder, Operand
from alula.engine.graph.nodes import Array
from alula.engine.operators.common import Mismatch, Refusal, all_agree, same_dtypes, show
from alula.engine.operators.formula import erf
from alula.engine.operators.precision import in_float32, literal
from alula.engine.operators.record import Inference, Inferred, Operator, Tolerance
from alula.engine.operators.unary import unary

_SQRT_HALF = math.sqrt(0.5)
# The tanh form of GELU: Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016, section 2.
_GELU_INNER = math.sqrt(2 / math.pi)
_GELU_CUBE = 0.044715
# Klambauer et al., "Self-Normalizing Neural Networks", 2017; the numbers as the standard rounds them to float32.
_SELU_ALPHA = 1.67326319217681884765625
_SELU_GAMMA = 1.05070102214813232421875


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)); exp may overflow to infinity, which gives the 0 that is right."""
    return np.asarray(1 / (literal(x, 1) + np.exp(-x)), x.dtype)


def _lower_sigmoid(b: FormulaBuilder, x: Operand) -> Operand:
    return b.div(1.0, b.add(b.exp(b.neg(x)), 1.0))


def swish(x: Array, *, alpha: float) -> Array:
    """X sigmoid(alpha x)."""
    return np.asarray(x / (literal(x, 1) + np.exp(x * literal(x, -alpha))), x.dtype)


def _lower_swish(b: FormulaBuilder, x: Operand, *, alpha: float) -> Operand:
    return b.div(x, b.add(b.exp(b.mul(x, -alpha)), 1.0))


def swiglu(gate: Array, x: Array, *, alpha: float) -> Array:
    """Swish of the gate, times x (Shazeer, "GLU Variants Improve Transformer", 2020)."""
    return np.asarray(swish(gate, alpha=alpha) * x, x.dtype)


def _lower_swiglu(b: FormulaBuilder, gate: Operand, x: Operand, *, alpha: float) -> Operand:
    return b.mul(b.div(gate, b.add(b.exp(b.mul(gate, -alpha)), 1.0)), x)


def _infer_swiglu(at: Inference) -> Inferred:
    same_dtypes(at, (0, 1))
    gate, x = at.shape(0), at.shape(1)
    if not all_agree(gate, x):
        raise Mismatch(f"the gate must have the shape {show(x)}", f"it is {show(gate)}")
    return [(at.dtype(0), x)]


def elu(x: Array, *, alpha: float) -> Array:
    """X where positive, else alpha (exp(x) - 1)."""
    return np.where(x < 0, (np.exp(np.minimum(x, 0)) - literal(x, 1)) * literal(x, alpha), x)


def _lower_elu(b: FormulaBuilder, x: Operand, *, alpha: float) -> Operand:
    below = b.mul(b.sub(b.exp(b.min(x, 0.0)), 1.0), alpha)
    return b.add(b.max(x, 0.0), below)


def selu(x: Array, *, alpha: float, gamma: float) -> Array:
    """Gamma times x where positive, else alpha (exp(x) - 1)."""
    below = np.expm1(np.minimum(x, literal(x, 0))) * literal(x, alpha)
    return np.asarray(np.where(x > 0, x, below) * literal(x, gamma), x.dtype)


def _lower_selu(b: FormulaBuilder, x: Operand, *, alpha: float, gamma: float) -> Operand:
    below = b.mul(b.sub(b.exp(b.min(x, 0.0)), 1.0), alpha)
    return b.mul(b.add(b.max(x, 0.0), below), gamma)


def celu(x: Array, *, alpha: float) -> Array:
    """max(0, x) + min(0, alpha (exp(x / alpha) - 1)) (Barron 2017)."""
    below = np.expm1(np.minimum(x, literal(x, 0)) / literal(x, alpha)) * literal(x, alpha)
    return np.asarray(np.maximum(x, literal(x, 0)) + below)


def _lower_celu(b: FormulaBuilder, x: Operand, *, alpha: float) -> Operand:
    below = b.mul(b.sub(b.exp(b.div(b.min(x, 0.0), alpha)), 1.0), alpha)
    return b.add(b.max(x, 0.0), below)


def softsign(x: Array) -> Array:
    """X / (1 + |x|)."""
    return np.asarray(x / (literal(x, 1) + np.abs(x)), x.dtype)


def _lower_softsign(b: FormulaBuilder, x: Operand) -> Operand:
    return b.div(x, b.add(b.abs(x), 1.0))


def softplus(x: Array) -> Array:
    """log(1 + exp(x)), written so that exp cannot overflow."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _lower_softplus(b: FormulaBuilder, x: Operand) -> Operand:
    return b.add(b.max(x, 0.0), b.log(b.add(b.exp(b.neg(b.abs(x))), 1.0)))


def mish(x: Array) -> Array:
    """X tanh(softplus(x)) (Misra 2019)."""
    return x * np.tanh(softplus(x))


def gelu(x: Array, *, approximate: str) -> Array:
    """X times the normal distribution function at x, exact or in the tanh form."""
    _check_approximation(approximate)
    if approximate == "none":
        curve = erf(x * literal(x, _SQRT_HALF))
    else:
        curve = np.tanh(x * (x * x * literal(x, _GELU_INNER * _GELU_CUBE) + literal(x, _GELU_INNER)))
    return np.asarray(x * (curve + literal(x, 1)) * literal(x, 0.5), x.dtype)


def _check_approximation(approximate: str) -> None:
    if approximate not in ("none", "tanh"):
        raise Refusal("approximate must be none or tanh", f"it is {approximate}")


def _lower_gelu(b: FormulaBuilder, x: Operand, *, approximate: str) -> Operand | None:
    if approximate == "none":
        return b.mul(b.mul(x, b.add(b.erf(b.mul(x, _SQRT_HALF)), 1.0)), 0.5)
    if approximate != "tanh":
        return None
    inner = b.mul(x, b.add(b.mul(b.mul(x, x), _GELU_INNER * _GELU_CUBE), _GELU_INNER))
    return b.mul(b.mul(x, b.add(b.tanh(inner), 1.0)), 0.5)


SWIGLU = Operator(
    name="SwiGLU",
    since=(28,),
    inputs=("gate", "x"),
    attributes=MappingProxyType({"alpha": 1.0}),
    infer=_infer_swiglu,
    reference=in_float32(swiglu),
    lower=_lower_swiglu,
    summary="x times the Swish of a gate.",
)

OPERATORS = (
    unary("Sigmoid", (1, 6, 13), sigmoid, _lower_sigmoid, "1 / (1 + exp(-x))."),
    unary("Swish", (24,), swish, _lower_swish, "x sigmoid(alpha x).", attributes={"alpha": 1.0}),
    SWIGLU,
    unary("Tanh", (1, 6, 13), np.tanh, lambda b, x: b.tanh(x), "Hyperbolic tangent."),
    unary("Erf", (9, 13), erf, lambda b, x: b.erf(x), "Error function."),
    unary("Gelu", (20,), gelu, _lower_gelu, "x times the normal distribution function at x.",
          attributes={"approximate": "none"}, agrees_within=Tolerance(relative=1e-5, absolute=2e-6)),
    unary("Elu", (1, 6, 22), elu, _lower_elu, "x where positive, else alpha (exp(x) - 1).", attributes={"alpha": 1.0}),
    unary("Selu", (1, 6, 22), selu, _lower_selu, "gamma times x where positive, else gamma alpha (exp(x) - 1).",
          attributes={"alpha": _SELU_ALPHA, "gamma": _SELU_GAMMA}),
    unary("Celu", (12, 28), celu, _lower_celu, "max(0, x) + min(0, alpha (exp(x / alpha) - 1)).",
          attributes={"alpha": 1.0}),
    unary("Softsign", (1, 22), softsign, _lower_softsign, "x / (1 + |x|)."),
    unary("Softplus", (1, 22), softplus, _lower_softplus, "log(1 + exp(x))."),
    unary("Mish", (18, 22), mish, lambda b, x: b.mul(x, b.tanh(_lower_softplus(b, x))), "x tanh(softplus(x))."),
)  # fmt: skip
