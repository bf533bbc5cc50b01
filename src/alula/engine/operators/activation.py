"""Activation functions, elementwise.

In: x of any shape. Out: y of the same shape and dtype.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.engine.graph.formula import FormulaBuilder, Operand
from alula.engine.graph.nodes import Array, Node
from alula.engine.operators.align import upgrade_slope
from alula.engine.operators.common import (
    Mismatch,
    Refusal,
    attribute_to_input,
    broadcasts_to,
    same_as,
    same_dtypes,
    show,
)
from alula.engine.operators.formula import erf
from alula.engine.operators.precision import in_float32
from alula.engine.operators.record import Inference, Inferred, Lower, Operator, Tolerance

_SQRT_HALF = math.sqrt(0.5)
# The tanh form of GELU: Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016, section 2.
_GELU_INNER = math.sqrt(2 / math.pi)
_GELU_CUBE = 0.044715


def _of(x: Array, value: float) -> Array:
    """A literal in the dtype of an array."""
    return np.asarray(value, x.dtype)


def _elementwise(
    name: str, since: tuple[int, ...], reference: Callable[..., Array], lower: Lower, **more: Any
) -> Operator:
    attributes = MappingProxyType(more.pop("attributes", {}))
    return Operator(
        name=name, since=since, inputs=("x",), attributes=attributes, infer=same_as(),
        reference=in_float32(reference), lower=lower, **more,
    )  # fmt: skip


def leaky_relu(x: Array, *, alpha: float) -> Array:
    """X where positive, else alpha x."""
    return np.where(x < 0, x * _of(x, alpha), x)


def _lower_leaky_relu(b: FormulaBuilder, x: Operand, *, alpha: float) -> Operand:
    return b.add(b.max(x, 0.0), b.mul(b.min(x, 0.0), alpha))


def prelu(x: Array, slope: Array) -> Array:
    """X where positive, else slope x; slope broadcasts to x."""
    return np.where(x < 0, x * slope, x)


def _lower_prelu(b: FormulaBuilder, x: Operand, slope: Operand) -> Operand:
    return b.select(b.lt(x, 0.0), b.mul(x, slope), x)


def _infer_prelu(at: Inference) -> Inferred:
    same_dtypes(at, (0, 1))
    x, slope = at.shape(0), at.shape(1)
    if not broadcasts_to(slope, x):
        raise Mismatch(f"slope must broadcast to {show(x)}", f"it is {show(slope)}")
    return [(at.dtype(0), x)]


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)); exp may overflow to infinity, which gives the 0 that is right."""
    return np.asarray(1 / (_of(x, 1) + np.exp(-x)), x.dtype)


def _lower_sigmoid(b: FormulaBuilder, x: Operand) -> Operand:
    return b.div(1.0, b.add(b.exp(b.neg(x)), 1.0))


def _lower_swish(b: FormulaBuilder, x: Operand, *, alpha: float) -> Operand:
    return b.div(x, b.add(b.exp(b.mul(x, -alpha)), 1.0))


def swish(x: Array, *, alpha: float) -> Array:
    """X sigmoid(alpha x)."""
    return np.asarray(x / (_of(x, 1) + np.exp(x * _of(x, -alpha))), x.dtype)


def hard_sigmoid(x: Array, *, alpha: float, beta: float) -> Array:
    """Alpha x + beta, kept inside [0, 1]."""
    line: Array = x * _of(x, alpha) + _of(x, beta)
    return line.clip(_of(x, 0), _of(x, 1))


def _lower_hard_sigmoid(b: FormulaBuilder, x: Operand, *, alpha: float, beta: float) -> Operand:
    return b.clamp(b.add(b.mul(x, alpha), beta), 0.0, 1.0)


def hard_swish(x: Array) -> Array:
    """X times the line x / 6 + 1/2, kept inside [0, 1] (Howard et al., MobileNetV3, 2019)."""
    return x * hard_sigmoid(x, alpha=1 / 6, beta=0.5)


def _lower_hard_swish(b: FormulaBuilder, x: Operand) -> Operand:
    return b.mul(x, _lower_hard_sigmoid(b, x, alpha=1 / 6, beta=0.5))


