"""x to the y of vectors of floats, computed in float64.

In: two vector registers of floats. Out: another, within 1 ulp, with the special cases of IEEE 754-2019, 9.2.1.
"""

from __future__ import annotations

import math

from alula.base.tensors import DType
from alula.engine.kernels.elements import constant
from alula.engine.kernels.ir import Function

# log2(m) = s (2 / ln 2) (1 + s^2/3 + s^4/5 + ...) with s = (m - 1) / (m + 1), |s| <= 0.172: the series of atanh. The
# first term left out is below 2^-44 of the sum. Highest power first.
_LOG = tuple(2 / math.log(2) / k for k in (15, 13, 11, 9, 7, 5, 3, 1))
# exp(r) on [-ln(2)/2, ln(2)/2]: its series; the first term left out is below 2^-36.
_EXP = tuple(1 / math.factorial(k) for k in range(9, -1, -1))
# Exponents of 2 beyond which float32 overflows, or has nothing left.
_FAR = 200.0


def power(f: Function, x: str, y: str) -> str:
    """2 to the y log2 |x|, with the sign of x where y is odd."""
    size = f.intrinsic("fabs", x)
    wide = f.op(f"fpext {f.vector} {y} to {_double(f)}")
    exponent = _product(f, wide, _log2(f, f.op(f"fpext {f.vector} {size} to {_double(f)}")))
    result = f.op(f"fptrunc {_double(f)} {_exp2(f, exponent)} to {f.vector}")
    result = _select(f, _test(f, "uno", exponent, exponent), f.constant(math.nan), result)
    result = _signed(f, x, y, result)
    one = f.constant(1.0)
    certain = _or(f, _compare(f, "oeq", x, one), _compare(f, "oeq", y, f.constant(0.0)))
    return _select(f, certain, one, result)


def _log2(f: Function, a: str) -> str:
    """Of float64 that came from float32 (there are no subnormals); infinite at 0 and infinity."""
    ints, double = f.vector_of("i64"), _double(f)
    offset = constant(f, DType.INT64, 0x3FE6A09E667F3BCD)  # the bits of sqrt(1/2)
    bits = f.op(f"bitcast {double} {a} to {ints}")
    moved = f.op(f"sub {ints} {bits}, {offset}")
    upper = f.op(f"ashr {ints} {moved}, {constant(f, DType.INT64, 52)}")
    # The exponent fits 32 bits, which every processor converts.
    short = f.op(f"trunc {ints} {upper} to {f.vector_of('i32')}")
    whole = f.op(f"sitofp {f.vector_of('i32')} {short} to {double}")
    fraction = f.op(f"and {ints} {moved}, {constant(f, DType.INT64, (1 << 52) - 1)}")
    m = f.op(f"bitcast {ints} {f.op(f'add {ints} {fraction}, {offset}')} to {double}")
    s = _binary(f, "fdiv", _binary(f, "fsub", m, _number(f, 1.0)), _binary(f, "fadd", m, _number(f, 1.0)))
    series = _binary(f, "fmul", s, _polynomial(f, _binary(f, "fmul", s, s), _LOG))
    result = _binary(f, "fadd", whole, series)
    for special, value in ((0.0, -math.inf), (math.inf, math.inf)):
        result = _choose(f, _test(f, "oeq", a, _number(f, special)), _number(f, value), result)
    return _choose(f, _test(f, "uno", a, a), a, result)


def _product(f: Function, y: str, logarithm: str) -> str:
    """Y times the logarithm; 0 where it is 0 and y infinite, since -1 to the infinite is 1."""
    size = f.intrinsic("fabs", y, kind="double")
    infinite = _test(f, "oeq", size, _number(f, math.inf))
    unit = _test(f, "oeq", logarithm, _number(f, 0.0))
    return _choose(f, _and(f, infinite, unit), _number(f, 0.0), _binary(f, "fmul", y, logarithm))


def _exp2(f: Function, t: str) -> str:
    """2 to the t; of NaN anything."""
    low, high = _number(f, -_FAR), _number(f, _FAR)
    t = _choose(f, _test(f, "olt", t, high), t, high)
    t = _choose(f, _test(f, "ogt", t, low), t, low)
    nearest = f.intrinsic("roundeven", t, kind="double")
    rest = _binary(f, "fmul", _binary(f, "fsub", t, nearest), _number(f, math.log(2)))
    ints = f.vector_of("i64")
    narrow = f.op(f"fptosi {_double(f)} {nearest} to {f.vector_of('i32')}")
    biased = f.op(f"add {f.vector_of('i32')} {narrow}, {constant(f, DType.INT32, 1023)}")
    wide = f.op(f"zext {f.vector_of('i32')} {biased} to {ints}")
    scale = f.op(f"bitcast {ints} {f.op(f'shl {ints} {wide}, {constant(f, DType.INT64, 52)}')} to {_double(f)}")
    return _binary(f, "fmul", _polynomial(f, rest, _EXP), scale)


def _signed(f: Function, x: str, y: str, result: str) -> str:
    """Below 0: negative for odd y, NaN for y that is not whole (where x is finite and not 0)."""
    half = f.arithmetic("fmul", y, f.constant(0.5))
    whole = _compare(f, "oeq", f.intrinsic("trunc", y), y)
    uneven = _compare(f, "one", f.intrinsic("trunc", half), half)
    turned = _select(f, _and(f, whole, uneven), f.intrinsic("copysign", result, x), result)
    below = _compare(f, "olt", x, f.constant(0.0))
    finite = _compare(f, "one", x, f.constant(-math.inf))
    lost = _select(f, _and(f, below, finite), f.constant(math.nan), turned)
    return _select(f, whole, turned, lost)


def _polynomial(f: Function, x: str, coefficients: tuple[float, ...]) -> str:
    result = _number(f, coefficients[0])
    for coefficient in coefficients[1:]:
        result = _binary(f, "fadd", _binary(f, "fmul", result, x), _number(f, coefficient))
    return result


def _double(f: Function) -> str:
    return f.vector_of("double")


def _number(f: Function, value: float) -> str:
    return constant(f, DType.FLOAT64, value)


def _binary(f: Function, op: str, a: str, b: str) -> str:
    return f.op(f"{op} {_double(f)} {a}, {b}")


def _test(f: Function, relation: str, a: str, b: str) -> str:
    return f.op(f"fcmp {relation} {_double(f)} {a}, {b}")


def _choose(f: Function, condition: str, yes: str, no: str) -> str:
    return f.op(f"select {f.vector_of('i1')} {condition}, {_double(f)} {yes}, {_double(f)} {no}")


def _compare(f: Function, relation: str, a: str, b: str) -> str:
    return f.op(f"fcmp {relation} {f.vector} {a}, {b}")


def _select(f: Function, condition: str, yes: str, no: str) -> str:
    return f.op(f"select {f.vector_of('i1')} {condition}, {f.vector} {yes}, {f.vector} {no}")


def _and(f: Function, a: str, b: str) -> str:
    return f.op(f"and {f.vector_of('i1')} {a}, {b}")


def _or(f: Function, a: str, b: str) -> str:
    return f.op(f"or {f.vector_of('i1')} {a}, {b}")
