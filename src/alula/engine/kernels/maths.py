"""exp, log, tanh and erf of a vector, as straight-line code without calls.

In: a vector register of floats. Out: another. The errors stated hold over all finite float32 arguments and all targets.
"""

from __future__ import annotations

from collections.abc import Sequence

from alula.engine.kernels.ir import Function

# Cody and Waite's split of ln 2: the first part has few bits, so that its product with a small integer is exact.
_LN2_HIGH = 0.693359375
_LN2_LOW = -2.12194440e-4

# Cephes 2.8, expf.c: (exp(r) - 1 - r) / r^2 on [-ln(2)/2, ln(2)/2], highest power first.
_EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)

# Logarithms of the largest float and of the smallest normal one.
_EXP_LARGEST, _EXP_SMALLEST = 88.72283905206835, -87.33654475055310

# Cephes 2.8, logf.c: (log(1 + f) - f + f^2/2) / f^3 on [sqrt(1/2) - 1, sqrt(2) - 1], highest power first.
_LOG = (
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
    -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip

# tanh(x)/x = P(x^2)/Q(x^2) on [0, 9.02] and erf(x)/x = P(x^2)/Q(x^2) on [0, 3.93]: minimax in the relative error, found
# by Lawson's iteration (C. L. Lawson, 1961) on the linearised problem in float64; the forms follow W. J. Cody,
# "Rational Chebyshev approximations for the error function" (1969). Highest power first.
_TANH_LIMIT = 9.02
_TANH_P = (
    1.3318999185230124e-08,
    2.0583424858501556e-05,
    3.4940309788328385e-3,
    1.3379714897067554e-1,
    9.99999979048183e-1,
)
_TANH_Q = (7.761988507345525e-7, 3.2830870841682013e-4, 2.5871059463463696e-2, 4.671303014617313e-1, 1.0)
_ERF_LIMIT = 3.93
_ERF_P = (
    1.9815601042362816e-8, -1.955366151834537e-6, 1.4248825341750364e-4, 3.7365307993387094e-3,
    5.0688378016314276e-2, 2.0080012720995227e-1, 1.1283791073052092,
)  # fmt: skip
_ERF_Q = (9.638472656155231e-4, 1.4426387935003412e-2, 1.1535925059604914e-1, 5.112860879669828e-1, 1.0)

# 1.5 * 2^23: adding it rounds to an integer, which then stands in the low bits.
_ROUND = 12582912.0
_SMALLEST_NORMAL = 1.17549435e-38


def exp(f: Function, x: str) -> str:
    """Raise e to the power x, within 2 ulp.

    Minus infinity and results below the smallest normal float give 0 (where AVX-512 does it, the subnormal), overflow
    gives infinity, NaN stays. Cephes' method: x = n ln 2 + r, a polynomial of r, times 2^n.
    """
    if f.lanes == _SCALEF_LANES:
        return _exp_scalef(f, x)
    shifted, y = _exp_reduced(f, x)
    # The shifted number carries n in its low bits; outside the two limits the sum is nonsense, and replaced.
    exponent = _integer(f, "shl", _bits(f, shifted), 23)
    result = _float(f, f.op(f"add {_int(f)} {_bits(f, y)}, {exponent}"))
    result = where(f, "olt", f.constant(_EXP_LARGEST), x, f.constant(float("inf")), result)
    result = f.select_less(x, f.constant(_EXP_SMALLEST), f.constant(0.0), result)
    return where(f, "uno", x, x, x, result)


def log(f: Function, x: str) -> str:
    """Natural logarithm, within 2 ulp.

    Of 0 it is -inf, of less and of NaN it is NaN, of infinity it is infinity. Cephes' method: x = 2^e (1 + g) with
    1 + g in [sqrt(1/2), sqrt(2)], a polynomial of g.
    """
    tiny = f.constant(_SMALLEST_NORMAL)
    normal = f.select_less(x, tiny, f.arithmetic("fmul", x, f.constant(8388608.0)), x)
    offset = _ints(f, 0x3F3504F3)  # the bits of sqrt(1/2)
    moved = f.op(f"sub {_int(f)} {_bits(f, normal)}, {offset}")
    power = f.op(f"sitofp {_int(f)} {_integer(f, 'ashr', moved, 23)} to {f.vector}")
    power = f.arithmetic("fadd", power, f.select_less(x, tiny, f.constant(-23.0), f.constant(0.0)))
    fraction = f.op(f"add {_int(f)} {_integer(f, 'and', moved, 0x7FFFFF)}, {offset}")
    g = f.arithmetic("fadd", _float(f, fraction), f.constant(-1.0))
    square = f.arithmetic("fmul", g, g)
    y = f.arithmetic("fmul", f.arithmetic("fmul", polynomial(f, g, _LOG), g), square)
    y = f.fma(power, f.constant(_LN2_LOW), y)
    y = f.fma(square, f.constant(-0.5), y)
    result = f.fma(power, f.constant(_LN2_HIGH), f.arithmetic("fadd", g, y))
    infinity = f.constant(float("inf"))
    result = f.select_less(x, infinity, result, x)
    result = where(f, "oeq", x, f.constant(0.0), f.constant(float("-inf")), result)
    return f.select_less(x, f.constant(0.0), f.constant(float("nan")), result)


def tanh(f: Function, x: str) -> str:
    """Hyperbolic tangent, relative error below 5e-7, within 7 ulp; 1 with the sign of x at infinity, NaN stays."""
    return _odd_rational(f, x, _TANH_LIMIT, _TANH_P, _TANH_Q)


def erf(f: Function, x: str) -> str:
    """Error function, relative error below 5e-7, within 7 ulp; 1 with the sign of x at infinity, NaN stays."""
    return _odd_rational(f, x, _ERF_LIMIT, _ERF_P, _ERF_Q)


_SCALEF_LANES = 16


def _exp_scalef(f: Function, x: str) -> str:
    """As `exp`, with AVX-512's instruction for y * 2^n, which does overflow, underflow and NaN by itself."""
    low, high = f.constant(-104.0), f.constant(89.0)
    bounded = where(f, "ogt", low, x, low, x)
    bounded = where(f, "olt", high, bounded, high, bounded)
    shifted, y = _exp_reduced(f, bounded)
    n = f.arithmetic("fsub", shifted, f.constant(_ROUND))
    name = "@llvm.x86.avx512.mask.scalef.ps.512"
    f.declare(f"declare {f.vector} {name}({f.vector}, {f.vector}, {f.vector}, i16, i32)")
    return f.op(f"call {f.vector} {name}({f.vector} {y}, {f.vector} {n}, {f.vector} zeroinitializer, i16 -1, i32 4)")


def _exp_reduced(f: Function, x: str) -> tuple[str, str]:
    """Return n + `_ROUND` and exp(x - n ln 2), where n is x / ln 2 rounded."""
    shifted = f.fma(x, f.constant(1.44269504088896341), f.constant(_ROUND))
    n = f.arithmetic("fsub", shifted, f.constant(_ROUND))
    r = f.fma(n, f.constant(-_LN2_HIGH), x)
    r = f.fma(n, f.constant(-_LN2_LOW), r)
    square = f.arithmetic("fmul", r, r)
    y = f.fma(polynomial(f, r, _EXP), square, r)
    return shifted, f.arithmetic("fadd", y, f.constant(1.0))


def _odd_rational(f: Function, x: str, limit: float, p: Sequence[float], q: Sequence[float]) -> str:
    """X P(x^2) / Q(x^2) inside the limit, the sign of x outside."""
    square = f.arithmetic("fmul", x, x)
    quotient = f.arithmetic("fdiv", f.arithmetic("fmul", x, polynomial(f, square, p)), polynomial(f, square, q))
    one = f.constant(1.0)
    # The quotient may exceed 1 by its rounding error.
    size = f.intrinsic("fabs", quotient)
    size = where(f, "ogt", size, one, one, size)
    size = where(f, "ogt", f.intrinsic("fabs", x), f.constant(limit), one, size)
    return f.intrinsic("copysign", size, x)


def polynomial(f: Function, x: str, coefficients: Sequence[float]) -> str:
    """Horner's rule; the highest power first."""
    result = f.constant(coefficients[0])
    for coefficient in coefficients[1:]:
        result = f.fma(result, x, f.constant(coefficient))
    return result


def where(f: Function, relation: str, a: str, b: str, yes: str, no: str) -> str:
    """`yes` in the lanes where `a relation b`, else `no`."""
    holds = f.op(f"fcmp {relation} {f.vector} {a}, {b}")
    return f.op(f"select <{f.lanes} x i1> {holds}, {f.vector} {yes}, {f.vector} {no}")


def _int(f: Function) -> str:
    return f"<{f.lanes} x i32>"


def _ints(f: Function, value: int) -> str:
    return "<" + ", ".join([f"i32 {value}"] * f.lanes) + ">"


def _bits(f: Function, x: str) -> str:
    return f.op(f"bitcast {f.vector} {x} to {_int(f)}")


def _float(f: Function, x: str) -> str:
    return f.op(f"bitcast {_int(f)} {x} to {f.vector}")


def _integer(f: Function, op: str, x: str, value: int) -> str:
    return f.op(f"{op} {_int(f)} {x}, {_ints(f, value)}")
