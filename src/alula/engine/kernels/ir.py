"""A writer of LLVM IR text: functions with loops, index arithmetic and vectors.

In: calls in program order. Out: the text of a module. Indices are Python ints while they are known and SSA names of
type i64 once they are not; arithmetic on known ones happens here and leaves no instruction.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from alula.engine.kernels.target import Target

Index = int | str
Carried = list[str]
LoopBody = Callable[[Index, Carried], Carried]


def float_literal(value: float) -> str:
    """A float32 constant as LLVM writes it: the bits of the double that equals it."""
    single = struct.unpack("<f", struct.pack("<f", value))[0]
    return f"0x{struct.unpack('<Q', struct.pack('<d', single))[0]:016X}"


_SUFFIXES = {"half": "f16", "float": "f32", "double": "f64"}
_BYTES = {"half": 2, "float": 4, "double": 8}


def bytes_of(kind: str) -> int:
    """The size of an element in memory, which is its alignment too."""
    return _BYTES[kind] if kind in _BYTES else int(kind[1:]) // 8


class Function:
    """One function under construction; owned by one emitter.

    Args:
        name: symbol name.
        pointers: names of the pointer parameters; no two of them alias.
        indices: names of the i64 parameters that follow.
        target: the machine, for vector types.
        internal: hide the symbol from the linker.
    """

    def __init__(
        self,
        name: str,
        pointers: Sequence[str],
        target: Target,
        *,
        indices: Sequence[str] = ("lo", "hi"),
        internal: bool = False,
    ) -> None:
        self.name = name
        self.target = target
        self.lanes = target.lanes
        self.vector = f"<{target.lanes} x float>"
        self.declarations: set[str] = set()
        self._pointers = tuple(pointers)
        self._indices = tuple(indices)
        self._internal = internal
        self._lines: list[str] = []
        self._count = 0
        self._block = "entry"

    # -- text ---------------------------------------------------------------------------------------------------------

    def fresh(self) -> str:
        """An SSA name that nobody has."""
        self._count += 1
        return f"%v{self._count}"

    def line(self, text: str) -> None:
        """Append an instruction without a result."""
        self._lines.append(f"  {text}")

    def op(self, text: str) -> str:
        """Append an instruction; returns the name of its result."""
        name = self.fresh()
        self._lines.append(f"  {name} = {text}")
        return name

    def declare(self, text: str) -> None:
        """Note an intrinsic that the module has to declare."""
        self.declarations.add(text)

    def text(self) -> str:
        """The finished function, without declarations."""
        linkage = "internal " if self._internal else ""
        parameters = [f"ptr noalias %{name}" for name in self._pointers] + [f"i64 %{name}" for name in self._indices]
        head = f"define {linkage}void @{self.name}({', '.join(parameters)}) nounwind {{"
        return "\n".join([head, "entry:", *self._lines, "  ret void", "}", ""])

    @contextmanager
    def of_width(self, lanes: int) -> Iterator[None]:
        """Within it, vectors are of another width: for what remains of a row."""
        before = self.lanes, self.vector
        self.lanes, self.vector = lanes, f"<{lanes} x float>"
        yield
        self.lanes, self.vector = before

    # -- control ------------------------------------------------------------------------------------------------------

    def loop(
        self,
        lo: Index,
        hi: Index,
        step: int,
        body: LoopBody,
        carried: Sequence[str] = (),
        kind: str | Sequence[str] = "",
    ) -> Carried:
        """For index from `lo` below `hi`; `body` gets the index and the carried values and returns the new ones.

        `kind` is the type of the carried values (default: the vector type), or one type for each. A loop of one known
        trip leaves no loop, one of no trip leaves nothing; a loop of unknown trips tests before the first.
        """
        if isinstance(lo, int) and isinstance(hi, int):
            if hi <= lo:
                return list(carried)
            if hi - lo <= step:
                return body(lo, list(carried))
        certain = isinstance(lo, int) and isinstance(hi, int)
        start, after = self._label("loop"), self._label("done")
        before = self._block
        if certain:
            self.line(f"br label %{start}")
        else:
            self.line(f"br i1 {self.op(f'icmp slt i64 {lo}, {hi}')}, label %{start}, label %{after}")
        self._open(start)
        index = self.fresh()
        entering = [self.fresh() for _ in carried]
        mark = len(self._lines)
        leaving = body(index, list(entering))
        following = self.op(f"add nuw nsw i64 {index}, {step}")
        again = self.op(f"icmp slt i64 {following}, {hi}")
        end = self._block
        self.line(f"br i1 {again}, label %{start}, label %{after}")
        kinds = [kind or self.vector] * len(carried) if isinstance(kind, str) else kind
        phis = [f"  {index} = phi i64 [ {lo}, %{before} ], [ {following}, %{end} ]"]
        for name, of, first, last in zip(entering, kinds, carried, leaving, strict=True):
            phis.append(f"  {name} = phi {of} [ {first}, %{before} ], [ {last}, %{end} ]")
        self._lines[mark:mark] = phis
        self._open(after)
        if certain or not carried:
            return leaving
        results = [self.fresh() for _ in carried]
        for name, of, first, last in zip(results, kinds, carried, leaving, strict=True):
            self._lines.append(f"  {name} = phi {of} [ {first}, %{before} ], [ {last}, %{end} ]")
        return results

    def when(self, condition: str, body: Callable[[], None]) -> None:
        """Run `body` only if the i1 `condition` holds."""
        inside, after = self._label("then"), self._label("fi")
        self.line(f"br i1 {condition}, label %{inside}, label %{after}")
        self._open(inside)
        body()
        self.line(f"br label %{after}")
        self._open(after)

    def call(self, name: str, pointers: Sequence[str], indices: Sequence[Index]) -> None:
        """Call another function of the same kind."""
        arguments = [f"ptr {p}" for p in pointers] + [f"i64 {i}" for i in indices]
        self.line(f"call void @{name}({', '.join(arguments)})")

    # -- indices ------------------------------------------------------------------------------------------------------

    def add(self, a: Index, b: Index) -> Index:
        """a + b."""
        if isinstance(a, int) and isinstance(b, int):
            return a + b
        if a == 0 or b == 0:
            return b if a == 0 else a
        return self.op(f"add nsw i64 {a}, {b}")

    def sub(self, a: Index, b: Index) -> Index:
        """a - b."""
        if isinstance(a, int) and isinstance(b, int):
            return a - b
        return a if b == 0 else self.op(f"sub nsw i64 {a}, {b}")

    def mul(self, a: Index, b: Index) -> Index:
        """a * b."""
        if isinstance(a, int) and isinstance(b, int):
            return a * b
        if a == 0 or b == 0:
            return 0
        if a == 1 or b == 1:
            return b if a == 1 else a
        return self.op(f"mul nsw i64 {a}, {b}")

    def div(self, a: Index, b: int) -> Index:
        """a // b for a >= 0."""
        if isinstance(a, int):
            return a // b
        return a if b == 1 else self.op(f"udiv i64 {a}, {b}")

    def mod(self, a: Index, b: int) -> Index:
        """A modulo b for a >= 0."""
        if isinstance(a, int):
            return a % b
        return 0 if b == 1 else self.op(f"urem i64 {a}, {b}")

    def least(self, a: Index, b: Index) -> Index:
        """The smaller, signed."""
        return self._extreme("smin", a, b)

    def most(self, a: Index, b: Index) -> Index:
        """The larger, signed."""
        return self._extreme("smax", a, b)

    def compare(self, relation: str, a: Index, b: Index) -> str:
        """An i1: `relation` is LLVM's, such as `slt` or `ult`."""
        return self.op(f"icmp {relation} i64 {a}, {b}")

    def _extreme(self, name: str, a: Index, b: Index) -> Index:
        if isinstance(a, int) and isinstance(b, int):
            return min(a, b) if name == "smin" else max(a, b)
        self.declare(f"declare i64 @llvm.{name}.i64(i64, i64)")
        return self.op(f"call i64 @llvm.{name}.i64(i64 {a}, i64 {b})")

    # -- memory -------------------------------------------------------------------------------------------------------

    def at(self, pointer: str, offset: Index, element: str = "float") -> str:
        """The address of element `offset`."""
        if offset == 0:
            return pointer
        return self.op(f"getelementptr inbounds {element}, ptr {pointer}, i64 {offset}")

    def choose(self, condition: str, a: str, b: str, kind: str = "ptr") -> str:
        """A if the i1 `condition` holds, else b."""
        return self.op(f"select i1 {condition}, {kind} {a}, {kind} {b}")

    def launder(self, pointer: str) -> str:
        """The same address, hidden from common-subexpression elimination.

        LLVM otherwise keeps broadcasts that neighbouring taps share in registers and spills them to the stack.
        """
        return self.op(f'call ptr asm "", "=r,0"(ptr {pointer})')

    def load(self, pointer: str, offset: Index = 0, *, align: int = 4) -> str:
        """A whole vector of floats."""
        return self.op(f"load {self.vector}, ptr {self.at(pointer, offset)}, align {align}")

    def store(self, value: str, pointer: str, offset: Index = 0, *, align: int = 4) -> None:
        """Write a whole vector of floats."""
        self.line(f"store {self.vector} {value}, ptr {self.at(pointer, offset)}, align {align}")

    def load_scalar(self, pointer: str, offset: Index = 0) -> str:
        """One float."""
        return self.op(f"load float, ptr {self.at(pointer, offset)}, align 4")

    def store_scalar(self, value: str, pointer: str, offset: Index = 0) -> None:
        """Write one float."""
        self.line(f"store float {value}, ptr {self.at(pointer, offset)}, align 4")

    def load_first(self, count: int, pointer: str, offset: Index = 0, kind: str = "float") -> str:
        """The first `count` lanes of elements of type `kind` from memory, zeros behind; reads nothing beyond them."""
        vector, align, place = self.vector_of(kind), bytes_of(kind), self.at(pointer, offset, kind)
        if count >= self.lanes:
            return self.op(f"load {vector}, ptr {place}, align {align}")
        name = f"@llvm.masked.load.{self._suffix(kind)}.p0"
        self.declare(f"declare {vector} {name}(ptr, i32, <{self.lanes} x i1>, {vector})")
        mask = self.first_lanes(count)
        return self.op(f"call {vector} {name}(ptr {place}, i32 {align}, {mask}, {vector} zeroinitializer)")

    def store_first(self, count: int, value: str, pointer: str, offset: Index = 0, kind: str = "float") -> None:
        """Write the first `count` lanes of elements of type `kind` and nothing beyond them."""
        vector, align, place = self.vector_of(kind), bytes_of(kind), self.at(pointer, offset, kind)
        if count >= self.lanes:
            self.line(f"store {vector} {value}, ptr {place}, align {align}")
            return
        if count == 1 and kind != "float":
            # LLVM 22 makes a masked store of one narrowed element a store of the whole wide one.
            first = self.op(f"extractelement {vector} {value}, i32 0")
            self.line(f"store {kind} {first}, ptr {place}, align {align}")
            return
        name = f"@llvm.masked.store.{self._suffix(kind)}.p0"
        self.declare(f"declare void {name}({vector}, ptr, i32, <{self.lanes} x i1>)")
        self.line(f"call void {name}({vector} {value}, ptr {place}, i32 {align}, {self.first_lanes(count)})")

    def prefetch(self, pointer: str, offset: Index = 0, locality: int = 2) -> None:
        """Ask for the cache line at an address; never faults."""
        self.declare("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        address = self.at(pointer, offset)
        self.line(f"call void @llvm.prefetch.p0(ptr {address}, i32 0, i32 {locality}, i32 1)")

    def _suffix(self, kind: str = "float") -> str:
        return f"v{self.lanes}{_SUFFIXES.get(kind, kind)}"

    def first_lanes(self, count: int) -> str:
        """The mask, with its type, that holds in the first `count` lanes."""
        bits = ", ".join(f"i1 {'true' if lane < count else 'false'}" for lane in range(self.lanes))
        return f"<{self.lanes} x i1> <{bits}>"

    # -- vectors ------------------------------------------------------------------------------------------------------

    def constant(self, value: float) -> str:
        """A vector of equal literals."""
        if value == 0 and str(value) == "0.0":
            return "zeroinitializer"
        return "<" + ", ".join([f"float {float_literal(value)}"] * self.lanes) + ">"

    def vector_of(self, kind: str) -> str:
        """The type of a vector of as many elements of type `kind` as there are lanes."""
        return f"<{self.lanes} x {kind}>"

    def splat(self, scalar: str, kind: str = "float") -> str:
        """A vector of equal elements of type `kind`."""
        vector = self.vector_of(kind)
        first = self.op(f"insertelement {vector} poison, {kind} {scalar}, i32 0")
        zeros = f"<{self.lanes} x i32> zeroinitializer"
        return self.op(f"shufflevector {vector} {first}, {vector} poison, {zeros}")

    def broadcast(self, pointer: str, offset: Index = 0, kind: str = "float") -> str:
        """A vector of one element of type `kind` from memory."""
        place = self.at(pointer, offset, kind)
        return self.splat(self.op(f"load {kind}, ptr {place}, align {bytes_of(kind)}"), kind)

    def arithmetic(self, op: str, a: str, b: str) -> str:
        """Vector `fadd`, `fsub`, `fmul` or `fdiv`."""
        return self.op(f"{op} {self.vector} {a}, {b}")

    def fma(self, a: str, b: str, c: str) -> str:
        """A * b + c: one rounding where the machine has it in one instruction, two elsewhere."""
        if not self.target.fma:
            return self.arithmetic("fadd", self.arithmetic("fmul", a, b), c)
        return self.intrinsic("fma", a, b, c)

    def intrinsic(self, name: str, *operands: str, kind: str = "float") -> str:
        """An LLVM intrinsic such as `sqrt` or `maximum` over vectors of elements of type `kind`."""
        vector, full = self.vector_of(kind), f"@llvm.{name}.{self._suffix(kind)}"
        self.declare(f"declare {vector} {full}({', '.join([vector] * len(operands))})")
        return self.op(f"call {vector} {full}({', '.join(f'{vector} {o}' for o in operands)})")

    def select_less(self, a: str, b: str, yes: str, no: str) -> str:
        """Lane by lane: `yes` where a < b (false for NaN), else `no`."""
        less = self.op(f"fcmp olt {self.vector} {a}, {b}")
        return self.op(f"select <{self.lanes} x i1> {less}, {self.vector} {yes}, {self.vector} {no}")

    def _label(self, stem: str) -> str:
        self._count += 1
        return f"{stem}{self._count}"

    def _open(self, label: str) -> None:
        self._lines.append(f"{label}:")
        self._block = label


def module(*functions: Function) -> str:
    """The text of a module: declarations once, then the functions."""
    declarations = sorted({line for function in functions for line in function.declarations})
    return "\n".join([*declarations, "", *(function.text() for function in functions)])
