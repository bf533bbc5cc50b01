"""Operators over pictures of the domain `alula`, which only passes write.

In: what the ONNX operators take, and extra arrays for the epilogue. Out: the same, after a formula.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from alula.engine.graph.formula import IDENTITY, Formula
from alula.engine.graph.nodes import INTERNAL, Array
from alula.engine.operators.conv import TRANSPOSED_ATTRIBUTES, convolve_transposed, infer_conv_transposed
from alula.engine.operators.formula import evaluate_formula
from alula.engine.operators.internal import check_extras
from alula.engine.operators.record import Inference, Inferred, Operator


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

OPERATORS = (FUSED_CONV_TRANSPOSE,)
