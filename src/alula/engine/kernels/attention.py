"""Scaled dot-product attention: softmax(scale q k^T + mask) v for every head, without storing the scores.

In: q, k, v as float32 read by strides, so that heads need no copies; a mask. Out: y, written by strides.

The keys of a head are written to scratch once, turned, so that a vector holds one feature of neighbouring keys. A tile
of rows then makes its scores in scratch, which stays in the first caches, raises them, and multiplies them with the
values (the order of Dao et al., FlashAttention, 2022, but with whole rows: they are short beside a cache).
"""

from __future__ import annotations

from dataclasses import dataclass

from alula.engine.kernels.ir import Carried, Function, Index, module
from alula.engine.kernels.softmax import emit_row
from alula.engine.kernels.target import Target
from alula.engine.kernels.tile import Run, balanced

# Rows of one unit: more share the turned keys better, fewer share out the work better.
_UNIT_ROWS = 48
_MANY_REGISTERS = 32
_FLOAT = 4


@dataclass(frozen=True)
class Strided:
    """Where element [b, h, t, d] stands: `offset + b batch + h head + t token + d feature`, in floats."""

    offset: int
    batch: int
    head: int
    token: int
    feature: int = 1


@dataclass(frozen=True)
class Attention:
    """Operands: q, k, v, [mask], scratch, y. Features of v and y are neighbours, and so are the mask's keys.

    Attributes:
        rows: tokens of q.
        keys: tokens of k and v.
        depth: features of q and k.
        width: features of v and y.
        safe: a row of scores that has no softmax (NaN) weighs all keys by 0.
    """

    batch: int
    heads: int
    rows: int
    keys: int
    depth: int
    width: int
    q: Strided
    k: Strided
    v: Strided
    y: Strided
    target: Target
    mask: Strided | None = None
    scale: float = 1.0
    safe: bool = False

    family = "attention"

    @property
    def units(self) -> int:
        """Pieces of rows of every head."""
        return self.batch * self.heads * self.pieces

    @property
    def tile(self) -> tuple[int, int]:
        """Rows and vectors of keys whose sums are held in registers."""
        return (6, 4) if self.target.registers >= _MANY_REGISTERS else (4, 2)

    @property
    def tiles(self) -> tuple[Run, ...]:
        """Tiles of rows."""
        return balanced(self.rows, self.tile[0])

    @property
    def tile_count(self) -> int:
        """How many tiles of rows a head has."""
        return sum(run.count for run in self.tiles)

    @property
    def tiles_of_piece(self) -> int:
        """How many tiles of rows a unit has."""
        return min(self.tile_count, max(1, _UNIT_ROWS // self.tile[0]))

    @property
    def pieces(self) -> int:
        """How many units share the rows of a head."""
        return -(-self.tile_count // self.tiles_of_piece)

    @property
    def padded(self) -> int:
        """Keys, rounded up to whole vectors."""
        return -(-self.keys // self.target.lanes) * self.target.lanes

    @property
    def scratch(self) -> int:
        """The turned keys and a tile's scores."""
        return self.padded * (self.depth + self.tile[0]) * _FLOAT

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        pointers = ["q", "k", "v", *(["m"] if self.mask else []), "s", "y"]
        return module(_Emitter(self, Function(name, pointers, target)).emit())


class _Emitter:
    """Writes one attention; the state is the function under construction."""

    def __init__(self, kernel: Attention, function: Function) -> None:
        self.a = kernel
        self.f = function
        self.scores = function.at("%s", kernel.padded * kernel.depth)

    def emit(self) -> Function:
        f, a = self.f, self.a

        def unit(index: Index, _: Carried) -> Carried:
            head, piece = f.div(index, a.pieces), f.mod(index, a.pieces)
            place = (f.div(head, a.heads), f.mod(head, a.heads))
            first = f.compare("eq", piece, 0)
            entered = f.compare("eq", index, "%lo")
            f.when(f.op(f"or i1 {first}, {entered}"), lambda: self._turn_keys(self._at("%k", a.k, place)))
            self._rows(place, piece)
            return []

        f.loop("%lo", "%hi", 1, unit)
        return f

    def _at(self, pointer: str, where: Strided, place: tuple[Index, Index], token: Index = 0) -> str:
        """The address of a token's first feature."""
        f = self.f
        head = f.add(f.mul(place[0], where.batch), f.mul(place[1], where.head))
        return f.at(pointer, f.add(f.add(head, where.offset), f.mul(token, where.token)))

    def _turn_keys(self, keys: str) -> None:
        """Scratch [feature, key], zeros behind the last key."""
        f, a = self.f, self.a
        rest = a.keys % f.lanes

        def feature(d: Index, _: Carried) -> Carried:
            row, source = f.at("%s", f.mul(d, a.padded)), f.at(keys, f.mul(d, a.k.feature))
            if rest:
                f.store(f.constant(0.0), row, a.padded - f.lanes)

            def key(t: Index, _: Carried) -> Carried:
                f.store_scalar(f.load_scalar(source, f.mul(t, a.k.token)), row, t)
                return []

            f.loop(0, a.keys, 1, key)
            return []

        f.loop(0, a.depth, 1, feature)

    def _rows(self, place: tuple[Index, Index], piece: Index) -> None:
        f, a = self.f, self.a
        low = f.mul(piece, a.tiles_of_piece)
        high = f.add(low, a.tiles_of_piece)
        seen = 0
        for run in a.tiles:

            def tile(t: Index, _: Carried, run: Run = run, seen: int = seen) -> Carried:
                row = f.add(run.start, f.mul(f.sub(t, seen), run.size))
                self._scores(place, row, run.size)
                self._raise(run.size)
                self._weigh(place, row, run.size)
                return []

            f.loop(f.most(low, seen), f.least(high, seen + run.count), 1, tile)
            seen += run.count

    def _scores(self, place: tuple[Index, Index], row: Index, size: int) -> None:
        """Scratch [size, key] = scale q k^T + mask."""
        f, a = self.f, self.a
        q = self._at("%q", a.q, place, row)
        mask = self._at("%m", a.mask, place, row) if a.mask else ""
        vectors, widest = a.padded // f.lanes, a.tile[1]

        def group(index: Index, _: Carried, count: int = widest) -> Carried:
            key = f.mul(index, f.lanes)
            sums = self._product(q, f.at("%s", key), size, count)
            for i in range(size):
                for j in range(count):
                    value = f.arithmetic("fmul", sums[i * count + j], f.constant(a.scale))
                    f.store(value, self.scores, f.add(f.add(key, j * f.lanes), i * a.padded))
            return []

        whole = vectors - vectors % widest
        f.loop(0, whole, widest, group)
        if vectors % widest:
            group(whole, [], vectors % widest)
        if a.mask:
            self._add_mask(mask, a.mask, size)

    def _product(self, q: str, keys: str, size: int, count: int) -> list[str]:
        f, a = self.f, self.a

        def step(d: Index, sums: Carried) -> Carried:
            row, feature = f.at(keys, f.mul(d, a.padded)), f.at(q, f.mul(d, a.q.feature))
            weights = [f.load(row, j * f.lanes) for j in range(count)]
            result = list(sums)
            for i in range(size):
                value = f.broadcast(feature, i * a.q.token)
                for j in range(count):
                    result[i * count + j] = f.fma(value, weights[j], result[i * count + j])
            return result

        return f.loop(0, a.depth, 1, step, [f.constant(0.0)] * (size * count))

    def _add_mask(self, mask: str, where: Strided, size: int) -> None:
        f, a = self.f, self.a
        rest = a.keys % f.lanes

        def add(i: int, key: Index, lanes: int) -> None:
            more = f.load_first(lanes, mask, f.add(i * where.token, key))
            place = f.add(i * a.padded, key)
            f.store(f.arithmetic("fadd", f.load(self.scores, place), more), self.scores, place)

        for i in range(size):

            def vector(key: Index, _: Carried, i: int = i) -> Carried:
                add(i, key, f.lanes)
                return []

            f.loop(0, a.keys - rest, f.lanes, vector)
            if rest:
                add(i, a.keys - rest, rest)

    def _raise(self, size: int) -> None:
        """Softmax of each row of the scratch, in place."""
        f, a = self.f, self.a

        def row(i: Index, _: Carried) -> Carried:
            scores = f.at(self.scores, f.mul(i, a.padded))
            emit_row(f, a.keys, scores, scores)
            if a.safe:
                f.loop(0, a.padded, f.lanes, lambda key, _: self._clear(scores, key))
            return []

        f.loop(0, size, 1, row)

    def _clear(self, scores: str, key: Index) -> Carried:
        """NaN becomes 0."""
        f = self.f
        value = f.load(scores, key)
        lost = f.op(f"fcmp uno {f.vector} {value}, {value}")
        zero = f.constant(0.0)
        f.store(f.op(f"select <{f.lanes} x i1> {lost}, {f.vector} {zero}, {f.vector} {value}"), scores, key)
        return []

    def _weigh(self, place: tuple[Index, Index], row: Index, size: int) -> None:
        """Y = weights in scratch times the values."""
        f, a = self.f, self.a
        v, y = self._at("%v", a.v, place), self._at("%y", a.y, place, row)
        vectors = -(-a.width // f.lanes)
        for first in range(0, vectors, a.tile[1]):
            count = min(a.tile[1], vectors - first)
            lanes = [min(f.lanes, a.width - (first + j) * f.lanes) for j in range(count)]

            def step(t: Index, sums: Carried, first: int = first, lanes: list[int] = lanes) -> Carried:
                values = f.at(v, f.add(f.mul(t, a.v.token), first * f.lanes))
                weights = [f.load_first(some, values, j * f.lanes) for j, some in enumerate(lanes)]
                result = list(sums)
                for i in range(size):
                    score = f.broadcast(self.scores, f.add(t, i * a.padded))
                    for j, value in enumerate(weights):
                        at = i * len(weights) + j
                        result[at] = f.fma(score, value, result[at])
                return result

            sums = f.loop(0, a.keys, 1, step, [f.constant(0.0)] * (size * count))
            for i in range(size):
                for j, some in enumerate(lanes):
                    f.store_first(some, sums[i * count + j], y, i * a.y.token + (first + j) * f.lanes)
