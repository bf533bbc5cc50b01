"""What kernels that read indices share: indices that cannot lead outside, and copies of rows of bytes.

In: pointers and sizes. Out: instructions appended to a function.

Generated code cannot raise. An index outside of its axis is moved to the axis' nearest end, so that nothing is read or
written outside of a tensor; the references refuse such an index, where the standard leaves it undefined.
"""

from __future__ import annotations

from alula.engine.kernels.ir import Carried, Function, Index
from alula.engine.kernels.lanes import widths_of

_FLOAT_BYTES = 4
_WIDE_INDEX = 8
_UNROLL = 4


def load_index(f: Function, pointer: str, offset: Index, size: int, extent: int) -> Index:
    """An index from memory, negative ones counted from the end, inside of [0, extent) whatever is there.

    Args:
        f: where to append.
        pointer: the first index.
        offset: how many of them further on.
        size: bytes of one, 4 or 8.
        extent: of the axis, not 0.
    """
    index = load_integer(f, pointer, offset, size)
    turned = f.choose(f.compare("slt", index, 0), str(f.add(index, extent)), index, "i64")
    return f.least(f.most(turned, 0), extent - 1)


def load_integer(f: Function, pointer: str, offset: Index, size: int) -> str:
    """A signed integer of 4 or 8 bytes as i64."""
    kind = f"i{8 * size}"
    value = f.op(f"load {kind}, ptr {f.at(pointer, offset, kind)}, align 1")
    return value if size == _WIDE_INDEX else f.op(f"sext {kind} {value} to i64")


def copy_bytes(f: Function, source: str, place: str, count: int) -> None:
    """Copy `count` bytes, as many as are known now."""
    wide = f.lanes * _FLOAT_BYTES
    bulk = count - count % (_UNROLL * wide)

    def move(at: Index, width: int) -> None:
        value = f.op(f"load <{width} x i8>, ptr {f.at(source, at, 'i8')}, align 1")
        f.line(f"store <{width} x i8> {value}, ptr {f.at(place, at, 'i8')}, align 1")

    def many(at: Index, _: Carried) -> Carried:
        for step in range(_UNROLL):
            move(f.add(at, step * wide), wide)
        return []

    f.loop(0, bulk, _UNROLL * wide, many)
    for start, width in widths_of(count - bulk, wide):
        move(bulk + start, width)


def pieces_of(count: int, size: int, enough: int = 4096) -> tuple[int, int]:
    """How to cut `count` things of `size` bytes into work units: things a unit, and units."""
    each = max(1, enough // max(1, size))
    return each, -(-count // each)
