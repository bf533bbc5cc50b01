"""Trigonometric and hyperbolic functions of a vector, and their inverses, as straight-line code without calls.

In: a vector register of floats. Out: another; within 4 ulp over all float32, on all targets.
"""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from alula.engine.kernels.ir import Function
from alula.engine.kernels.maths import exp, log, polynomial, where

# Cephes 2.8, sinf.c, asinf.c, atanf.c, sinhf.c; highest power first. sin and cos on [-pi/4, pi/4], asin on [0, 1/2],
# atan on [-tan(pi/8), tan(pi/8)], sinh on [0, 1]: all but cos are (f(x) - x) / x^3 in powers of x^2.
_SIN = (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
_COS = (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
_ASIN = (4.2163199048e-2, 2.4181311049e-2, 4.5470025998e-2, 7.4953002686e-2, 1.6666752422e-1)
_ATAN = (8.05374449538e-2, -1.38776856032e-1, 1.99777106478e-1, -3.33329491539e-1)
_SINH = (2.03721912945e-4, 8.33028376239e-3, 1.66667160211e-1)
_TAN_22, _TAN_67 = math.tan(math.pi / 8), math.tan(3 * math.pi / 8)
# Beyond it, x + sqrt(x^2 + 1) is 2 x in float32.
_LARGE = 1e9

_EXPONENTS = 256
_HIGH_BITS = 26


def sin(f: Function, x: str) -> str:
    """Sine; NaN of infinity."""
    quadrant, sine, cosine = _quarters(f, x)
    value = _choose(f, _bit(f, quadrant, 1), cosine, sine)
    return _flip(f, value, _xor(f, _shifted(f, quadrant, 2), _bits(f, x)))


def cos(f: Function, x: str) -> str:
    """Cosine; NaN of infinity."""
    quadrant, sine, cosine = _quarters(f, x)
    turned = _ints(f, "add", quadrant, 1)
    return _flip(f, _choose(f, _bit(f, quadrant, 1), sine, cosine), _shifted(f, turned, 2))


def tan(f: Function, x: str) -> str:
    """Tangent; NaN of infinity."""
    quadrant, sine, cosine = _quarters(f, x)
    odd = _bit(f, quadrant, 1)
    quotient = f.arithmetic("fdiv", _choose(f, odd, cosine, sine), _choose(f, odd, sine, cosine))
    return _flip(f, quotient, _xor(f, _shifted(f, quadrant, 1), _bits(f, x)))


def asin(f: Function, x: str) -> str:
    """Arc sine; NaN outside [-1, 1]."""
    near, far = _arcs(f, x)
    upper = f.fma(far, f.constant(-2.0), f.constant(math.pi / 2))
    return f.intrinsic("copysign", where(f, "ogt", f.intrinsic("fabs", x), f.constant(0.5), upper, near), x)


def acos(f: Function, x: str) -> str:
    """Arc cosine; NaN outside [-1, 1]."""
    near, far = _arcs(f, x)
    double = f.arithmetic("fadd", far, far)
    outer = f.select_less(x, f.constant(0.0), f.arithmetic("fsub", f.constant(math.pi), double), double)
    inner = f.arithmetic("fsub", f.constant(math.pi / 2), f.intrinsic("copysign", near, x))
    return where(f, "ogt", f.intrinsic("fabs", x), f.constant(0.5), outer, inner)


def atan(f: Function, x: str) -> str:
    """Arc tangent."""
    size, one = f.intrinsic("fabs", x), f.constant(1.0)
    middle = f.arithmetic("fdiv", f.arithmetic("fsub", size, one), f.arithmetic("fadd", size, one))
    far = f.arithmetic("fdiv", f.constant(-1.0), size)
    limits = (f.constant(_TAN_22), f.constant(_TAN_67))
    t = where(f, "ogt", size, limits[1], far, where(f, "ogt", size, limits[0], middle, size))
    start = where(f, "ogt", size, limits[0], f.constant(math.pi / 4), f.constant(0.0))
    start = where(f, "ogt", size, limits[1], f.constant(math.pi / 2), start)
    return f.intrinsic("copysign", f.arithmetic("fadd", start, _odd(f, t, _ATAN)), x)


def sinh(f: Function, x: str) -> str:
    """Hyperbolic sine."""
    size = f.intrinsic("fabs", x)
    grown, rest = _halves(f, size)
    large = f.arithmetic("fsub", grown, rest)
    return f.intrinsic("copysign", where(f, "ogt", size, f.constant(1.0), large, _odd(f, size, _SINH)), x)


def cosh(f: Function, x: str) -> str:
    """Hyperbolic cosine."""
    return f.arithmetic("fadd", *_halves(f, f.intrinsic("fabs", x)))


def asinh(f: Function, x: str) -> str:
    """Inverse hyperbolic sine: log(1 + a + a^2 / (1 + sqrt(a^2 + 1))) with a = |x|."""
    size, one = f.intrinsic("fabs", x), f.constant(1.0)
    square = f.arithmetic("fmul", size, size)
    root = f.intrinsic("sqrt", f.arithmetic("fadd", square, one))
    argument = f.arithmetic("fadd", size, f.arithmetic("fdiv", square, f.arithmetic("fadd", root, one)))
    return f.intrinsic("copysign", _unless_large(f, size, _log1p(f, argument)), x)


def acosh(f: Function, x: str) -> str:
    """Inverse hyperbolic cosine: log(1 + t + sqrt(2 t + t^2)) with t = x - 1; NaN below 1."""
    t = f.arithmetic("fsub", x, f.constant(1.0))
    root = f.intrinsic("sqrt", f.arithmetic("fmul", t, f.arithmetic("fadd", t, f.constant(2.0))))
    value = _unless_large(f, x, _log1p(f, f.arithmetic("fadd", t, root)))
    return f.select_less(x, f.constant(1.0), f.constant(math.nan), value)


def atanh(f: Function, x: str) -> str:
    """Inverse hyperbolic tangent: log(1 + 2 a / (1 - a)) / 2 with a = |x|; NaN outside [-1, 1]."""
    size = f.intrinsic("fabs", x)
    below = f.arithmetic("fsub", f.constant(1.0), size)
    quotient = f.arithmetic("fdiv", f.arithmetic("fadd", size, size), below)
    return f.intrinsic("copysign", f.arithmetic("fmul", f.constant(0.5), _log1p(f, quotient)), x)


def _quarters(f: Function, x: str) -> tuple[str, str, str]:
    """How many right angles are in |x|, modulo 4 as i32, with the sine and the cosine of what is left.

    |x| is m 2^e with an integer m below 2^24; the table holds 2^e 2/pi modulo 4 in two parts, the first of so few bits
    that its product with m is exact (after M. Payne and R. Hanek, "Radian reduction for trigonometric functions",
    1983).
    """
    double = f.vector_of("double")
    bits = _ints(f, "and", _bits(f, x), 0x7FFFFFFF)
    exponent = _ints(f, "lshr", bits, 23)
    fraction = _ints(f, "and", bits, 0x7FFFFF)
    normal = f.op(f"icmp ne {f.vector_of('i32')} {exponent}, zeroinitializer")
    implicit = _ints(f, "shl", f.op(f"zext {f.vector_of('i1')} {normal} to {f.vector_of('i32')}"), 23)
    whole = f.op(f"or {f.vector_of('i32')} {fraction}, {implicit}")
    m = f.op(f"uitofp {f.vector_of('i32')} {whole} to {double}")
    index = f.op(f"zext {f.vector_of('i32')} {exponent} to {f.vector_of('i64')}")
    high, low = (f.op(f"fmul {double} {m}, {_gather(f, index, part)}") for part in range(2))
    turns = f.intrinsic("roundeven", f.op(f"fmul {double} {high}, {_doubles(f, 0.25)}"), kind="double")
    high = f.op(f"fsub {double} {high}, {f.op(f'fmul {double} {turns}, {_doubles(f, 4.0)}')}")
    total = f.op(f"fadd {double} {high}, {low}")
    nearest = f.intrinsic("roundeven", total, kind="double")
    rest = f.op(f"fmul {double} {f.op(f'fsub {double} {total}, {nearest}')}, {_doubles(f, math.pi / 2)}")
    angle = f.op(f"fptrunc {double} {rest} to {f.vector}")
    quadrant = f.op(f"fptosi {double} {nearest} to {f.vector_of('i32')}")
    square = f.arithmetic("fmul", angle, angle)
    cosine = f.fma(square, f.constant(-0.5), f.constant(1.0))
    cosine = f.fma(f.arithmetic("fmul", square, square), polynomial(f, square, _COS), cosine)
    return quadrant, _odd(f, angle, _SIN), cosine


def _gather(f: Function, index: str, part: int) -> str:
    """One number of the table for each lane's exponent."""
    double, pointers = f.vector_of("double"), f.vector_of("ptr")
    f.declare(_table(part))
    places = f.op(f"getelementptr inbounds double, ptr @quarters{part}, {f.vector_of('i64')} {index}")
    name = f"@llvm.masked.gather.v{f.lanes}f64.v{f.lanes}p0"
    f.declare(f"declare {double} {name}({pointers}, i32, {f.vector_of('i1')}, {double})")
    mask = "<" + ", ".join(["i1 true"] * f.lanes) + ">"
    return f.op(
        f"call {double} {name}({pointers} {places}, i32 8, {f.vector_of('i1')} {mask}, {double} zeroinitializer)"
    )


@functools.cache
def _table(part: int) -> str:
    """For each biased exponent of float32, 2^(exponent - 150) 2/pi modulo 4: first bits or the others; NaN last."""
    numbers = []
    for biased in range(_EXPONENTS - 1):
        # In units of 2^-256.
        exponent = 256 + max(biased, 1) - 150
        modulo = ((_two_over_pi(512) << exponent) >> 512) % (4 << 256)
        cut = 256 - _HIGH_BITS
        whole = modulo >> cut << cut
        numbers.append(math.ldexp(whole if part == 0 else modulo - whole, -256))
    texts = [f"double 0x{struct.unpack('<Q', struct.pack('<d', number))[0]:016X}" for number in (*numbers, math.nan)]
    return f"@quarters{part} = internal unnamed_addr constant [{len(texts)} x double] [{', '.join(texts)}]"


@functools.cache
def _two_over_pi(bits: int) -> int:
    """2/pi in units of 2^-bits, by J. Machin's formula of 1706: pi / 4 = 4 atan(1/5) - atan(1/239)."""
    unit = 1 << (bits + 64)

    def arc(n: int) -> int:
        total, power, k = 0, unit // n, 0
        while power:
            total += (-1) ** k * (power // (2 * k + 1))
            power //= n * n
            k += 1
        return total

    return (unit << bits) // (2 * (4 * arc(5) - arc(239)))


def _arcs(f: Function, x: str) -> tuple[str, str]:
    """asin |x|, right up to 1/2, and asin of sqrt((1 - |x|) / 2), right above."""
    size = f.intrinsic("fabs", x)
    root = f.intrinsic("sqrt", f.fma(size, f.constant(-0.5), f.constant(0.5)))
    return _odd(f, size, _ASIN), _odd(f, root, _ASIN)


def _halves(f: Function, size: str) -> tuple[str, str]:
    """Half of exp(size) and half of exp(-size); the square of a root, so that it overflows where the result does."""
    half = f.constant(0.5)
    root = exp(f, f.arithmetic("fmul", size, half))
    grown = f.arithmetic("fmul", f.arithmetic("fmul", root, half), root)
    return grown, f.arithmetic("fdiv", f.constant(0.25), grown)


def _log1p(f: Function, u: str) -> str:
    """log(1 + u), corrected by what the sum lost (D. Goldberg, "What every computer scientist should know", 1991)."""
    one = f.constant(1.0)
    w = f.arithmetic("fadd", u, one)
    ratio = f.arithmetic("fdiv", u, f.arithmetic("fsub", w, one))
    value = f.arithmetic("fmul", log(f, w), ratio)
    value = where(f, "oeq", w, one, u, value)
    return where(f, "oeq", u, f.constant(math.inf), u, value)


def _unless_large(f: Function, x: str, value: str) -> str:
    large = f.arithmetic("fadd", log(f, x), f.constant(math.log(2)))
    return where(f, "ogt", x, f.constant(_LARGE), large, value)


def _odd(f: Function, x: str, coefficients: Sequence[float]) -> str:
    """X + x^3 P(x^2)."""
    square = f.arithmetic("fmul", x, x)
    return f.fma(f.arithmetic("fmul", polynomial(f, square, coefficients), square), x, x)


def _doubles(f: Function, value: float) -> str:
    text = f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"
    return "<" + ", ".join([f"double {text}"] * f.lanes) + ">"


def _bits(f: Function, x: str) -> str:
    return f.op(f"bitcast {f.vector} {x} to {f.vector_of('i32')}")


def _ints(f: Function, op: str, x: str, value: int) -> str:
    return f.op(f"{op} {f.vector_of('i32')} {x}, <{', '.join([f'i32 {value}'] * f.lanes)}>")


def _xor(f: Function, x: str, y: str) -> str:
    return f.op(f"xor {f.vector_of('i32')} {x}, {y}")


def _bit(f: Function, x: str, bit: int) -> str:
    return f.op(f"icmp ne {f.vector_of('i32')} {_ints(f, 'and', x, bit)}, zeroinitializer")


def _shifted(f: Function, x: str, bit: int) -> str:
    """A bit of an integer as the sign; what stands below is of no account."""
    return _ints(f, "shl", x, 32 - bit.bit_length())


def _flip(f: Function, x: str, sign: str) -> str:
    """X, negated where the sign of an integer is set."""
    turned = _xor(f, _bits(f, x), _ints(f, "and", sign, -0x80000000))
    return f.op(f"bitcast {f.vector_of('i32')} {turned} to {f.vector}")


def _choose(f: Function, condition: str, yes: str, no: str) -> str:
    return f.op(f"select {f.vector_of('i1')} {condition}, {f.vector} {yes}, {f.vector} {no}")


ANGLES: Mapping[str, Callable[[Function, str], str]] = MappingProxyType(
    {
        "sin": sin,
        "cos": cos,
        "tan": tan,
        "asin": asin,
        "acos": acos,
        "atan": atan,
        "sinh": sinh,
        "cosh": cosh,
        "asinh": asinh,
        "acosh": acosh,
        "atanh": atanh,
    }
)
