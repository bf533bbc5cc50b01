"""Normalisation: batch, instance and local response; softmax and its logarithm.

In: x [N, C, spatial...] and parameters by channel; softmax any rank. Out: the shape and dtype of x.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.engine.graph.nodes import Array, Node
from alula.engine.operators.common import Mismatch, Refusal, agree, axis_of, show, without
from alula.engine.operators.precision import in_float32
from alula.engine.operators.record import REQUIRED, Inference, Inferred, Operator, Tolerance


def _by_channel(parameter: Array, x: Array) -> Array:
    return parameter.reshape(-1, *(1,) * (x.ndim - 2))


def batch_norm(x: Array, scale: Array, shift: Array, mean: Array, variance: Array, **attributes: float) -> Array:
    """(x - mean) / sqrt(variance + epsilon) * scale + shift, by channel."""
    factor = scale / np.sqrt(variance + variance.dtype.type(attributes["epsilon"]))
    y = (x - _by_channel(mean, x)) * _by_channel(factor, x) + _by_channel(shift, x)
    return np.asarray(y, x.dtype)


def batch_norm_outputs(
    x: Array, scale: Array, shift: Array, mean: Array, variance: Array, **attributes: Any
) -> Array | tuple[Array, Array, Array]:
    """As `batch_norm`; in training by the batch's own statistics, and with the running ones moved towards them.

    Ioffe and Szegedy, "Batch Normalization", 2015; the variance is that of the batch, not an estimate of the whole.
    """
    if not attributes["training_mode"]:
        return batch_norm(x, scale, shift, mean, variance, **attributes)
    axes = (0, *range(2, x.ndim))
    own_mean, own_variance = x.mean(axes, mean.dtype), x.var(axes, variance.dtype)
    keep = mean.dtype.type(attributes["momentum"])
    y = batch_norm(x, scale, shift, own_mean, own_variance, **attributes)
    return y, mean * keep + own_mean * (1 - keep), variance * keep + own_variance * (1 - keep)


def _infer_batch_norm(at: Inference) -> Inferred:
    _check_parameters(at)
    return [(at.dtype(0), at.shape(0)), (at.dtype(3), at.shape(3)), (at.dtype(4), at.shape(4))]


def _check_parameters(at: Inference) -> None:
    x = at.shape(0)
    if len(x) < 2:  # noqa: PLR2004  batch and channels
        raise Mismatch("input needs batch and channels", f"it is {show(x)}")
    for index in range(1, len(at.inputs)):
        shape = at.shape(index)
        if len(shape) != 1 or not agree(shape[0], x[1]):
            raise Mismatch(f"parameters must be [{x[1]}]", f"one is {show(shape)}")


def _upgrade_batch_norm(node: Node, version: int, constant: Callable[[Array], str]) -> Node:
    del constant
    if any(node.outputs[3:]):
        raise Refusal("outputs must be those of operator set 14", "saved statistics are asked for")
    if version < 9 and node.integer("spatial", 1) != 1:  # noqa: PLR2004
        raise Refusal("statistics must be by channel", "spatial is 0")
    # Before 7, is_test tells training from inference; one output alone says the same (ONNX, BatchNormalization-6).
    current = without(node, "spatial", "is_test")
    return current.with_attributes(training_mode=1) if version < 14 and any(node.outputs[1:]) else current  # noqa: PLR2004


def instance_norm(x: Array, scale: Array, shift: Array, *, epsilon: float) -> Array:
    """Each plane of each sample to mean 0 and variance 1, then scale and shift by channel."""
    axes = tuple(range(2, x.ndim))
    mean = x.mean(axes, keepdims=True)
    variance = x.var(axes, keepdims=True)
    y = (x - mean) / np.sqrt(variance + x.dtype.type(epsilon))
    return np.asarray(y * _by_channel(scale, x) + _by_channel(shift, x), x.dtype)


def _infer_instance_norm(at: Inference) -> Inferred:
    _check_parameters(at)
    return [(at.dtype(0), at.shape(0))]


def local_response_norm(x: Array, *, size: int, alpha: float, beta: float, bias: float) -> Array:
    """X / (bias + alpha / size * sum of squares over `size` neighbouring channels) ** beta (Krizhevsky 2012, 3.3)."""
    if size < 1:
        raise Mismatch("size must be positive", f"it is {size}")
    below, above = (min(reach, x.shape[1]) for reach in ((size - 1) // 2, size // 2))
    squares = np.pad(x * x, ((0, 0), (below, above), *((0, 0),) * (x.ndim - 2)))
    sums = np.lib.stride_tricks.sliding_window_view(squares, below + 1 + above, axis=1).sum(-1, dtype=x.dtype)
    kind = x.dtype.type
    return np.asarray(x / (kind(bias) + kind(alpha / size) * sums) ** kind(beta), x.dtype)


def _softmax_axes(x: Array, axis: int, coerced: int) -> tuple[int, ...]:
    first = axis_of(axis, x.ndim) if x.ndim else 0
    return tuple(range(first, x.ndim)) if coerced else (first,)


def softmax(x: Array, *, axis: int, coerced: int) -> Array:
    """exp(x) / sum exp(x), shifted by the largest element so that nothing overflows."""
    axes = _softmax_axes(x, axis, coerced)
    if not x.size:
        return x
    raised = np.exp(x - x.max(axes, keepdims=True))
    return np.asarray(raised / raised.sum(axes, keepdims=True), x.dtype)


def log_softmax(x: Array, *, axis: int, coerced: int) -> Array:
    """X - log sum exp(x), shifted by the largest element so that nothing overflows."""
    axes = _softmax_axes(x, axis, coerced)
    if not x.size:
        return x
    lowered = x - x.max(axes, keepdims=True)
    return np.asarray(lowered - np.log(np.exp(lowered).sum(axes, keepdims=True)), x.dtype)


def _infer_lrn(at: Inference) -> Inferred:
    if at.attributes["size"] < 1:
        raise Mismatch("size must be at least 1", f"it is {at.attributes['size']}")
    return [(at.dtype(0), at.shape(0))]


def _infer_softmax(at: Inference) -> Inferred:
    axis_of(at.attributes["axis"], max(len(at.shape(0)), 1))
    return [(at.dtype(0), at.shape(0))]


def upgrade_coerced(node: Node, version: int, constant: Callable[[Array], str]) -> Node:
    """Before 13, the input was coerced to a matrix: all axes from `axis` (default 1) on were one."""
    del constant
    if version >= 13:  # noqa: PLR2004
        return node
    return node.with_attributes(axis=node.integer("axis", 1), coerced=1)


BATCH_NORM = Operator(
    name="BatchNormalization",
    since=(1, 6, 7, 9, 14, 15),
    inputs=("x", "scale", "b", "mean", "var"),
    attributes=MappingProxyType({"epsilon": 1e-5, "momentum": 0.9, "training_mode": 0}),
    infer=_infer_batch_norm,
    outputs=("y", "running_mean", "running_var"),
    reference=in_float32(batch_norm_outputs),
    upgrade=_upgrade_batch_norm,
    summary="Normalise by stored statistics of each channel, or in training by the batch's own.",
)

INSTANCE_NORM = Operator(
    name="InstanceNormalization",
    since=(1, 6, 22),
    inputs=("x", "scale", "b"),
    attributes=MappingProxyType({"epsilon": 1e-5}),
    infer=_infer_instance_norm,
    reference=in_float32(instance_norm),
    agrees_within=Tolerance(relative=1e-4, absolute=1e-5),
    summary="Normalise each channel of each sample by its own statistics.",
)

LRN = Operator(
    name="LRN",
    since=(1, 13),
    inputs=("x",),
    attributes=MappingProxyType({"alpha": 1e-4, "beta": 0.75, "bias": 1.0, "size": REQUIRED}),
    infer=_infer_lrn,
    reference=in_float32(local_response_norm),
    summary="Divide by the energy of neighbouring channels.",
)

SOFTMAX = Operator(
    name="Softmax",
    since=(1, 11, 13),
    inputs=("x",),
    attributes=MappingProxyType({"axis": -1, "coerced": 0}),
    infer=_infer_softmax,
    reference=softmax,  # in x's own precision, as the function bodies that contain it expect
    upgrade=upgrade_coerced,
    summary="Exponentials that sum to 1 along an axis; with `coerced`, over all axes from there on (before opset 13).",
)

LOG_SOFTMAX = Operator(
    name="LogSoftmax",
    since=(1, 11, 13),
    inputs=("x",),
    attributes=MappingProxyType({"axis": -1, "coerced": 0}),
    infer=_infer_softmax,
    reference=log_softmax,
    upgrade=upgrade_coerced,
    agrees_within=Tolerance(relative=1e-5, absolute=1e-5),
    summary="Logarithm of Softmax.",
)

OPERATORS = (BATCH_NORM, INSTANCE_NORM, LRN, SOFTMAX, LOG_SOFTMAX)
