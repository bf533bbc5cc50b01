"""Operators of the domain `alula`, which only passes write.

In: what the ONNX operators take, and extra arrays for the epilogue. Out: the same, after a formula.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.engine.graph.dims import Shape
from alula.engine.graph.formula import IDENTITY, Formula, FormulaBuilder, Operand
from alula.engine.graph.nodes import INTERNAL, Array
from alula.engine.operators.common import Mismatch, broadcast_shapes, broadcasts_to, same_as, show
from alula.engine.operators.conv import CONV_ATTRIBUTES, convolve, infer_conv
from alula.engine.operators.formula import evaluate_formula
from alula.engine.operators.matmul import matmul_shape, turn, turned
from alula.engine.operators.record import REQUIRED, Inference, Inferred, Operator, Tolerance


def _finished(result: Array, extras: Sequence[Array], epilogue: Formula) -> Array:
    return evaluate_formula(epilogue, (result, *extras))


def check_extras(at: Inference, first: int, y: Shape) -> None:
    """Extras must broadcast to the output, and the epilogue must have a register for each."""
    extras = [at.shape(index) for index in range(first, len(at.inputs))]
    wanted = at.attributes["epilogue"].inputs - 1
    if len(extras) != wanted:
        raise Mismatch(f"the epilogue needs {wanted} extra inputs", f"there are {len(extras)}")
    for extra in extras:
        if not broadcasts_to(extra, y):
            raise Mismatch(f"extra inputs must broadcast to {show(y)}", f"one is {show(extra)}")


def fused_conv(x: Array, w: Array, b: Array | None, *extras: Array, epilogue: Formula, **conv: Any) -> Array:
    """A convolution, then the epilogue: register 0 is the convolution with bias, the others are the extras."""
    return _finished(convolve(x, w, b, **conv), extras, epilogue)


def _infer_fused_conv(at: Inference) -> Inferred:
    plain = {name: value for name, value in at.attributes.items() if name != "epilogue"}
    dtype, y = infer_conv(Inference(at.node, at.inputs[:3], plain))[0]
    check_extras(at, 3, y)
    return [(dtype, y)]


def fused_matmul(a: Array, b: Array, bias: Array | None, *extras: Array, epilogue: Formula, **turns: int) -> Array:
    """A matrix product, plus bias, then the epilogue: register 0 is the product with bias, the others the extras."""
    y = np.matmul(turn(a, turns["transA"]), turn(b, turns["transB"]))
    return _finished(y if bias is None else y + bias, extras, epilogue)


def _infer_fused_matmul(at: Inference) -> Inferred:
    y = matmul_shape(turned(at.shape(0), at.attributes["transA"]), turned(at.shape(1), at.attributes["transB"]))
    if at.has(2):
        y = broadcast_shapes(y, at.shape(2))
    check_extras(at, 3, y)
    return [(at.dtype(0), y)]


def _infer_elementwise(at: Inference) -> Inferred:
    wanted = at.attributes["formula"].inputs
    if wanted != len(at.inputs):
        raise Mismatch(f"the formula needs {wanted} inputs", f"there are {len(at.inputs)}")
    found = tuple(at.dtype(index) for index in range(wanted))
    if found != at.attributes["formula"].input_types:
        raise Mismatch(f"the formula is {at.attributes['formula']}", f"the inputs are {' and '.join(map(str, found))}")
    return [(at.attributes["formula"].result_type, broadcast_shapes(*(at.shape(index) for index in range(wanted))))]


def _lower_elementwise(b: FormulaBuilder, *operands: Operand, formula: Formula) -> Operand:
    return b.call(formula, operands)


def _identity(name: str, summary: str, **attributes: Any) -> Operator:
    def reference(x: Array, **_: Any) -> Array:
        return x

    return Operator(
        name=name, domain=INTERNAL, since=(1,), inputs=("x",), infer=same_as(), reference=reference,
        attributes=MappingProxyType(attributes), agrees_within=Tolerance(0.0, 0.0), summary=summary,
    )  # fmt: skip


FUSED_CONV = Operator(
    name="FusedConv",
    domain=INTERNAL,
    since=(1,),
    inputs=("x", "w", "b?", "extras*"),
    attributes=MappingProxyType({**CONV_ATTRIBUTES, "epilogue": IDENTITY}),
    infer=_infer_fused_conv,
    reference=fused_conv,
    summary="Conv, then a formula over its result and extra inputs.",
)

FUSED_MATMUL = Operator(
    name="FusedMatMul",
    domain=INTERNAL,
    since=(1,),
    inputs=("a", "b", "bias?", "extras*"),
    attributes=MappingProxyType({"transA": 0, "transB": 0, "epilogue": IDENTITY}),
    infer=_infer_fused_matmul,
    reference=fused_matmul,
    summary="MatMul of matrices that may be transposed, plus bias, then a formula.",
)

ELEMENTWISE = Operator(
    name="Elementwise",
    domain=INTERNAL,
    since=(1,),
    inputs=("x*",),
    attributes=MappingProxyType({"formula": REQUIRED}),
    infer=_infer_elementwise,
    reference=lambda *arrays, formula: evaluate_formula(formula, arrays),
    lower=_lower_elementwise,
    summary="A formula over inputs that broadcast together.",
)

OPERATORS = (
    FUSED_CONV,
    FUSED_MATMUL,
    ELEMENTWISE,
    _identity("Pack", "Plain memory into blocks of channels; the value is the same.", block=REQUIRED),
    _identity("Unpack", "Blocks of channels into plain memory; the value is the same.", block=REQUIRED),
    _identity("Copy", "The same value at another place."),
)
