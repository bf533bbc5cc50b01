"""The primitives that formulas are made of: how many operands, of which element types, giving which.

In: a primitive's name and the types of its operands. Out: the type of its result, or `Inexpressible`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from alula.base.tensors import DType

SIGNED = frozenset({DType.INT8, DType.INT16, DType.INT32, DType.INT64})
UNSIGNED = frozenset({DType.UINT8, DType.UINT16, DType.UINT32, DType.UINT64})
INTEGERS = SIGNED | UNSIGNED
# What is computed in float32: the shorter two are rounded when they are stored or cast to, and nowhere else.
SINGLE = frozenset({DType.FLOAT32, DType.FLOAT16, DType.BFLOAT16})
REALS = SINGLE | {DType.FLOAT64}
NUMBERS = REALS | INTEGERS
BITS = INTEGERS | {DType.BOOL}
FORMULA_TYPES = NUMBERS | {DType.BOOL}


class Inexpressible(Exception):  # noqa: N818  not an error: the answer "no formula computes this"
    """Raised where no primitive does the work for these types; the operator is left to its reference then."""


@dataclass(frozen=True)
class Primitive:
    """One operation on elements.

    Attributes:
        operands: how many it takes, all of one type; `select` takes a bool before them, which counts.
        takes: the types they may have.
        gives: the operands' own type, bool, or the type that the step names.
    """

    operands: int
    takes: frozenset[DType]
    gives: Literal["same", "bool", "named"] = "same"


def _several(names: str, primitive: Primitive) -> dict[str, Primitive]:
    return dict.fromkeys(names.split(), primitive)


PRIMITIVES: Mapping[str, Primitive] = MappingProxyType(
    {
        # Integers wrap around; their quotients are cut towards zero, and divided by zero they give 0.
        **_several("add sub mul div", Primitive(2, NUMBERS)),
        # What division leaves, with the sign of the dividend; 0 where the divisor is 0.
        "rem": Primitive(2, INTEGERS),
        # NaN in a register operand gives NaN.
        **_several("min max", Primitive(2, NUMBERS)),
        **_several("neg abs", Primitive(1, NUMBERS)),
        # round: to the nearest, ties to even.
        **_several("sqrt floor ceil trunc round", Primitive(1, REALS)),
        **_several("exp log tanh erf", Primitive(1, SINGLE)),
        **_several("sin cos tan asin acos atan sinh cosh asinh acosh atanh", Primitive(1, SINGLE)),
        # pow as in IEEE 754: 1 for any exponent of 1 and any base of exponent 0, NaN for roots of negative numbers.
        "pow": Primitive(2, SINGLE),
        "eq": Primitive(2, FORMULA_TYPES, "bool"),
        **_several("lt le", Primitive(2, NUMBERS, "bool")),
        "is_nan": Primitive(1, REALS, "bool"),
        **_several("and or xor", Primitive(2, BITS)),
        "not": Primitive(1, BITS),
        # By the width or more, or by less than 0: nothing is left, or the sign.
        **_several("shl shr", Primitive(2, INTEGERS)),
        "select": Primitive(3, FORMULA_TYPES),
        # Real numbers are cut towards zero. What has no place in an integer gives the least int32 (for types of up to
        # 32 bits) or int64, cut to the width, as x86 has it. Integers are cut to the width; bool is "not 0".
        "cast": Primitive(1, FORMULA_TYPES, "named"),
    }
)
UNARY = frozenset(name for name, primitive in PRIMITIVES.items() if primitive.operands == 1)
BINARY = frozenset(name for name, primitive in PRIMITIVES.items() if primitive.operands == 2)  # noqa: PLR2004


def result_type(op: str, operand: DType, to: DType | None = None) -> DType:
    """The type of a step's result.

    Args:
        op: the primitive.
        operand: the common type of its operands; of `select`, that of the last two.
        to: the type that a cast names.

    Raises:
        Inexpressible: the primitive does not work on that type.
    """
    primitive = PRIMITIVES[op]
    named = to or operand
    if operand not in primitive.takes or (primitive.gives == "named" and named not in FORMULA_TYPES):
        raise Inexpressible(f"{op} of {operand}")
    if primitive.gives == "named":
        return named
    return DType.BOOL if primitive.gives == "bool" else operand


def common_type(op: str, types: Sequence[DType | None], default: DType) -> DType | None:
    """The one type of a step's operands; None where they differ.

    Args:
        op: the primitive.
        types: of its operands, None for literals, which take the type of the others.
        default: where all are literals.
    """
    typed = {kind for kind in (types[1:] if op == "select" else types) if kind is not None}
    if len(typed) > 1 or (op == "select" and types[0] not in (None, DType.BOOL)):
        return None
    return typed.pop() if typed else default


def literal_of(value: float, dtype: DType) -> float:
    """A literal as a type has it: bool, int or float.

    Raises:
        Inexpressible: the type has no such number.
    """
    if dtype in REALS:
        return float(value)
    if value != value or value in (float("inf"), float("-inf")) or value != int(value):  # noqa: PLR0124  NaN
        raise Inexpressible(f"{value} as {dtype}")
    low, high = bounds_of(dtype)
    if not low <= value <= high:
        raise Inexpressible(f"{value} as {dtype}")
    return bool(value) if dtype is DType.BOOL else int(value)


def bounds_of(dtype: DType) -> tuple[int, int]:
    """The least and the largest number of an integer type, or of bool."""
    if dtype is DType.BOOL:
        return 0, 1
    bits = 8 * dtype.itemsize
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if dtype in SIGNED else (0, (1 << bits) - 1)
