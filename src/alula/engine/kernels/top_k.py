"""The k largest or smallest elements along an axis, in order, and where they stand.

In: a dense tensor seen as [outer, axis, inner]. Out: values and int64 positions, both [outer, k, inner].
"""

from __future__ import annotations

from dataclasses import dataclass

from alula.base.tensors import DType
from alula.engine.kernels.ir import Carried, Function, Index, module
from alula.engine.kernels.lanes import Lanes, element_name
from alula.engine.kernels.target import Target

_KEY_BYTES = 8
_SIGN = -(1 << 31)
_QUIET_NAN = 0x7FC00000
# Element types of at most 32 bits whose order a key can hold.
SORTABLE = frozenset({
    DType.FLOAT32, DType.INT32, DType.INT16, DType.INT8, DType.UINT32, DType.UINT16, DType.UINT8,
})  # fmt: skip
_UNSIGNED = frozenset({DType.UINT32, DType.UINT16, DType.UINT8})


@dataclass(frozen=True)
class TopK:
    """Values in order, lower positions first among equals. Operands: x, scratch, [values], [positions].

    NaN counts as larger than everything, 0 and -0 as equal. A work unit is one column of one outer position. Each
    element becomes a key, its value's order in the upper half and its position in the lower, so that no two are equal;
    keys are sorted by merging, and runs are cut off after k (D. E. Knuth, The Art of Computer Programming 3, 5.2.4).

    Attributes:
        values: whether values are wanted; `places` likewise.
    """

    dtype: DType
    outer: int
    axis: int
    inner: int
    count: int
    largest: bool = True
    values: bool = True
    places: bool = True

    family = "top k"

    @property
    def units(self) -> int:
        """Columns."""
        return self.outer * self.inner

    @property
    def slots(self) -> int:
        """Keys of one buffer: a power of two."""
        return 1 << (self.axis - 1).bit_length()

    @property
    def scratch(self) -> int:
        """Two buffers, each with a slot behind it that is read and not used."""
        return 2 * (self.slots + 1) * _KEY_BYTES

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        f = Function(name, ("x", "s", *["values"] * self.values, *["places"] * self.places), target)
        element = element_name(self.dtype)

        def unit(index: Index, _: Carried) -> Carried:
            outer, column = f.div(index, self.inner), f.mod(index, self.inner)
            x = f.at("%x", f.add(f.mul(outer, self.axis * self.inner), column), element)
            self._fill(f, x)
            self._take(f, x, self._sort(f), f.add(f.mul(outer, self.count * self.inner), column))
            return []

        f.loop("%lo", "%hi", 1, unit)
        return module(f)

    def _fill(self, f: Function, x: str) -> None:
        """Keys of all elements, and of none behind them, into the first buffer."""
        element = element_name(self.dtype)

        def key(index: Index, _: Carried) -> Carried:
            value = f.op(f"load {element}, ptr {f.at(x, f.mul(index, self.inner), element)}, align 1")
            order = f.op(f"zext i32 {self._order(f, value)} to i64")
            whole = f.op(f"or i64 {f.op(f'shl i64 {order}, 32')}, {index}")
            f.line(f"store i64 {whole}, ptr {f.at('%s', index, 'i64')}, align 8")
            return []

        def nothing(index: Index, _: Carried) -> Carried:
            f.line(f"store i64 -1, ptr {f.at('%s', index, 'i64')}, align 8")
            return []

        f.loop(0, self.axis, 1, key)
        f.loop(self.axis, self.slots, 1, nothing)

    def _order(self, f: Function, value: str) -> str:
        """An unsigned i32 that is smaller for what comes earlier."""
        if self.dtype is DType.FLOAT32:
            bits = self._float_bits(f, value)
            turned = f.op(f"or i32 {f.op(f'ashr i32 {bits}, 31')}, {_SIGN}")
            order = f.op(f"xor i32 {bits}, {turned}")
        else:
            kind = element_name(self.dtype)
            extend = "zext" if self.dtype in _UNSIGNED else "sext"
            order = value if kind == "i32" else f.op(f"{extend} {kind} {value} to i32")
            order = order if self.dtype in _UNSIGNED else f.op(f"xor i32 {order}, {_SIGN}")
        return f.op(f"xor i32 {order}, -1") if self.largest else order

    @staticmethod
    def _float_bits(f: Function, value: str) -> str:
        """The bits of a float; those of one NaN for all, those of 0 for -0."""
        lanes = Lanes(f, DType.FLOAT32, 1)
        zeroed = f.op(f"fadd float {value}, {lanes.literal(0.0)}")
        bits = f.op(f"bitcast float {zeroed} to i32")
        return f.op(f"select i1 {f.op(f'fcmp uno float {value}, {value}')}, i32 {_QUIET_NAN}, i32 {bits}")

    def _sort(self, f: Function) -> str:
        """Merge runs until one is left; returns the buffer that holds it."""
        source, other = "%s", f.at("%s", self.slots + 1, "i64")
        width = 1
        while width < self.slots:
            self._merge_all(f, (source, other), width)
            source, other = other, source
            width *= 2
        return source

    def _merge_all(self, f: Function, buffers: tuple[str, str], width: int) -> None:
        """Merge neighbouring runs `width` apart, as far as they can matter."""
        run, result = min(width, self.count), min(2 * width, self.count)

        def pair(base: Index, _: Carried) -> Carried:
            first, target = (f.at(buffer, base, "i64") for buffer in buffers)
            second = f.at(first, width, "i64")

            def pick(place: Index, held: Carried) -> Carried:
                a, b = (_load(f, pointer, index) for pointer, index in zip((first, second), held, strict=True))
                open_ = f.op(f"and i1 {f.compare('slt', held[0], run)}, {f.compare('ult', a, b)}")
                from_first = f.op(f"or i1 {f.compare('sge', held[1], run)}, {open_}")
                f.line(f"store i64 {f.choose(from_first, a, b, 'i64')}, ptr {f.at(target, place, 'i64')}, align 8")
                step = f.op(f"zext i1 {from_first} to i64")
                return [str(f.add(held[0], step)), str(f.add(held[1], f.sub(1, step)))]

            f.loop(0, result, 1, pick, ["0", "0"], "i64")
            return []

        f.loop(0, self.slots, 2 * width, pair)

    def _take(self, f: Function, x: str, keys: str, start: Index) -> None:
        """Write what the first keys stand for."""
        element = element_name(self.dtype)

        def one(index: Index, _: Carried) -> Carried:
            place = f.op(f"and i64 {_load(f, keys, index)}, 4294967295")
            here = f.add(start, f.mul(index, self.inner))
            if self.values:
                value = f.op(f"load {element}, ptr {f.at(x, f.mul(place, self.inner), element)}, align 1")
                f.line(f"store {element} {value}, ptr {f.at('%values', here, element)}, align 1")
            if self.places:
                f.line(f"store i64 {place}, ptr {f.at('%places', here, 'i64')}, align 1")
            return []

        f.loop(0, self.count, 1, one)


def _load(f: Function, pointer: str, index: Index) -> str:
    return f.op(f"load i64, ptr {f.at(pointer, index, 'i64')}, align 8")
