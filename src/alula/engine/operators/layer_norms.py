"""Normalisation in two stages: to deviation 1 in a precision of its own (`stash_type`), then scale and shift in x's.

In: x [..., normalised axes], or [N, C, spatial...] by groups of channels; scale and shift. Out: the shape of x, and the
statistics of LayerNormalization in the precision of the first stage.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.nodes import Array, Node
from alula.engine.graph.numpy_dtypes import numpy_dtype
from alula.engine.operators.common import Mismatch, Refusal, agree, axis_of, broadcasts_to, show
from alula.engine.operators.record import REQUIRED, Inference, Inferred, Operator, Tolerance

# TensorProto.DataType of the precisions that ONNX allows for a first stage.
_STASHES = MappingProxyType({1: DType.FLOAT32, 10: DType.FLOAT16, 11: DType.FLOAT64, 16: DType.BFLOAT16})
_OPSET_PER_CHANNEL = 21


def stash_dtype(stash_type: int) -> DType:
    """The precision of the first stage.

    Raises:
        Refusal: the number names no floating-point type.
    """
    if stash_type not in _STASHES:
        raise Refusal("stash_type must be float32, float16, double or bfloat16", f"it is {stash_type}")
    return _STASHES[stash_type]


def _inverse_root(squares: Array, axes: tuple[int, ...], epsilon: float) -> Array:
    """1 / sqrt(mean + epsilon) over axes."""
    one = squares.dtype.type(1)
    return np.asarray(one / np.sqrt(squares.mean(axes, keepdims=True) + squares.dtype.type(epsilon)), squares.dtype)


def layer_norm(
    x: Array, scale: Array, shift: Array | None = None, *, axis: int, epsilon: float, stash_type: int
) -> tuple[Array, Array, Array]:
    """To mean 0 and variance 1 over all axes from `axis` on; also the mean and 1 / deviation."""
    axes = tuple(range(axis_of(axis, x.ndim), x.ndim))
    stashed = np.asarray(x, numpy_dtype(stash_dtype(stash_type)))
    mean = stashed.mean(axes, keepdims=True)
    deviation = stashed - mean
    inverse = _inverse_root(deviation * deviation, axes, epsilon)
    y = np.asarray(deviation * inverse, x.dtype) * scale
    return np.asarray(y if shift is None else y + shift, x.dtype), mean, inverse


def _infer_layer_norm(at: Inference) -> Inferred:
    x = at.shape(0)
    axis = axis_of(at.attributes["axis"], len(x))
    _check_affine(at)
    dtype, statistics = stash_dtype(at.attributes["stash_type"]), (*x[:axis], *(1,) * (len(x) - axis))
    return [(at.dtype(0), x), (dtype, statistics), (dtype, statistics)]


def _check_affine(at: Inference) -> None:
    """Scale and shift must broadcast to x."""
    x = at.shape(0)
    for index in filter(at.has, range(1, len(at.inputs))):
        if not broadcasts_to(at.shape(index), x):
            raise Mismatch(f"scale and shift must broadcast to {show(x)}", f"one is {show(at.shape(index))}")


def rms_norm(x: Array, scale: Array, *, axis: int, epsilon: float, stash_type: int) -> Array:
    """X / sqrt(mean of squares + epsilon) over all axes from `axis` on (Zhang and Sennrich 2019), in scale's dtype."""
    axes = tuple(range(axis_of(axis, x.ndim), x.ndim))
    stashed = np.asarray(x, numpy_dtype(stash_dtype(stash_type)))
    y = np.asarray(stashed * _inverse_root(stashed * stashed, axes, epsilon), scale.dtype)
    return np.asarray(y * scale, scale.dtype)


def _infer_rms_norm(at: Inference) -> Inferred:
    x = at.shape(0)
    axis_of(at.attributes["axis"], len(x))
    _check_affine(at)
    return [(at.dtype(1), x)]


def group_norm(x: Array, scale: Array, shift: Array, **attributes: Any) -> Array:
    """Each group of channels of a sample to mean 0 and variance 1 (Wu and He 2018), then scale and shift by channel."""
    groups = attributes["num_groups"]
    channels = x.shape[1]
    _check_groups(groups, channels)
    stashed = np.asarray(x, numpy_dtype(stash_dtype(attributes["stash_type"])))
    grouped = stashed.reshape(x.shape[0], groups, -1)
    deviation = grouped - grouped.mean(2, keepdims=True)
    y = deviation * _inverse_root(deviation * deviation, (2,), attributes["epsilon"])
    if attributes["by_group"]:
        scale, shift = np.repeat(scale, channels // groups), np.repeat(shift, channels // groups)
    factor, term = (parameter.reshape(-1, *(1,) * (x.ndim - 2)) for parameter in (scale, shift))
    return np.asarray(np.asarray(y.reshape(x.shape), x.dtype) * factor + term, x.dtype)


def _check_groups(groups: int, channels: int) -> None:
    if groups < 1 or channels % groups:
        raise Mismatch(f"num_groups must divide {channels} channels", f"it is {groups}")


def _infer_group_norm(at: Inference) -> Inferred:
    x, groups = at.shape(0), at.attributes["num_groups"]
    if len(x) < 2:  # noqa: PLR2004  batch and channels
        raise Mismatch("input needs batch and channels", f"it is {show(x)}")
    if isinstance(x[1], int):
        _check_groups(groups, x[1])
    wanted = groups if at.attributes["by_group"] else x[1]
    for index in (1, 2):
        if len(at.shape(index)) != 1 or not agree(at.shape(index)[0], wanted):
            raise Mismatch(f"scale and shift must be [{wanted}]", f"one is {show(at.shape(index))}")
    return [(at.dtype(0), x)]


def _upgrade_group_norm(node: Node, version: int, constant: Callable[[Array], str]) -> Node:
    """Before 21, scale and shift were by group."""
    del constant
    return node if version >= _OPSET_PER_CHANNEL else node.with_attributes(by_group=1)


LAYER_NORM = Operator(
    name="LayerNormalization",
    since=(17,),
    inputs=("x", "scale", "b?"),
    outputs=("y", "mean", "inverse_deviation"),
    attributes=MappingProxyType({"axis": -1, "epsilon": 1e-5, "stash_type": 1}),
    infer=_infer_layer_norm,
    reference=layer_norm,
    agrees_within=Tolerance(relative=1e-4, absolute=1e-5),
    summary="Normalise over the last axes.",
)

RMS_NORM = Operator(
    name="RMSNormalization",
    since=(23,),
    inputs=("x", "scale"),
    attributes=MappingProxyType({"axis": -1, "epsilon": 1e-5, "stash_type": 1}),
    infer=_infer_rms_norm,
    reference=rms_norm,
    agrees_within=Tolerance(relative=1e-4, absolute=1e-5),
    summary="Divide by the root of the mean square over the last axes.",
)

GROUP_NORM = Operator(
    name="GroupNormalization",
    since=(18, 21),
    inputs=("x", "scale", "b"),
    attributes=MappingProxyType({"num_groups": REQUIRED, "epsilon": 1e-5, "stash_type": 1, "by_group": 0}),
    infer=_infer_group_norm,
    reference=group_norm,
    upgrade=_upgrade_group_norm,
    agrees_within=Tolerance(relative=1e-4, absolute=1e-5),
    summary="Normalise groups of channels of each sample; with `by_group`, scale and shift by group (before opset 21).",
)

OPERATORS = (LAYER_NORM, RMS_NORM, GROUP_NORM)
