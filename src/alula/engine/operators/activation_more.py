"""Activation functions that are seldom met, elementwise.

In: x of any shape; SwiGLU a gate beside it. Out: y of the same shape and dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

import numpy as np

from alula.engine.graph.formula import FormulaBuilder, Operand
from alula.engine.graph.nodes import Array
from alula.engine.graph.primitives import REALS
from alula.engine.operators.activation import swish
from alula.engine.operators.common import Mismatch, all_agree, same_as, same_dtypes, show
from alula.engine.operators.precision import in_float32
from alula.engine.operators.record import Inference, Inferred, Lower, Operator

# Klambauer et al., "Self-Normalizing Neural Networks", 2017; the numbers as the standard rounds them to float32.
_SELU_ALPHA = 1.67326319217681884765625
_SELU_GAMMA = 1.05070102214813232421875


def _of(x: Array, value: float) -> Array:
    """A literal in the dtype of an array."""
    return np.asarray(value, x.dtype)


def selu(x: Array, *, alpha: float, gamma: float) -> Array:
    """Gamma times x where positive, else alpha (exp(x) - 1)."""
    below = np.expm1(np.minimum(x, _of(x, 0))) * _of(x, alpha)
    return np.asarray(np.where(x > 0, x, below) * _of(x, gamma), x.dtype)


def celu(x: Array, *, alpha: float) -> Array:
    """max(0, x) + min(0, alpha (exp(x / alpha) - 1)) (Barron 2017)."""
    below = np.expm1(np.minimum(x, _of(x, 0)) / _of(x, alpha)) * _of(x, alpha)
    return np.asarray(np.maximum(x, _of(x, 0)) + below)


def thresholded_relu(x: Array, *, alpha: float) -> Array:
    """X where above alpha, else 0."""
    return np.where(x > _of(x, alpha), x, _of(x, 0))


def shrink(x: Array, *, bias: float, lambd: float) -> Array:
    """Towards 0 by `bias` outside [-lambd, lambd], and 0 inside."""
    return np.where(x < -lambd, x + bias, np.where(x > lambd, x - bias, 0)).astype(x.dtype)


def softsign(x: Array) -> Array:
    """X / (1 + |x|)."""
    return np.asarray(x / (_of(x, 1) + np.abs(x)), x.dtype)


def swiglu(gate: Array, x: Array, *, alpha: float) -> Array:
    """Swish of the gate, times x (Shazeer, "GLU Variants Improve Transformer", 2020)."""
    return np.asarray(swish(gate, alpha=alpha) * x, x.dtype)


def _lower_selu(b: FormulaBuilder, x: Operand, *, alpha: float, gamma: float) -> Operand:
    below = b.mul(b.sub(b.exp(b.min(x, 0.0)), 1.0), alpha)
    return b.mul(b.add(b.max(x, 0.0), below), gamma)


def _lower_celu(b: FormulaBuilder, x: Operand, *, alpha: float) -> Operand:
    below = b.mul(b.sub(b.exp(b.div(b.min(x, 0.0), alpha)), 1.0), alpha)
    return b.add(b.max(x, 0.0), below)


def _lower_thresholded_relu(b: FormulaBuilder, x: Operand, *, alpha: float) -> Operand:
    return b.select(b.lt(alpha, x), x, 0.0)


def _lower_shrink(b: FormulaBuilder, x: Operand, *, bias: float, lambd: float) -> Operand | None:
    """Of floats; the bias is one, which integers would have to be added to as floats."""
    if b.type_of(x) not in REALS:
        return None
    inner = b.select(b.lt(lambd, x), b.sub(x, bias), 0.0)
    return b.select(b.lt(x, -lambd), b.add(x, bias), inner)


def _lower_softsign(b: FormulaBuilder, x: Operand) -> Operand:
    return b.div(x, b.add(b.abs(x), 1.0))


def _lower_swiglu(b: FormulaBuilder, gate: Operand, x: Operand, *, alpha: float) -> Operand:
    return b.mul(b.div(gate, b.add(b.exp(b.mul(gate, -alpha)), 1.0)), x)


def _infer_swiglu(at: Inference) -> Inferred:
    same_dtypes(at, (0, 1))
    gate, x = at.shape(0), at.shape(1)
    if not all_agree(gate, x):
        raise Mismatch(f"the gate must have the shape {show(x)}", f"it is {show(gate)}")
    return [(at.dtype(0), x)]


def _elementwise(
    name: str, since: tuple[int, ...], reference: Callable[..., Array], lower: Lower, summary: str, **attributes: float
) -> Operator:
    return Operator(
        name=name, since=since, inputs=("x",), attributes=MappingProxyType(attributes), infer=same_as(),
        reference=in_float32(reference), lower=lower, summary=summary,
    )  # fmt: skip


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
    _elementwise("Selu", (1, 6, 22), selu, _lower_selu, "gamma times x where positive, else gamma alpha (exp(x) - 1).",
                 alpha=_SELU_ALPHA, gamma=_SELU_GAMMA),
    _elementwise("Celu", (12, 28), celu, _lower_celu, "max(0, x) + min(0, alpha (exp(x / alpha) - 1)).", alpha=1.0),
    _elementwise("ThresholdedRelu", (10, 22), thresholded_relu, _lower_thresholded_relu,
                 "x where above alpha, else 0.", alpha=1.0),
    _elementwise("Shrink", (9,), shrink, _lower_shrink, "Towards 0 by `bias` outside [-lambd, lambd], and 0 inside.",
                 bias=0.0, lambd=0.5),
    _elementwise("Softsign", (1, 22), softsign, _lower_softsign, "x / (1 + |x|)."),
    SWIGLU,
)  # fmt: skip
