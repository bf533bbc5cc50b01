"""Every elementwise operator that lowers to a formula, as a node over two tensors of one type and a mask.

In: an element type. Out: the nodes that exist for it, and the names of those that generated code leaves to the host.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from alula.base.tensors import DType
from alula.engine.graph.onnx_dtypes import ONNX_DTYPES
from alula.engine.graph.primitives import BITS, FORMULA_TYPES, INTEGERS, NUMBERS, REALS, SIGNED, SINGLE

_BOOL = frozenset({DType.BOOL})


@dataclass(frozen=True)
class Form:
    """One node.

    Attributes:
        inputs: of x and y (the type in question), mask (bool), and numbers of that type: one, two, high.
        types: for which it is posed.
        native: for which it runs in generated code.
    """

    op: str
    inputs: str = "x"
    types: frozenset[DType] = REALS
    native: frozenset[DType] = FORMULA_TYPES
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For example `Pow x two`."""
        given = "".join(f" {key}={value}" for key, value in self.attributes.items())
        return f"{self.op} {self.inputs}{given}"


def _unary(names: str, types: frozenset[DType], native: frozenset[DType] = FORMULA_TYPES) -> list[Form]:
    return [Form(name, "x", types, native) for name in names.split()]


def _binary(names: str, types: frozenset[DType]) -> list[Form]:
    return [Form(name, "x y", types) for name in names.split()]


FORMS = (
    *_unary("Neg Abs Sign", NUMBERS),
    *_unary("Relu", REALS | SIGNED),
    *_unary("Floor Ceil Round Sqrt Reciprocal IsNaN IsInf LeakyRelu HardSigmoid HardSwish Softsign", REALS),
    *_unary("Exp Log Sigmoid Tanh Erf Gelu Elu Softplus Mish Selu Celu Swish", REALS, SINGLE),
    *_unary("Sin Cos Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh", REALS, SINGLE),
    *_unary("Not", _BOOL),
    *_unary("BitwiseNot", INTEGERS),
    *_binary("Add Sub Mul Div Min Max Less LessOrEqual Greater GreaterOrEqual", NUMBERS),
    *_binary("Equal", FORMULA_TYPES),
    *_binary("And Or Xor", _BOOL),
    *_binary("BitwiseAnd BitwiseOr BitwiseXor", INTEGERS),
    Form("PRelu", "x y", REALS | SIGNED),
    Form("Sum", "x y one", NUMBERS),
    Form("Mean", "x y x"),
    Form("Min", "x y one", NUMBERS),
    Form("Clip", "x one high", NUMBERS),
    Form("Clip", "x one", NUMBERS),
    Form("Where", "mask x y", FORMULA_TYPES),
    Form("Where", "mask one x", FORMULA_TYPES),
    Form("Where", "mask one two", NUMBERS),
    Form("Pow", "x y", REALS, SINGLE),
    Form("Pow", "x two", REALS | SIGNED),
    Form("Mod", "x y", INTEGERS),
    Form("Mod", "x two", INTEGERS),
    Form("Div", "x two", NUMBERS),
    Form("Mod", "x y", NUMBERS, INTEGERS, {"fmod": 1}),
    Form("BitShift", "x y", INTEGERS, attributes={"direction": "LEFT"}),
    Form("BitShift", "x y", INTEGERS, attributes={"direction": "RIGHT"}),
    Form("Gelu", "x", REALS, SINGLE, {"approximate": "tanh"}),
    Form("IsInf", "x", REALS, attributes={"detect_negative": 0}),
    Form("IsInf", "x", REALS, attributes={"detect_positive": 0}),
    Form("ThresholdedRelu", "x", REALS, attributes={"alpha": 0.5}),
    Form("Shrink", "x", NUMBERS, REALS, {"bias": 1.0, "lambd": 2.0}),
    Form("SwiGLU", "x y", REALS, SINGLE),
    Form("CastLike", "x mask", FORMULA_TYPES),
    *(Form("Cast", "x", FORMULA_TYPES - {dtype}, attributes={"to": number}) for number, dtype in ONNX_DTYPES.items()
      if dtype in FORMULA_TYPES),
    *(Form("Cast", "mask", BITS & SIGNED, attributes={"to": number}) for number in (1, 7, 10)),
)  # fmt: skip
