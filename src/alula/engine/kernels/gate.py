"""Two products of a vector of channels, a formula behind each: the gate of squeeze-and-excitation.

In: x [N, C] float32, rows as far apart as blocks of channels make them, and packed matrices with their biases.
Out: [N, O] of the same form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from alula.engine.graph.formula import Formula
from alula.engine.graph.nodes import Array
from alula.engine.kernels.formula import emit_formula
from alula.engine.kernels.ir import Carried, Function, Index, module
from alula.engine.kernels.target import Target

# Sums that grow side by side, so that multiply-adds do not wait for each other.
_CHAINS = 8
_FLOAT = 4


@dataclass(frozen=True)
class Gate:
    """y = excite(W2 squeeze(W1 x + b1) + b2) for each image. Operands: x, W1, W2 (`pack_gate`), scratch, y.

    A work unit is one vector of outputs of one image. Each call computes the hidden vector of its images anew, so that
    workers need not meet between the products; it is short where this pays.

    Attributes:
        blocked: rows of x and y are whole vectors; plain rows follow each other without a gap.
        lanes: of the target, which scratch depends on.
    """

    channels: int
    hidden: int
    outputs: int
    squeeze: Formula
    excite: Formula
    lanes: int
    batch: int = 1
    blocked: bool = True

    family = "gate"

    @property
    def units(self) -> int:
        """Vectors of outputs of all images."""
        return self.batch * math.ceil(self.outputs / self.lanes)

    @property
    def scratch(self) -> int:
        """The hidden vector."""
        return _FLOAT * self._row(self.hidden, blocked=True)

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        f = Function(name, ("x", "w1", "w2", "hidden", "y"), target)
        vectors = math.ceil(self.outputs / f.lanes)

        def image(index: Index, _: Carried) -> Carried:
            first = f.mul(index, vectors)
            x = f.at("%x", f.mul(index, self._row(self.channels, blocked=self.blocked)))
            y = f.at("%y", f.mul(index, self._row(self.outputs, blocked=self.blocked)))
            self._hidden(f, x)
            lo = f.most(f.sub("%lo", first), 0)
            self._outputs(f, y, lo, f.least(f.sub("%hi", first), vectors))
            return []

        f.loop(f.div("%lo", vectors), f.div(f.add("%hi", vectors - 1), vectors), 1, image)
        return module(f)

    def _row(self, channels: int, *, blocked: bool) -> int:
        """Floats from image to image."""
        return math.ceil(channels / self.lanes) * self.lanes if blocked else channels

    def _hidden(self, f: Function, x: str) -> None:
        def vector(index: Index, _: Carried) -> Carried:
            total = _product(f, x, "%w1", self.channels, index)
            f.store(emit_formula(f, self.squeeze, [total]), "%hidden", f.mul(index, f.lanes))
            return []

        f.loop(0, math.ceil(self.hidden / f.lanes), 1, vector)

    def _outputs(self, f: Function, y: str, lo: Index, hi: Index) -> None:
        """Vectors [lo, hi); of a plain row's last one only what belongs to it."""
        whole, tail = divmod(self.outputs, f.lanes)
        if self.blocked and tail:
            whole, tail = whole + 1, 0

        def vector(index: Index, lanes: int) -> None:
            total = emit_formula(f, self.excite, [_product(f, "%hidden", "%w2", self.hidden, index)])
            f.store_first(lanes, total, y, f.mul(index, f.lanes))

        def full(index: Index, _: Carried) -> Carried:
            vector(index, f.lanes)
            return []

        f.loop(lo, f.least(hi, whole), 1, full)
        if tail:
            f.when(f.compare("sgt", hi, whole), lambda: vector(whole, tail))


def pack_gate(weights: Array, bias: Array | None, lanes: int) -> Array:
    """A matrix [rows, columns] as [ceil(rows / lanes), 1 + columns, lanes]: bias first, zeros behind the last row."""
    rows, columns = weights.shape
    whole = np.zeros((math.ceil(rows / lanes) * lanes, 1 + columns), np.float32)
    whole[:rows, 0] = 0 if bias is None else bias.reshape(-1)
    whole[:rows, 1:] = weights
    return np.ascontiguousarray(whole.reshape(-1, lanes, 1 + columns).swapaxes(1, 2))


def _product(f: Function, x: str, weights: str, inner: int, vector: Index) -> str:
    """The register of one vector of a packed matrix times x, plus bias."""
    own = f.at(weights, f.mul(vector, (1 + inner) * f.lanes))
    rows = f.at(own, f.lanes)
    chains = min(_CHAINS, inner)
    whole = inner - inner % chains

    def term(place: Index, total: str) -> str:
        return f.fma(f.broadcast(x, place), f.load(rows, f.mul(place, f.lanes)), total)

    def body(place: Index, totals: Carried) -> Carried:
        return [term(f.add(place, chain), total) for chain, total in enumerate(totals)]

    start = [f.load(own), *[f.constant(0.0)] * (chains - 1)]
    totals = f.loop(0, whole, chains, body, start)
    for chain, place in enumerate(range(whole, inner)):
        totals[chain] = term(place, totals[chain])
    while len(totals) > 1:
        totals = [*totals[2:], f.arithmetic("fadd", totals[0], totals[1])]
    return totals[0]
