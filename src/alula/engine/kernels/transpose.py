"""Square tiles of floats turned over inside the vector registers.

In: as many registers as a register has lanes. Out: as many, rows and columns exchanged.
"""

from __future__ import annotations

from collections.abc import Sequence

from alula.engine.kernels.ir import Function

# Shuffles inside groups of four lanes (128 bits) are the cheap ones on x86.
_GROUP = 4


def transpose_tile(f: Function, rows: Sequence[str]) -> list[str]:
    """Exchange rows and columns of `lanes` registers.

    Log2(lanes) stages of two-operand shuffles: first 4x4 tiles inside the 128-bit groups of four neighbours, then
    whole groups between the rows.
    """
    lanes = f.lanes
    inner = [_transpose_groups(f, rows[first : first + _GROUP]) for first in range(0, lanes, _GROUP)]
    groups = lanes // _GROUP
    # Row j of band b holds, in its group g, elements 4b to 4b+3 of column 4g+j.
    columns: list[str] = [""] * lanes
    for j in range(_GROUP):
        for g, column in enumerate(_deal(f, [inner[b][j] for b in range(groups)])):
            columns[_GROUP * g + j] = column
    return columns


def _transpose_groups(f: Function, rows: Sequence[str]) -> list[str]:
    """4x4 inside each group of four lanes, as `unpcklps` and `unpcklpd` do it."""
    a, b, c, d = rows
    low, high = (0, _N, 1, _N + 1), (2, _N + 2, 3, _N + 3)
    pair_low, pair_high = (0, 1, _N, _N + 1), (2, 3, _N + 2, _N + 3)
    ab, cd = _shuffle(f, a, b, low), _shuffle(f, c, d, low)
    ab_high, cd_high = _shuffle(f, a, b, high), _shuffle(f, c, d, high)
    return [
        _shuffle(f, ab, cd, pair_low),
        _shuffle(f, ab, cd, pair_high),
        _shuffle(f, ab_high, cd_high, pair_low),
        _shuffle(f, ab_high, cd_high, pair_high),
    ]


# Marks a lane of the second operand in a pattern for one group.
_N = 1 << 10


def _shuffle(f: Function, a: str, b: str, pattern: Sequence[int]) -> str:
    """Apply a pattern of four lanes to every group."""
    picked = [
        (f.lanes + lane - _N if lane >= _N else lane) + first for first in range(0, f.lanes, _GROUP) for lane in pattern
    ]
    return _pick(f, a, b, picked)


def _deal(f: Function, rows: Sequence[str]) -> list[str]:
    """Transpose a square of 128-bit groups: result g has group g of every row, in the rows' order."""
    if len(rows) == 1:
        return list(rows)
    pairs = list(zip(rows[0::2], rows[1::2], strict=True))
    results = [""] * len(rows)
    results[0::2] = _deal(f, [_pick(f, a, b, _every_other(f, 0)) for a, b in pairs])
    results[1::2] = _deal(f, [_pick(f, a, b, _every_other(f, 1)) for a, b in pairs])
    return results


def _every_other(f: Function, start: int) -> list[int]:
    """The even or odd groups of both operands."""
    return [group * _GROUP + lane for group in range(start, 2 * f.lanes // _GROUP, 2) for lane in range(_GROUP)]


def _pick(f: Function, a: str, b: str, lanes: Sequence[int]) -> str:
    indices = ", ".join(f"i32 {lane}" for lane in lanes)
    return f.op(f"shufflevector {f.vector} {a}, {f.vector} {b}, <{f.lanes} x i32> <{indices}>")
