"""The primitives of formulas as vector instructions, for every element type.

In: the type of a step's operands and their registers. Out: the register of its result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from alula.base.tensors import DType
from alula.engine.graph.formula import Step
from alula.engine.graph.primitives import REALS, SIGNED, SINGLE, UNSIGNED
from alula.engine.kernels import maths
from alula.engine.kernels.angles import ANGLES
from alula.engine.kernels.casts import cast
from alula.engine.kernels.elements import constant, register_kind
from alula.engine.kernels.ir import Function
from alula.engine.kernels.power import power

# Bits of the longest integers whose quotients float64 has exactly.
_SHORT = 32


def emit_primitive(f: Function, op: str, kind: DType, operands: Sequence[str]) -> str:
    """Append one primitive other than `min`, `max` against a literal and `cast`.

    Args:
        f: where to append.
        op: its name.
        kind: the type of its operands.
        operands: their registers.
    """
    if op in _FUNCTIONS:
        return _FUNCTIONS[op](f, *operands)
    if op in _COMPARISONS:
        return _compare(f, _COMPARISONS[op], kind, *operands)
    if op == "select":
        return _choose(f, kind, *operands)
    return _real(f, op, kind, operands) if kind in REALS else _integer(f, op, kind, operands)


def emit_bound(f: Function, step: Step, kind: DType, bound: str, x: str) -> str:
    """`min` or `max` of a literal and a register in one instruction, in which a NaN register stays NaN."""
    if kind not in REALS:
        return _integer(f, step.op, kind, [bound, x])
    relation, _ = _EXTREMES[step.op]
    vector = f.vector_of(register_kind(kind))
    beyond = f.op(f"fcmp {relation} {vector} {bound}, {x}")
    return f.op(f"select <{f.lanes} x i1> {beyond}, {vector} {bound}, {vector} {x}")


def _real(f: Function, op: str, kind: DType, operands: Sequence[str]) -> str:
    element = register_kind(kind)
    if op in _ARITHMETIC:
        # `contract` lets a product and a sum become one multiply-add where the machine has it; float64 is kept exact.
        contract = " contract" if kind in SINGLE else ""
        return f.op(f"f{op}{contract} {f.vector_of(element)} {operands[0]}, {operands[1]}")
    if op == "neg":
        return f.op(f"fneg {f.vector_of(element)} {operands[0]}")
    if op == "is_nan":
        return f.op(f"fcmp uno {f.vector_of(element)} {operands[0]}, {operands[0]}")
    name = _EXTREMES[op][1] if op in _EXTREMES else _INTRINSICS[op]
    return f.intrinsic(name, *operands, kind=element)


def _integer(f: Function, op: str, kind: DType, operands: Sequence[str]) -> str:
    element = register_kind(kind)
    vector = f.vector_of(element)
    signed = kind in SIGNED
    if op in ("min", "max"):
        return f.intrinsic(f"{'s' if signed else 'u'}{op}", *operands, kind=element)
    if op in ("div", "rem"):
        return _divide(f, op, kind, *operands)
    if op in ("shl", "shr"):
        return _shift(f, op, kind, *operands)
    if op == "neg":
        return f.op(f"sub {vector} zeroinitializer, {operands[0]}")
    if op == "not":
        return f.op(f"xor {vector} {operands[0]}, {constant(f, kind, 1 if kind is DType.BOOL else -1)}")
    if op == "abs":
        if not signed:
            return operands[0]
        return f.intrinsic("smax", operands[0], _integer(f, "neg", kind, operands), kind=element)
    return f.op(f"{op} {vector} {operands[0]}, {operands[1]}")


def _divide(f: Function, op: str, kind: DType, a: str, b: str) -> str:
    zero = f.op(f"icmp eq {f.vector_of(register_kind(kind))} {b}, zeroinitializer")
    if 8 * kind.itemsize <= _SHORT:
        return _choose(f, kind, zero, "zeroinitializer", _divide_short(f, op, kind, a, b))
    return _divide_long(f, op, kind, zero, a, b)


def _divide_short(f: Function, op: str, kind: DType, a: str, b: str) -> str:
    """By floats, of which a vector has a division; anything where b is 0.

    A quotient that is not whole is at least 1/b from what is, which is more than it is rounded by: integers of 16 bits
    have 24 bits in float32, those of 32 bits 53 in float64.
    """
    wide = DType.FLOAT64 if 8 * kind.itemsize == _SHORT else DType.FLOAT32
    real = f.op(f"fdiv {f.vector_of(register_kind(wide))} {cast(f, kind, wide, a)}, {cast(f, kind, wide, b)}")
    quotient = cast(f, wide, kind, real)
    if op == "div":
        return quotient
    vector = f.vector_of(register_kind(kind))
    product = f.op(f"mul {vector} {quotient}, {b}")
    return f.op(f"sub {vector} {a}, {product}")


def _divide_long(f: Function, op: str, kind: DType, zero: str, a: str, b: str) -> str:
    """Processors trap where the divisor is 0, or -1 below the least integer: 1 is put in its place there."""
    vector, one = f.vector_of(register_kind(kind)), constant(f, kind, 1)
    letter = "u" if kind in UNSIGNED else "s"
    if kind in UNSIGNED:
        quotient = f.op(f"{letter}{op} {vector} {a}, {_choose(f, kind, zero, one, b)}")
        return _choose(f, kind, zero, "zeroinitializer", quotient)
    minus = f.op(f"icmp eq {vector} {b}, {constant(f, kind, -1)}")
    unsafe = f.op(f"or {f.vector_of('i1')} {zero}, {minus}")
    quotient = f.op(f"{letter}{op} {vector} {a}, {_choose(f, kind, unsafe, one, b)}")
    if op == "rem":
        return quotient
    turned = _choose(f, kind, minus, _integer(f, "neg", kind, [a]), quotient)
    return _choose(f, kind, zero, "zeroinitializer", turned)


def _shift(f: Function, op: str, kind: DType, a: str, b: str) -> str:
    """LLVM leaves shifts by the width or more undefined."""
    vector, bits = f.vector_of(register_kind(kind)), 8 * kind.itemsize
    inside = f.op(f"icmp ult {vector} {b}, {constant(f, kind, bits)}")
    if op == "shr" and kind in SIGNED:
        count = _choose(f, kind, inside, b, constant(f, kind, bits - 1))
        return f.op(f"ashr {vector} {a}, {count}")
    count = _choose(f, kind, inside, b, "zeroinitializer")
    shifted = f.op(f"{'shl' if op == 'shl' else 'lshr'} {vector} {a}, {count}")
    return _choose(f, kind, inside, shifted, "zeroinitializer")


def _compare(f: Function, relation: str, kind: DType, a: str, b: str) -> str:
    vector = f.vector_of(register_kind(kind))
    if kind in REALS:
        return f.op(f"fcmp o{relation} {vector} {a}, {b}")
    prefix = "" if relation == "eq" else "s" if kind in SIGNED else "u"
    return f.op(f"icmp {prefix}{relation} {vector} {a}, {b}")


def _choose(f: Function, kind: DType, condition: str, yes: str, no: str) -> str:
    vector = f.vector_of(register_kind(kind))
    return f.op(f"select {f.vector_of('i1')} {condition}, {vector} {yes}, {vector} {no}")


_ARITHMETIC = frozenset({"add", "sub", "mul", "div"})
_COMPARISONS: Mapping[str, str] = MappingProxyType({"eq": "eq", "lt": "lt", "le": "le"})
_EXTREMES: Mapping[str, tuple[str, str]] = MappingProxyType({"max": ("ogt", "maximum"), "min": ("olt", "minimum")})
_INTRINSICS: Mapping[str, str] = MappingProxyType(
    {"abs": "fabs", "sqrt": "sqrt", "floor": "floor", "ceil": "ceil", "trunc": "trunc", "round": "roundeven"}
)
_FUNCTIONS: Mapping[str, Callable[..., str]] = MappingProxyType(
    {
        "exp": maths.exp,
        "log": maths.log,
        "tanh": maths.tanh,
        "erf": maths.erf,
        "pow": power,
        **ANGLES,
    }
)
