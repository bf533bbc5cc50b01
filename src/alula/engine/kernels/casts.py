"""Casts between element types, a vector at a time.

In: a register of one type. Out: one of another; the same numbers on every instruction set.
"""

from __future__ import annotations

from alula.base.tensors import DType
from alula.engine.graph.primitives import REALS, SINGLE, UNSIGNED
from alula.engine.kernels.elements import constant, register_kind, round_single
from alula.engine.kernels.ir import Function

_WIDE = 8


def cast(f: Function, source: DType, to: DType, x: str) -> str:
    """`x` of type `source` as type `to`; see the primitive `cast` for what has no place in an integer."""
    if to is DType.BOOL:
        return _to_bool(f, source, x)
    if source not in REALS:
        return _from_integer(f, source, to, x)
    if to in SINGLE:
        return round_single(f, to, x if source in SINGLE else _to_single(f, to, x))
    if to is DType.FLOAT64:
        return _convert(f, "fpext", source, to, x) if source in SINGLE else x
    return _to_integer(f, source, to, x)


def _convert(f: Function, op: str, source: DType, to: DType, x: str) -> str:
    return f.op(f"{op} {f.vector_of(register_kind(source))} {x} to {f.vector_of(register_kind(to))}")


def _to_bool(f: Function, source: DType, x: str) -> str:
    """Not 0; real numbers by their bits, since runs may read subnormals as 0."""
    if source is DType.BOOL:
        return x
    kind = register_kind(source)
    if source in REALS:
        bits = DType.INT64 if source is DType.FLOAT64 else DType.INT32
        whole = f.op(f"bitcast {f.vector_of(kind)} {x} to {f.vector_of(register_kind(bits))}")
        kind = register_kind(bits)
        x = f.op(f"shl {f.vector_of(kind)} {whole}, {constant(f, bits, 1)}")
    return f.op(f"icmp ne {f.vector_of(kind)} {x}, zeroinitializer")


def _from_integer(f: Function, source: DType, to: DType, x: str) -> str:
    unsigned = source in UNSIGNED or source is DType.BOOL
    if to in REALS:
        real = _convert(f, "uitofp" if unsigned else "sitofp", source, to, x)
        return round_single(f, to, real) if to in SINGLE else real
    before, after = (0 if kind is DType.BOOL else kind.itemsize for kind in (source, to))
    if before == after:
        return x
    return _convert(f, "trunc" if before > after else "zext" if unsigned else "sext", source, to, x)


def _to_single(f: Function, to: DType, x: str) -> str:
    """float64 as float32; on the way to float16 with the last bit set where anything was cut off.

    Rounding twice would go wrong at ties; rounding to odd first does not (S. Boldo and G. Melquiond, "Emulation of FMA
    and correctly rounded sums: proved algorithms using rounding to odd", 2008).
    """
    near = _convert(f, "fptrunc", DType.FLOAT64, DType.FLOAT32, x)
    if to is not DType.FLOAT16:
        return near
    double, ints, flags = f.vector_of("double"), f.vector_of("i32"), f.vector_of("i1")
    back = f.op(f"fpext {f.vector} {near} to {double}")
    sizes = [f.intrinsic("fabs", value, kind="double") for value in (x, back)]
    below = f.op(f"fcmp olt {double} {sizes[0]}, {sizes[1]}")
    inexact = f.op(f"fcmp one {double} {sizes[0]}, {sizes[1]}")
    bits = f.op(f"bitcast {f.vector} {near} to {ints}")
    one, zero = constant(f, DType.INT32, 1), constant(f, DType.INT32, 0)
    less = f.op(f"select {flags} {below}, {ints} {one}, {ints} {zero}")
    cut = f.op(f"sub {ints} {bits}, {less}")
    odd = f.op(f"or {ints} {cut}, {one}")
    result = f.op(f"select {flags} {inexact}, {ints} {odd}, {ints} {bits}")
    return f.op(f"bitcast {ints} {result} to {f.vector}")


def _to_integer(f: Function, source: DType, to: DType, x: str) -> str:
    """Through int32 or int64; unsigned types as wide as that take their upper half by an offset."""
    wide = to.itemsize == _WIDE
    middle = DType.INT64 if wide else DType.INT32
    if to not in (DType.UINT32, DType.UINT64):
        return _from_integer(f, middle, to, _to_signed(f, source, middle, x))
    kind, ints = f.vector_of(register_kind(source)), f.vector_of(register_kind(middle))
    half = constant(f, source, 2.0 ** (63 if wide else 31))
    high = f.op(f"fcmp oge {kind} {x}, {half}")
    lower = f.op(f"fsub {kind} {x}, {half}")
    flags = f.vector_of("i1")
    near = _to_signed(f, source, middle, f.op(f"select {flags} {high}, {kind} {lower}, {kind} {x}"))
    top = constant(f, middle, -(1 << (63 if wide else 31)))
    flipped = f.op(f"xor {ints} {near}, {top}")
    return f.op(f"select {flags} {high}, {ints} {flipped}, {ints} {near}")


def _to_signed(f: Function, source: DType, to: DType, x: str) -> str:
    """Cut towards zero; the least integer for what is out of range or NaN."""
    kind, ints, bits = register_kind(source), f.vector_of(register_kind(to)), 8 * to.itemsize
    whole = _convert(f, "fptosi", source, to, x)
    size = f.intrinsic("fabs", x, kind=kind)
    inside = f.op(f"fcmp olt {f.vector_of(kind)} {size}, {constant(f, source, 2.0 ** (bits - 1))}")
    least = constant(f, to, -(1 << (bits - 1)))
    return f.op(f"select {f.vector_of('i1')} {inside}, {ints} {whole}, {ints} {least}")