def elu(x: Array, *, alpha: float) -> Array:
    """X where positive, else alpha (exp(x) - 1)."""
    return np.where(x < 0, (np.exp(np.minimum(x, 0)) - _of(x, 1)) * _of(x, alpha), x)


def _lower_elu(b: FormulaBuilder, x: Operand, *, alpha: float) -> Operand:
    below = b.mul(b.sub(b.exp(b.min(x, 0.0)), 1.0), alpha)
    return b.add(b.max(x, 0.0), below)


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
        curve = erf(x * _of(x, _SQRT_HALF))
    else:
        curve = np.tanh(x * (x * x * _of(x, _GELU_INNER * _GELU_CUBE) + _of(x, _GELU_INNER)))
    return np.asarray(x * (curve + _of(x, 1)) * _of(x, 0.5), x.dtype)


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


def clip(x: Array, low: Array | None = None, high: Array | None = None) -> Array:
    """X kept above `low` and then below `high`, scalars; one left out does not bound."""
    above = x if low is None else np.maximum(x, low.reshape(()))
    return np.asarray(above if high is None else np.minimum(above, high.reshape(())), x.dtype)


def _lower_clip(b: FormulaBuilder, x: Operand, low: Operand | None = None, high: Operand | None = None) -> Operand:
    above = x if low is None else b.max(x, low)
    return above if high is None else b.min(above, high)


def _upgrade_clip(node: Node, version: int, constant: Callable[[Array], str]) -> Node:
    if version >= 11:  # noqa: PLR2004
        return node
    return attribute_to_input(attribute_to_input(node, "min", 1, constant, np.float32), "max", 2, constant, np.float32)


CLIP = Operator(
    name="Clip",
    since=(1, 6, 11, 12, 13),
    inputs=("x", "low?", "high?"),
    infer=same_as(),
    reference=in_float32(clip),
    lower=_lower_clip,
    upgrade=_upgrade_clip,
    summary="Bound from below and above.",
)

PRELU = Operator(
    name="PRelu",
    since=(1, 6, 7, 9, 16),
    inputs=("x", "slope"),
    infer=_infer_prelu,
    reference=in_float32(prelu),
    lower=_lower_prelu,
    upgrade=upgrade_slope,
    summary="x where positive, else slope x.",
)

OPERATORS = (
    _elementwise("Relu", (1, 6, 13, 14), lambda x: np.maximum(x, _of(x, 0)), lambda b, x: b.max(x, 0.0),
                 summary="max(x, 0)."),
    _elementwise("LeakyRelu", (1, 6, 16), leaky_relu, _lower_leaky_relu, attributes={"alpha": 0.01},
                 summary="x where positive, else alpha x."),
    _elementwise("Sigmoid", (1, 6, 13), sigmoid, _lower_sigmoid, summary="1 / (1 + exp(-x))."),
    _elementwise("Swish", (24,), swish, _lower_swish, attributes={"alpha": 1.0}, summary="x sigmoid(alpha x)."),
    _elementwise("HardSigmoid", (1, 6, 22), hard_sigmoid, _lower_hard_sigmoid, attributes={"alpha": 0.2, "beta": 0.5},
                 summary="clamp(alpha x + beta, 0, 1)."),
    _elementwise("HardSwish", (14, 22), hard_swish, _lower_hard_swish, summary="x clamp(x / 6 + 1/2, 0, 1)."),
    _elementwise("Tanh", (1, 6, 13), np.tanh, lambda b, x: b.tanh(x), summary="Hyperbolic tangent."),
    _elementwise("Erf", (9, 13), erf, lambda b, x: b.erf(x), summary="Error function."),
    _elementwise("Gelu", (20,), gelu, _lower_gelu, attributes={"approximate": "none"},
                 agrees_within=Tolerance(relative=1e-5, absolute=2e-6),
                 summary="x times the normal distribution function at x."),
    _elementwise("Elu", (1, 6, 22), elu, _lower_elu, attributes={"alpha": 1.0},
                 summary="x where positive, else alpha (exp(x) - 1)."),
    _elementwise("Softplus", (1, 22), softplus, _lower_softplus, summary="log(1 + exp(x))."),
    _elementwise("Mish", (18, 22), mish, lambda b, x: b.mul(x, b.tanh(_lower_softplus(b, x))),
                 summary="x tanh(softplus(x))."),
    CLIP,
    PRELU,
)  # fmt: skip
