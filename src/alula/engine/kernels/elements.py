"""Element types in vector registers and in memory.

In: a DType. Out: LLVM's type for it, constants, loads that widen and stores that round.

bool is i8 in memory and i1 in registers; float16 and bfloat16 are 16 bits in memory and float in registers.
"""

from __future__ import annotations

import struct

from alula.base.tensors import DType
from alula.engine.graph.primitives import SINGLE
from alula.engine.kernels.ir import Function, Index
from alula.engine.kernels.target import Target

# Beyond the largest float32 by half a step: what rounds to infinity.
_OVERFLOW = 3.4028235677973366e38


def register_kind(dtype: DType) -> str:
    """LLVM's type of an element in a register."""
    if dtype in SINGLE:
        return "float"
    if dtype is DType.FLOAT64:
        return "double"
    return "i1" if dtype is DType.BOOL else f"i{8 * dtype.itemsize}"


def memory_kind(dtype: DType, target: Target) -> str:
    """LLVM's type of an element in memory."""
    if dtype is DType.FLOAT16 and has_half(target):
        return "half"
    if dtype in (DType.FLOAT32, DType.FLOAT64):
        return register_kind(dtype)
    return f"i{8 * dtype.itemsize}"


def has_half(target: Target) -> bool:
    """Whether float16 is converted by instructions; on x86-64 they are F16C, which comes with x86-64-v3."""
    return "f16c" in target.needs or not target.triple.startswith("x86_64")


def constant(f: Function, dtype: DType, value: float) -> str:
    """A vector of equal literals."""
    if dtype in SINGLE:
        finite = abs(value) < _OVERFLOW or value != value  # noqa: PLR0124  NaN
        return f.constant(value if finite else float("inf") if value > 0 else float("-inf"))
    kind = register_kind(dtype)
    text = f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}" if kind == "double" else str(int(value))
    return "<" + ", ".join([f"{kind} {text}"] * f.lanes) + ">"


def load_elements(f: Function, dtype: DType, count: int, pointer: str, offset: Index = 0) -> str:
    """The first `count` lanes, zeros behind, as a register."""
    return _widened(f, dtype, f.load_first(count, pointer, offset, memory_kind(dtype, f.target)))


def broadcast_element(f: Function, dtype: DType, pointer: str) -> str:
    """One element in every lane."""
    return _widened(f, dtype, f.broadcast(pointer, 0, memory_kind(dtype, f.target)))


def store_elements(f: Function, dtype: DType, count: int, value: str, pointer: str, offset: Index = 0) -> None:
    """Write the first `count` lanes of a register, real numbers rounded to the nearest, ties to even."""
    f.store_first(count, _narrowed(f, dtype, value), pointer, offset, memory_kind(dtype, f.target))


def round_single(f: Function, dtype: DType, value: str) -> str:
    """Floats rounded to what float16 or bfloat16 can hold; as they are for float32."""
    return value if dtype is DType.FLOAT32 else _widened(f, dtype, _narrowed(f, dtype, value))


def _widened(f: Function, dtype: DType, raw: str) -> str:
    if dtype is DType.BOOL:
        return f.op(f"icmp ne {f.vector_of('i8')} {raw}, zeroinitializer")
    if dtype is DType.BFLOAT16:
        wide = f.op(f"zext {f.vector_of('i16')} {raw} to {f.vector_of('i32')}")
        return _as_float(f, _int(f, "shl", wide, 16))
    if dtype is DType.FLOAT16:
        return f.op(f"fpext {f.vector_of('half')} {raw} to {f.vector}") if has_half(f.target) else _from_half(f, raw)
    return raw


def _narrowed(f: Function, dtype: DType, value: str) -> str:
    if dtype is DType.BOOL:
        return f.op(f"zext {f.vector_of('i1')} {value} to {f.vector_of('i8')}")
    if dtype is DType.BFLOAT16:
        return _to_brain(f, value)
    if dtype is not DType.FLOAT16:
        return value
    return f.op(f"fptrunc {f.vector} {value} to {f.vector_of('half')}") if has_half(f.target) else _to_half(f, value)


