"""Vector registers of any element type, for kernels that are not of float32 alone.

In: an element type and a number of lanes. Out: typed loads, stores and arithmetic, appended to a function.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from alula.base.tensors import DType
from alula.engine.kernels.ir import Function, Index, float_literal

# LLVM's name of every element type that kernels compute with; signs are in the instructions.
_ELEMENTS: Mapping[DType, str] = MappingProxyType({
    DType.FLOAT32: "float", DType.FLOAT64: "double",
    DType.INT8: "i8", DType.INT16: "i16", DType.INT32: "i32", DType.INT64: "i64",
    DType.UINT8: "i8", DType.UINT16: "i16", DType.UINT32: "i32", DType.UINT64: "i64", DType.BOOL: "i8",
})  # fmt: skip
_UNSIGNED = frozenset({DType.UINT8, DType.UINT16, DType.UINT32, DType.UINT64, DType.BOOL})
_FLOATS = frozenset({DType.FLOAT32, DType.FLOAT64})
_ARITHMETIC: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"add": ("fadd", "add"), "sub": ("fsub", "sub"), "mul": ("fmul", "mul")}
)
_FLOAT_BYTES = 4


def computable(dtype: DType) -> bool:
    """Whether there are registers of an element type."""
    return dtype in _ELEMENTS


def element_name(dtype: DType) -> str:
    """LLVM's name of an element type."""
    return _ELEMENTS[dtype]


def full_width(f: Function, dtype: DType) -> int:
    """Elements of one whole register."""
    return f.lanes * _FLOAT_BYTES // dtype.itemsize


def widths_of(count: int, wide: int) -> list[tuple[int, int]]:
    """Cut `count` neighbours into whole registers and powers of two below: places and widths."""
    pieces = [(start, wide) for start in range(0, count - count % wide, wide)]
    start, width = count - count % wide, wide // 2
    while start < count:
        if width <= count - start:
            pieces.append((start, width))
            start += width
        width //= 2
    return pieces


@dataclass(frozen=True)
class Lanes:
    """A kind of register, `count` elements of `dtype`, in one function.

    Minimum and maximum of floats let NaN win, as numpy does; integers wrap.
    """

    f: Function
    dtype: DType
    count: int

    @property
    def element(self) -> str:
        """LLVM's name of one element."""
        return _ELEMENTS[self.dtype]

    @property
    def kind(self) -> str:
        """LLVM's name of the register's type."""
        return f"<{self.count} x {self.element}>"

    @property
    def is_float(self) -> bool:
        """Whether arithmetic rounds."""
        return self.dtype in _FLOATS

    def of(self, count: int) -> Lanes:
        """The same with another number of elements."""
        return replace(self, count=count)

    def load(self, pointer: str, offset: Index = 0) -> str:
        """A register from memory."""
        return self.f.op(f"load {self.kind}, ptr {self.f.at(pointer, offset, self.element)}, align 1")

    def store(self, value: str, pointer: str, offset: Index = 0) -> None:
        """A register into memory."""
        self.f.line(f"store {self.kind} {value}, ptr {self.f.at(pointer, offset, self.element)}, align 1")

    def literal(self, value: float) -> str:
        """One element, as LLVM writes it."""
        if not self.is_float:
            return str(int(value))
        if self.dtype is DType.FLOAT32:
            return float_literal(value)
        return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"

    def constant(self, value: float) -> str:
        """A register of equal literals."""
        return "<" + ", ".join([f"{self.element} {self.literal(value)}"] * self.count) + ">"

    @property
    def one(self) -> str:
        """A register of ones."""
        return self.constant(1)

    @property
    def lowest(self) -> str:
        """A register that no element is below."""
        return self.constant(self._end(lowest=True))

    @property
    def highest(self) -> str:
        """A register that no element is above."""
        return self.constant(self._end(lowest=False))

    def _end(self, *, lowest: bool) -> float:
        if self.is_float:
            return float("-inf") if lowest else float("inf")
        bits = 8 * self.dtype.itemsize
        if self.dtype in _UNSIGNED:
            return 0 if lowest else (1 << bits) - 1
        return -(1 << (bits - 1)) if lowest else (1 << (bits - 1)) - 1

    def splat(self, scalar: str) -> str:
        """A register of equal elements."""
        first = self.f.op(f"insertelement {self.kind} poison, {self.element} {scalar}, i32 0")
        zeros = f"<{self.count} x i32> zeroinitializer"
        return self.f.op(f"shufflevector {self.kind} {first}, {self.kind} poison, {zeros}")

    def first(self, value: str) -> str:
        """The first element."""
        return self.f.op(f"extractelement {self.kind} {value}, i32 0")

    def arithmetic(self, name: str, a: str, b: str) -> str:
        """`add`, `sub` or `mul`."""
        return self.f.op(f"{_ARITHMETIC[name][not self.is_float]} {self.kind} {a}, {b}")

    def extreme(self, name: str, a: str, b: str) -> str:
        """The lane-wise `max` or `min`."""
        if self.is_float:
            return self.intrinsic(f"{name}imum", a, b)
        return self.intrinsic(f"{'u' if self.dtype in _UNSIGNED else 's'}{name}", a, b)

    def size(self, value: str) -> str:
        """The absolute value; of unsigned integers nothing changes."""
        if self.is_float:
            return self.intrinsic("fabs", value)
        return (
            value if self.dtype in _UNSIGNED else self.extreme("max", value, self.arithmetic("sub", self.zero, value))
        )

    @property
    def zero(self) -> str:
        """A register of zeros."""
        return "zeroinitializer"

    def divided(self, value: str, by: int) -> str:
        """Value / by; integers are rounded towards 0."""
        op = "fdiv" if self.is_float else "udiv" if self.dtype in _UNSIGNED else "sdiv"
        return self.f.op(f"{op} {self.kind} {value}, {self.constant(by)}")

    def compare(self, relation: str, a: str, b: str) -> str:
        """Booleans, lane by lane; `relation` is `lt`, `gt`, `le`, `ge`, `eq` or `ne`, false of NaN but for `ne`."""
        if self.is_float:
            return self.f.op(f"fcmp {'une' if relation == 'ne' else 'o' + relation} {self.kind} {a}, {b}")
        sign = "" if relation in {"eq", "ne"} else "u" if self.dtype in _UNSIGNED else "s"
        return self.f.op(f"icmp {sign}{relation} {self.kind} {a}, {b}")

    def choose(self, mask: str, yes: str, no: str) -> str:
        """Lane by lane, `yes` where the booleans are true."""
        return self.f.op(f"select <{self.count} x i1> {mask}, {self.kind} {yes}, {self.kind} {no}")

    def intrinsic(self, name: str, *operands: str) -> str:
        """An LLVM intrinsic that takes and gives such registers."""
        letter = "f" if self.is_float else "i"
        full = f"@llvm.{name}.v{self.count}{letter}{8 * self.dtype.itemsize}"
        self.f.declare(f"declare {self.kind} {full}({', '.join([self.kind] * len(operands))})")
        return self.f.op(f"call {self.kind} {full}({', '.join(f'{self.kind} {o}' for o in operands)})")

    def halves(self, value: str) -> tuple[str, str]:
        """The lower and the upper half, registers of half the lanes."""
        half = self.count // 2
        parts = []
        for start in (0, half):
            lanes = ", ".join(f"i32 {start + lane}" for lane in range(half))
            picked = f"{self.kind} {value}, {self.kind} poison, <{half} x i32> <{lanes}>"
            parts.append(self.f.op(f"shufflevector {picked}"))
        return parts[0], parts[1]
