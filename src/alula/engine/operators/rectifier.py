"""Activation functions made of straight lines, elementwise.

In: x of any shape. Out: y of the same shape and dtype.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from alula.engine.graph.formula import FormulaBuilder, Operand
from alula.engine.graph.nodes import Array, Node
from alula.engine.graph.primitives import REALS
from alula.engine.operators.align import upgrade_slope
from alula.engine.operators.common import Mismatch, attribute_to_input, broadcasts_to, same_as, same_dtypes, show
from alula.engine.operators.precision import in_float32, literal
from alula.engine.operators.record import Inference, Inferred, Operator
from alula.engine.operators.unary import unary


def leaky_relu(x: Array, *, alpha: float) -> Array:
    """X where positive, else alpha x."""
    return np.where(x < 0, x * literal(x, alpha), x)


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


def thresholded_relu(x: Array, *, alpha: float) -> Array:
    """X where above alpha, else 0."""
    return np.where(x > literal(x, alpha), x, literal(x, 0))


def _lower_thresholded_relu(b: FormulaBuilder, x: Operand, *, alpha: float) -> Operand:
    return b.select(b.lt(alpha, x), x, 0.0)


def shrink(x: Array, *, bias: float, lambd: float) -> Array:
    """Towards 0 by `bias` outside [-lambd, lambd], and 0 inside."""
    return np.where(x < -lambd, x + bias, np.where(x > lambd, x - bias, 0)).astype(x.dtype)


def _lower_shrink(b: FormulaBuilder, x: Operand, *, bias: float, lambd: float) -> Operand | None:
    """Of floats; the bias is one, which integers would have to be added to as floats."""
    if b.type_of(x) not in REALS:
        return None
    inner = b.select(b.lt(lambd, x), b.sub(x, bias), 0.0)
    return b.select(b.lt(x, -lambd), b.add(x, bias), inner)


def hard_sigmoid(x: Array, *, alpha: float, beta: float) -> Array:
    """Alpha x + beta, kept inside [0, 1]."""
    line: Array = x * literal(x, alpha) + literal(x, beta)
    return line.clip(literal(x, 0), literal(x, 1))


def _lower_hard_sigmoid(b: FormulaBuilder, x: Operand, *, alpha: float, beta: float) -> Operand:
    return b.clamp(b.add(b.mul(x, alpha), beta), 0.0, 1.0)


def hard_swish(x: Array) -> Array:
    """X times the line x / 6 + 1/2, kept inside [0, 1] (Howard et al., MobileNetV3, 2019)."""
    return x * hard_sigmoid(x, alpha=1 / 6, beta=0.5)


def _lower_hard_swish(b: FormulaBuilder, x: Operand) -> Operand:
    return b.mul(x, _lower_hard_sigmoid(b, x, alpha=1 / 6, beta=0.5))


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
    unary("Relu", (1, 6, 13, 14), lambda x: np.maximum(x, literal(x, 0)), lambda b, x: b.max(x, 0.0), "max(x, 0)."),
    unary("LeakyRelu", (1, 6, 16), leaky_relu, _lower_leaky_relu, "x where positive, else alpha x.",
          attributes={"alpha": 0.01}),
    PRELU,
    unary("ThresholdedRelu", (10, 22), thresholded_relu, _lower_thresholded_relu, "x where above alpha, else 0.",
          attributes={"alpha": 1.0}),
    unary("Shrink", (9,), shrink, _lower_shrink, "Towards 0 by `bias` outside [-lambd, lambd], and 0 inside.",
          attributes={"bias": 0.0, "lambd": 0.5}),
    unary("HardSigmoid", (1, 6, 22), hard_sigmoid, _lower_hard_sigmoid, "clamp(alpha x + beta, 0, 1).",
          attributes={"alpha": 0.2, "beta": 0.5}),
    unary("HardSwish", (14, 22), hard_swish, _lower_hard_swish, "x clamp(x / 6 + 1/2, 0, 1)."),
    CLIP,
)  # fmt: skip