def _to_brain(f: Function, value: str) -> str:
    """The upper half of a float32, rounded: half a step less one, and one more where the last kept bit is set."""
    bits = _as_bits(f, value)
    last = _int(f, "and", _int(f, "lshr", bits, 16), 1)
    rounded = _add(f, _add(f, bits, constant(f, DType.INT32, 0x7FFF)), last)
    quiet = _int(f, "or", bits, 0x400000)
    nan = f.op(f"fcmp uno {f.vector} {value}, {value}")
    upper = _int(f, "lshr", _choose(f, nan, quiet, rounded), 16)
    return f.op(f"trunc {f.vector_of('i32')} {upper} to {f.vector_of('i16')}")


def _from_half(f: Function, raw: str) -> str:
    """float16 by integer arithmetic; no step passes through a subnormal float32, which runs may flush to zero.

    After F. Giesen, "Float to half conversions" (2012): the exponent is moved from a bias of 15 to one of 127.
    """
    wide = f.op(f"zext {f.vector_of('i16')} {raw} to {f.vector_of('i32')}")
    size = _int(f, "and", wide, 0x7FFF)
    moved = _int(f, "add", _int(f, "shl", size, 13), 112 << 23)
    special = _int(f, "add", moved, 112 << 23)
    normal = _choose(f, _compare(f, "uge", size, 0x7C00), special, moved)
    counted = f.op(f"uitofp {f.vector_of('i32')} {size} to {f.vector}")
    tiny = _as_bits(f, f.arithmetic("fmul", counted, f.constant(2.0**-24)))
    magnitude = _choose(f, _compare(f, "ult", size, 0x0400), tiny, normal)
    sign = _int(f, "shl", _int(f, "and", wide, 0x8000), 16)
    return _as_float(f, f.op(f"or {f.vector_of('i32')} {magnitude}, {sign}"))


def _to_half(f: Function, value: str) -> str:
    """float16 by integer arithmetic, rounded to the nearest, ties to even (Giesen 2012, as above)."""
    bits = _as_bits(f, value)
    size = _int(f, "and", bits, 0x7FFFFFFF)
    last = _int(f, "and", _int(f, "lshr", size, 13), 1)
    # 112 << 23 is taken from the exponent; the carry of rounding runs into it, up to infinity.
    normal = _int(f, "lshr", _add(f, _int(f, "add", size, 0xFFF - (112 << 23)), last), 13)
    # Below 2^-14, adding 1/2 puts the last bit of a subnormal float16 where that of the sum is.
    shifted = f.arithmetic("fadd", _as_float(f, size), f.constant(0.5))
    tiny = _int(f, "sub", _as_bits(f, shifted), 126 << 23)
    infinite = constant(f, DType.INT32, 0x7C00)
    beyond = _choose(f, _compare(f, "ugt", size, 0x7F800000), constant(f, DType.INT32, 0x7E00), infinite)
    magnitude = _choose(f, _compare(f, "ult", size, 113 << 23), tiny, normal)
    magnitude = _choose(f, _compare(f, "uge", size, 143 << 23), beyond, magnitude)
    sign = _int(f, "and", _int(f, "lshr", bits, 16), 0x8000)
    whole = f.op(f"or {f.vector_of('i32')} {magnitude}, {sign}")
    return f.op(f"trunc {f.vector_of('i32')} {whole} to {f.vector_of('i16')}")


def _int(f: Function, op: str, x: str, value: int) -> str:
    return f.op(f"{op} {f.vector_of('i32')} {x}, {constant(f, DType.INT32, value)}")


def _add(f: Function, x: str, y: str) -> str:
    return f.op(f"add {f.vector_of('i32')} {x}, {y}")


def _compare(f: Function, relation: str, x: str, value: int) -> str:
    return f.op(f"icmp {relation} {f.vector_of('i32')} {x}, {constant(f, DType.INT32, value)}")


def _choose(f: Function, condition: str, yes: str, no: str) -> str:
    vector = f.vector_of("i32")
    return f.op(f"select {f.vector_of('i1')} {condition}, {vector} {yes}, {vector} {no}")


def _as_bits(f: Function, x: str) -> str:
    return f.op(f"bitcast {f.vector} {x} to {f.vector_of('i32')}")


def _as_float(f: Function, x: str) -> str:
    return f.op(f"bitcast {f.vector_of('i32')} {x} to {f.vector}")
