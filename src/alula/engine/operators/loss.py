"""Losses of classification.

In: scores [N, C, d...] and classes [N, d...]; weights by class. Out: one number, or one for each class given.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from alula.engine.graph.dims import Shape
from alula.engine.graph.nodes import Array
from alula.engine.operators.common import Mismatch, Refusal, all_agree, show
from alula.engine.operators.normalise import log_softmax
from alula.engine.operators.precision import in_float32
from alula.engine.operators.record import Inference, Inferred, Operator

_REDUCTIONS = ("none", "sum", "mean")


def _check(x: Shape, target: Shape, reduction: str) -> None:
    if reduction not in _REDUCTIONS:
        raise Refusal(f"reduction must be one of {', '.join(_REDUCTIONS)}", f"it is {reduction}")
    wanted = (*x[:1], *x[2:])
    if len(x) < 2 or not all_agree(wanted, target):  # noqa: PLR2004  N and C
        raise Mismatch(f"classes must be {show(wanted)}", f"they are {show(target)}")


def negative_log_likelihood(
    x: Array, target: Array, weight: Array | None = None, *, ignore_index: int | None, reduction: str
) -> Array:
    """-x of each given class times its weight; the mean divides by the weights. Ignored classes weigh nothing.

    Raises:
        Mismatch: a class that is not ignored is outside [0, C).
    """
    _check(x.shape, target.shape, reduction)
    counted = np.ones(target.shape, np.bool_) if ignore_index is None else target != ignore_index
    chosen = np.where(counted, target, 0)
    if ((chosen < 0) | (chosen >= x.shape[1])).any():
        raise Mismatch(f"classes must be in [0, {x.shape[1]})", f"they reach from {chosen.min()} to {chosen.max()}")
    weights = counted.astype(x.dtype) if weight is None else np.where(counted, weight[chosen], 0).astype(x.dtype)
    picked = np.take_along_axis(x, np.expand_dims(chosen, 1), 1).squeeze(1)
    loss = np.where(counted, -picked * weights, 0).astype(x.dtype)
    if reduction == "none":
        return loss
    total = loss.sum(dtype=x.dtype)
    return np.asarray(total if reduction == "sum" else total / weights.sum(dtype=x.dtype), x.dtype)


def cross_entropy(
    x: Array, target: Array, weight: Array | None = None, *, ignore_index: int | None, reduction: str
) -> tuple[Array, Array]:
    """The negative log likelihood of softmax over the classes, and the logarithm of that softmax."""
    logarithms = log_softmax(x, axis=1, coerced=0)
    loss = negative_log_likelihood(logarithms, target, weight, ignore_index=ignore_index, reduction=reduction)
    return loss, logarithms


def _infer_loss(at: Inference) -> Inferred:
    x, target, reduction = at.shape(0), at.shape(1), at.attributes["reduction"]
    _check(x, target, reduction)
    return [(at.dtype(0), target if reduction == "none" else ()), (at.dtype(0), x)]


_ATTRIBUTES = MappingProxyType({"ignore_index": None, "reduction": "mean"})

NEGATIVE_LOG_LIKELIHOOD = Operator(
    name="NegativeLogLikelihoodLoss",
    since=(12, 13, 22),
    inputs=("x", "target", "weight?"),
    attributes=_ATTRIBUTES,
    infer=lambda at: _infer_loss(at)[:1],
    reference=in_float32(negative_log_likelihood),
    summary="Minus the scores of the given classes, summed or averaged.",
)

CROSS_ENTROPY = Operator(
    name="SoftmaxCrossEntropyLoss",
    since=(12, 13),
    inputs=("x", "target", "weight?"),
    outputs=("loss", "log_prob"),
    attributes=_ATTRIBUTES,
    infer=_infer_loss,
    reference=in_float32(cross_entropy),
    summary="The negative log likelihood of softmax, and its logarithm.",
)

OPERATORS = (NEGATIVE_LOG_LIKELIHOOD, CROSS_ENTROPY)
