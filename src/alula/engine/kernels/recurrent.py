"""The steps of one direction of a recurrent layer: LSTM, GRU or RNN with their usual activations.

In: gates [steps, batch, gates x hidden] with the input's share and all biases, first states [batch, hidden], recurrence
weights from `pack_recurrence`; float32. Out: each step's state [steps, batch, hidden], and the last states.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from alula.engine.graph.nodes import Array
from alula.engine.kernels.ir import Carried, Function, Index, module
from alula.engine.kernels.loops import each_vector
from alula.engine.kernels.maths import exp, tanh
from alula.engine.kernels.target import Target

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
# Accumulators of one tile: enough to hide the latency of a multiply-add, few enough for 16 registers.
_ACCUMULATORS = 8


def tile_width(kind: str, lanes: int) -> int:
    """Hidden units that one tile computes, all of their gates together."""
    return lanes * (_ACCUMULATORS // GATES[kind])


def pack_recurrence(r: Array, kind: str, width: int) -> Array:
    """Weights [gates x hidden, hidden] as [tiles, hidden, gates, width], units behind the last filled with zeros."""
    gates, hidden = GATES[kind], r.shape[1]
    tiles = math.ceil(hidden / width)
    wide = np.zeros((gates, tiles * width, hidden), np.float32)
    wide[:, :hidden] = r.reshape(gates, hidden, hidden)
    return np.ascontiguousarray(wide.reshape(gates, tiles, width, hidden).transpose(1, 3, 0, 2))


@dataclass(frozen=True)
class Recurrence:
    """A work unit is one sample of the batch, walked from its first step to its last.

    Operands: gates, h; c for LSTM; weights; the bias of the new state's recurrence where `reset_after`; scratch for a
    GRU without it; y, last h; last c for LSTM.

    Attributes:
        width: of a tile, from `tile_width` for the target that the kernel is emitted for.
        backward: walk from the last step to the first.
        reset_after: a GRU resets behind its product (`linear_before_reset`).
    """

    kind: str
    steps: int
    batch: int
    hidden: int
    width: int
    backward: bool = False
    reset_after: bool = False

    @property
    def family(self) -> str:
        """The algorithm."""
        return self.kind.lower()

    @property
    def units(self) -> int:
        """Samples."""
        return self.batch

    @property
    def scratch(self) -> int:
        """Update gates and reset states of one step of a GRU."""
        return 2 * 4 * self._padded if self.kind == "GRU" and not self.reset_after else 0

    @property
    def _padded(self) -> int:
        return math.ceil(self.hidden / self.width) * self.width

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        lstm = self.kind == "LSTM"
        reads = ["gates", "h", *["c"] * lstm, "weights", *["bias"] * self.reset_after]
        writes = ["y", "last_h", *["last_c"] * lstm]
        f = Function(name, (*reads, *["scratch"] * bool(self.scratch), *writes), target)

        def sample(b: Index, _: Carried) -> Carried:
            own = f.mul(b, self.hidden)
            if lstm:
                _copy(f, f.at("%c", own), f.at("%last_c", own), self.hidden)
            f.loop(0, self.steps, 1, lambda s, _: self._step(f, b, s))
            last = 0 if self.backward else self.steps - 1
            end = f.at("%y", f.add(own, last * self.batch * self.hidden))
            _copy(f, end, f.at("%last_h", own), self.hidden)
            return []

        f.loop("%lo", "%hi", 1, sample)
        return module(f)

    def _step(self, f: Function, b: Index, s: Index) -> Carried:
        """One step of one sample: what was given to the step before is read, what this one gives is written."""
        t = f.sub(self.steps - 1, s) if self.backward else s
        row = f.add(f.mul(t, self.batch), b)
        gates, y = f.at("%gates", f.mul(row, GATES[self.kind] * self.hidden)), f.at("%y", f.mul(row, self.hidden))
        stride = self.batch * self.hidden * (1 if self.backward else -1)
        earlier = f.at("%y", f.add(f.mul(row, self.hidden), stride))
        h = f.choose(f.compare("eq", s, 0), f.at("%h", f.mul(b, self.hidden)), earlier)
        if self.kind == "GRU" and not self.reset_after:
            self._tiles(f, lambda tile: tile.reset_gates(gates, h))
            self._tiles(f, lambda tile: tile.gru_behind(gates, h, y))
        elif self.kind == "GRU":
            self._tiles(f, lambda tile: tile.gru_reset_after(gates, h, y))
        elif self.kind == "LSTM":
            cell = f.at("%last_c", f.mul(b, self.hidden))
            self._tiles(f, lambda tile: tile.lstm(gates, h, cell, y))
        else:
            self._tiles(f, lambda tile: tile.rnn(gates, h, y))
        return []

    def _tiles(self, f: Function, compute: Callable[[_Tile], None]) -> None:
        whole, rest = divmod(self.hidden, self.width)

        def tile(index: Index, _: Carried) -> Carried:
            compute(_Tile(f, self, index, self.width))
            return []

        f.loop(0, whole, 1, tile)
        if rest:
            compute(_Tile(f, self, whole, rest))


@dataclass(frozen=True)
class _Tile:
    """Neighbouring hidden units of one step, `count` of them from `index * width` on."""

    f: Function
    kernel: Recurrence
    index: Index
    count: int

    @property
    def pieces(self) -> list[tuple[int, int]]:
        """First lane and number of lanes of each vector."""
        lanes = self.f.lanes
        return [(first, min(lanes, self.count - first)) for first in range(0, self.count, lanes)]

    @property
    def start(self) -> Index:
        """The first unit."""
        return self.f.mul(self.index, self.kernel.width)

    def rnn(self, gates: str, h: str, y: str) -> None:
        """H = tanh(gates + R h)."""
        (sums,) = self._products(h, (0,), [self._load(gates, 0)])
        self._store([tanh(self.f, total) for total in sums], y)

    def lstm(self, gates: str, h: str, cell: str, y: str) -> None:
        """C = f c + i tanh(c~), h = o tanh(C)."""
        f = self.f
        sums = self._products(h, (0, 1, 2, 3), [self._load(gates, gate) for gate in range(4)])
        states, results = [], []
        for i, o, forget, new, c in zip(*sums, self._load(cell, 0), strict=True):
            written = f.arithmetic("fmul", _sigmoid(f, i), tanh(f, new))
            state = f.fma(_sigmoid(f, forget), c, written)
            states.append(state)
            results.append(f.arithmetic("fmul", _sigmoid(f, o), tanh(f, state)))
        self._store(states, cell)
        self._store(results, y)

    def reset_gates(self, gates: str, h: str) -> None:
        """Update gates and r h, into scratch: every unit's new state needs all of r h."""
        f = self.f
        updates, resets = self._products(h, (0, 1), [self._load(gates, 0), self._load(gates, 1)])
        self._store([_sigmoid(f, x) for x in updates], "%scratch")
        held = zip(resets, self._load(h, 0), strict=True)
        self._store([f.arithmetic("fmul", _sigmoid(f, x), old) for x, old in held], self._reset)

    def gru_behind(self, gates: str, h: str, y: str) -> None:
        """H = (1 - z) tanh(gates + R (r h)) + z h."""
        (sums,) = self._products(self._reset, (2,), [self._load(gates, 2)])
        self._mix([tanh(self.f, total) for total in sums], self._load("%scratch", 0), h, y)

    def gru_reset_after(self, gates: str, h: str, y: str) -> None:
        """H = (1 - z) tanh(gates + r (R h + bias)) + z h."""
        f = self.f
        starts = [self._load(gates, 0), self._load(gates, 1), self._load("%bias", 0)]
        updates, resets, products = self._products(h, (0, 1, 2), starts)
        parts = zip(resets, products, self._load(gates, 2), strict=True)
        new = [tanh(f, f.fma(_sigmoid(f, r), product, x)) for r, product, x in parts]
        self._mix(new, [_sigmoid(f, x) for x in updates], h, y)

    @property
    def _reset(self) -> str:
        return self.f.at("%scratch", self.kernel._padded)  # noqa: SLF001  the same file

    def _mix(self, new: list[str], updates: list[str], h: str, y: str) -> None:
        """New + z (old - new)."""
        f = self.f
        rows = zip(new, updates, self._load(h, 0), strict=True)
        self._store([f.fma(z, f.arithmetic("fsub", old, fresh), fresh) for fresh, z, old in rows], y)

    def _products(self, h: str, gates: tuple[int, ...], starts: list[list[str]]) -> list[list[str]]:
        """Sums over all units of h times the weights of some gates, from `starts` on."""
        f, kernel = self.f, self.kernel
        every = GATES[kernel.kind] * kernel.width
        weights = f.at("%weights", f.mul(self.index, kernel.hidden * every))
        places = [gate * kernel.width + first for gate in gates for first, _ in self.pieces]

        def unit(k: Index, sums: Carried) -> Carried:
            state, row = f.broadcast(h, k), f.mul(k, every)
            parts = zip(places, sums, strict=True)
            return [f.fma(state, f.load(weights, f.add(row, at)), total) for at, total in parts]

        sums = f.loop(0, kernel.hidden, 1, unit, [value for start in starts for value in start])
        each = len(self.pieces)
        return [sums[at : at + each] for at in range(0, len(sums), each)]

    def _load(self, pointer: str, gate: int) -> list[str]:
        """This tile's part of a row that has `hidden` numbers a gate."""
        place = self.f.add(self.start, gate * self.kernel.hidden)
        return [self.f.load_first(lanes, pointer, self.f.add(place, first)) for first, lanes in self.pieces]

    def _store(self, values: list[str], pointer: str) -> None:
        for (first, lanes), value in zip(self.pieces, values, strict=True):
            self.f.store_first(lanes, value, pointer, self.f.add(self.start, first))


def _sigmoid(f: Function, x: str) -> str:
    """1 / (1 + exp(-x)); the exponential overflows to infinity where the result is 0."""
    one = f.constant(1.0)
    return f.arithmetic("fdiv", one, f.arithmetic("fadd", one, exp(f, f.arithmetic("fsub", f.constant(0.0), x))))


def _copy(f: Function, source: str, target: str, count: int) -> None:
    each_vector(f, count, lambda at, lanes: f.store_first(lanes, f.load_first(lanes, source, at), target, at))
