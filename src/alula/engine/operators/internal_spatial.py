"""Operators over pictures of the domain `alula`, which only passes write.

In: what the ONNX operators take, and extra arrays for the epilogue. Out: the same, after a formula.
"""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import Any

from alula.engine.graph.dims import static
from alula.engine.graph.formula import IDENTITY, Formula
from alula.engine.graph.nodes import INTERNAL, Array
from alula.engine.operators.common import same_as
from alula.engine.operators.conv import TRANSPOSED_ATTRIBUTES, convolve_transposed, infer_conv_transposed
from alula.engine.operators.deform import deform_columns
from alula.engine.operators.formula import evaluate_formula
from alula.engine.operators.internal import check_extras
from alula.engine.operators.record import REQUIRED, Inference, Inferred, Operator
from alula.engine.operators.window import output_sizes, window_of


def fused_conv_transposed(x: Array, w: Array, b: Array | None, *extras: Array, epilogue: Formula, **conv: Any) -> Array:
    """A transposed convolution, then the epilogue: register 0 is its result with bias, the others are the extras."""
    return evaluate_formula(epilogue, (convolve_transposed(x, w, b, **conv), *extras))


def _infer(at: Inference) -> Inferred:
    plain = {name: value for name, value in at.attributes.items() if name != "epilogue"}
    dtype, y = infer_conv_transposed(Inference(at.node, at.inputs[:3], plain))[0]
    check_extras(at, 3, y)
    return [(dtype, y)]


FUSED_CONV_TRANSPOSE = Operator(
    name="FusedConvTranspose",
    domain=INTERNAL,
    since=(1,),
    inputs=("x", "w", "b?", "extras*"),
    attributes=MappingProxyType({**TRANSPOSED_ATTRIBUTES, "epilogue": IDENTITY}),
    infer=_infer,
    reference=fused_conv_transposed,
    summary="ConvTranspose, then a formula over its result and extra inputs.",
)


def _infer_columns(at: Inference) -> Inferred:
    x = at.shape(0)
    window = window_of(at.attributes["kernel_shape"], dict(at.attributes))
    pixels = math.prod(static(output_sizes(window, x[2:])))
    return [(at.dtype(0), (x[0], x[1] * math.prod(window.kernel), pixels))]


DEFORM_COLUMNS = Operator(
    name="DeformColumns",
    domain=INTERNAL,
    since=(1,),
    inputs=("x", "offset", "mask?"),
    attributes=MappingProxyType(
        {"kernel_shape": REQUIRED, "strides": (), "dilations": (), "pads": (), "offset_group": 1}
    ),
    infer=_infer_columns,
    reference=deform_columns,
    summary="What the displaced taps of a DeformConv read, as columns of a matrix.",
)


def shuffle_channels(x: Array, *, groups: int) -> Array:
    """Channel c of group g goes to place c groups + g (Zhang et al., ShuffleNet, 2018)."""
    return x.reshape(len(x), groups, -1, *x.shape[2:]).swapaxes(1, 2).reshape(x.shape)


SHUFFLE_CHANNELS = Operator(
    name="ShuffleChannels",
    domain=INTERNAL,
    since=(1,),
    inputs=("x",),
    attributes=MappingProxyType({"groups": REQUIRED}),
    infer=same_as(),
    reference=shuffle_channels,
    summary="Channels of several groups, in turns.",
)

OPERATORS = (FUSED_CONV_TRANSPOSE, DEFORM_COLUMNS, SHUFFLE_CHANNELS)
