"""Normalisation by the data alone: p-norms, mean and variance, and the winner of an axis.

In: x of any rank. Out: the shape and dtype of x.
"""

from __future__ import annotations

import math
from types import MappingProxyType

import numpy as np

from alula.engine.graph.nodes import Array
from alula.engine.operators.common import Refusal, axes_of, axis_of, same_as
from alula.engine.operators.normalise import upgrade_coerced
from alula.engine.operators.precision import in_float32
from alula.engine.operators.record import Inference, Inferred, Operator

# ONNX's function body of MeanVarianceNormalization.
_EPSILON = 1e-9


def lp_norm(x: Array, *, axis: int, p: int) -> Array:
    """X over its p-norm along an axis; 0 where the norm is 0."""
    if p not in (1, 2):
        raise Refusal("p must be 1 or 2", f"it is {p}")
    place = axis_of(axis, x.ndim)
    norm = np.abs(x).sum(place, keepdims=True) if p == 1 else np.sqrt((x * x).sum(place, keepdims=True))
    return np.asarray(np.where(norm == 0, 0, x / norm), x.dtype)


def mean_variance_norm(x: Array, *, axes: tuple[int, ...]) -> Array:
    """To mean 0 and deviation 1 over axes."""
    places = axes_of(axes, x.ndim)
    centred = x - x.mean(places, keepdims=True)
    return np.asarray(centred / (x.std(places, keepdims=True) + x.dtype.type(_EPSILON)), x.dtype)


def hardmax(x: Array, *, axis: int, coerced: int) -> Array:
    """1 at the first of the largest elements along an axis (with `coerced`, of all axes from there on), else 0."""
    place = axis_of(axis, x.ndim)
    plain = x.reshape(*x.shape[:place], math.prod(x.shape[place:])) if coerced else x
    if not x.size:
        return x
    y = np.zeros_like(plain)
    np.put_along_axis(y, plain.argmax(place, keepdims=True), 1, place)
    return y.reshape(x.shape)


def _infer_axis(at: Inference) -> Inferred:
    axis_of(at.attributes["axis"], len(at.shape(0)))
    return [(at.dtype(0), at.shape(0))]


LP_NORM = Operator(
    name="LpNormalization",
    since=(1, 22),
    inputs=("x",),
    attributes=MappingProxyType({"axis": -1, "p": 2}),
    infer=_infer_axis,
    reference=in_float32(lp_norm),
    summary="x over its p-norm along an axis.",
)

MEAN_VARIANCE_NORM = Operator(
    name="MeanVarianceNormalization",
    since=(9, 13),
    inputs=("x",),
    attributes=MappingProxyType({"axes": (0, 2, 3)}),
    infer=same_as(),
    reference=in_float32(mean_variance_norm),
    summary="To mean 0 and deviation 1 over axes.",
)

HARDMAX = Operator(
    name="Hardmax",
    since=(1, 11, 13),
    inputs=("x",),
    attributes=MappingProxyType({"axis": -1, "coerced": 0}),
    infer=_infer_axis,
    reference=in_float32(hardmax),
    upgrade=upgrade_coerced,
    summary="1 at the largest element of an axis, else 0; `coerced` as for Softmax.",
)

OPERATORS = (LP_NORM, MEAN_VARIANCE_NORM, HARDMAX)
