"""The register tile that every product is made of: T pixels by V vectors of output channels.

In: pointers and offsets. Out: accumulators, loaded, multiplied and stored. Sizes follow from the number of registers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alula.engine.graph.formula import Formula
from alula.engine.kernels.formula import emit_formula, emit_rows, is_dear
from alula.engine.kernels.ir import Function, Index
from alula.engine.kernels.target import Target

# More accumulators than this spill as soon as loops are nested around the tile; measured on AVX-512.
_MOST_ACCUMULATORS = 24
_CACHE_LINE_FLOATS = 16


def tile_pixels(target: Target, vectors: int) -> int:
    """The most pixels that fit into registers beside `vectors` weights, one broadcast and, without fma, a product."""
    spare = 1 if target.fma else 2
    return max(1, min(_MOST_ACCUMULATORS // vectors, (target.registers - vectors - spare) // vectors))


def vector_groups(blocks: int, target: Target, *, widest: int = 4) -> tuple[int, ...]:
    """Split output blocks into groups that one tile computes at once: the widest first, and never a lonely one.

    Tiles of one vector are bound by broadcasts, so a remainder of one borrows from its neighbour.
    """
    if target.registers < 32:  # noqa: PLR2004  16 registers hold a tile of 6 x 2, but only 2 x 4
        widest = min(widest, 2 if blocks % 2 == 0 else 3)
    if blocks <= widest:
        return (blocks,)
    whole, rest = divmod(blocks, widest)
    if rest == 0:
        return (widest,) * whole
    if rest == 1 and widest > 2:  # noqa: PLR2004  widest + 1 = (widest - 1) + 2
        return (widest,) * (whole - 1) + (widest - 1, 2)
    return (widest,) * whole + (rest,)


@dataclass(frozen=True)
class Run:
    """`count` equal pieces of `size`, the first starting at `start`."""

    start: int
    count: int
    size: int


def balanced(total: int, most: int) -> tuple[Run, ...]:
    """Cut `total` into pieces of at most `most` whose sizes differ by at most one, larger ones first."""
    pieces = -(-total // most)
    size, larger = divmod(total, pieces)
    runs = []
    if larger:
        runs.append(Run(0, larger, size + 1))
    if pieces - larger:
        runs.append(Run(larger * (size + 1), pieces - larger, size))
    return tuple(runs)


def grouped(groups: Sequence[int]) -> tuple[Run, ...]:
    """Neighbouring equal groups joined: `start` in blocks, `count` groups of `size` blocks."""
    runs: list[Run] = []
    start = 0
    for size in groups:
        if runs and runs[-1].size == size:
            runs[-1] = Run(runs[-1].start, runs[-1].count + 1, size)
        else:
            runs.append(Run(start, 1, size))
        start += size
    return tuple(runs)


def multiply(f: Function, sums: list[str], x: str, pixels: Sequence[int], w: str, offset: int) -> list[str]:
    """One step of the reduction: sums[i][j] += x[pixels[i]] * w[offset + j vectors].

    `sums` holds the accumulators pixel by pixel; their number tells how many vectors there are.
    """
    vectors = len(sums) // len(pixels)
    weights = [f.load(w, offset + j * f.lanes) for j in range(vectors)]
    result = list(sums)
    for i, pixel in enumerate(pixels):
        value = f.broadcast(x, pixel)
        for j in range(vectors):
            result[i * vectors + j] = f.fma(value, weights[j], result[i * vectors + j])
    return result


@dataclass(frozen=True)
class Output:
    """Where a tile's results stand: vector j of pixel i is at `pointer + pixels[i] + j * stride`, in floats.

    `extras` are pointers laid out like the output; `last` is how many lanes of the last vector exist.
    """

    pointer: str
    pixels: tuple[int, ...]
    stride: Index
    vectors: int
    extras: tuple[str, ...] = ()
    last: int = 0

    def lanes(self, f: Function, vector: int) -> int:
        """How many lanes of a vector exist."""
        return self.last if self.last and vector == self.vectors - 1 else f.lanes


def load_bias(f: Function, bias: str, pixels: int, vectors: int) -> list[str]:
    """Accumulators that start from the bias of their channels."""
    rows = [f.load(bias, j * f.lanes) for j in range(vectors)]
    return rows * pixels


def load_sums(f: Function, out: Output) -> list[str]:
    """Accumulators that go on from partial sums in the output."""
    return [
        f.load_first(out.lanes(f, j), out.pointer, f.add(f.mul(j, out.stride), pixel))
        for pixel in out.pixels
        for j in range(out.vectors)
    ]


def store_sums(f: Function, out: Output, sums: Sequence[str], epilogue: Formula | None) -> None:
    """Write accumulators, through the epilogue if there is one; register 0 is the sum, the others the extras.

    A dear epilogue is applied in a loop over the stored rows: on the tile it would spill most of the registers.
    """
    later = epilogue is not None and is_dear(epilogue) and not out.last
    for j in range(out.vectors):
        lanes = out.lanes(f, j)
        for i, pixel in enumerate(out.pixels):
            offset = f.add(f.mul(j, out.stride), pixel)
            value = sums[i * out.vectors + j]
            if epilogue is not None and epilogue.steps and not later:
                extras = [f.load_first(lanes, extra, offset) for extra in out.extras]
                value = emit_formula(f, epilogue, [value, *extras])
            f.store_first(lanes, value, out.pointer, offset)
    if later and epilogue is not None:
        for offset, count in _rows(f, out):
            emit_rows(f, epilogue, count, f.at(out.pointer, offset), [f.at(extra, offset) for extra in out.extras])


def _rows(f: Function, out: Output) -> list[tuple[Index, int]]:
    """Stretches of neighbouring vectors that a tile has written: where they begin, and how many vectors they have."""
    if out.stride == f.lanes:
        return [(pixel, out.vectors) for pixel in out.pixels]
    if any(pixel != i * f.lanes for i, pixel in enumerate(out.pixels)):  # results that stand apart
        return [(f.add(f.mul(j, out.stride), pixel), 1) for j in range(out.vectors) for pixel in out.pixels]
    return [(f.mul(j, out.stride), len(out.pixels)) for j in range(out.vectors)]


@dataclass(frozen=True)
class Prefetch:
    """Weights to fetch while a tile computes: `lines` cache lines from `pointer` on at each step."""

    pointer: str
    lines: int

    def step(self, f: Function, number: Index) -> None:
        """Fetch the lines of step `number`."""
        base = f.at(self.pointer, f.mul(number, self.lines * _CACHE_LINE_FLOATS))
        for line in range(self.lines):
            f.prefetch(base, line * _CACHE_LINE_FLOATS)


def prefetch_lines(floats: int, steps: int) -> int:
    """Cache lines to fetch at each of `steps` steps so that `floats` floats arrive in time."""
    return -(-floats // (_CACHE_LINE_FLOATS * max(1, steps)))
