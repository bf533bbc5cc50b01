"""The energy of neighbouring channels, and a formula of it: local response normalisation.

In: x [N, C, P] in plain rows, P pixels, float32. Out: the same shape, formula(x, sum of x * x over the window).
"""

from __future__ import annotations

from dataclasses import dataclass

from alula.engine.graph.formula import Formula
from alula.engine.kernels.formula import emit_formula
from alula.engine.kernels.ir import Carried, Function, Index, module
from alula.engine.kernels.target import Target

# Sums that grow side by side, so that multiply-adds do not wait for each other.
_CHAINS = 4


@dataclass(frozen=True)
class ChannelEnergy:
    """For channel c the window is [c - before, c + after], clipped to the channels. Operands: x, y.

    A work unit is one channel of one image. Register 0 of the formula is x, register 1 the sum.
    """

    batch: int
    channels: int
    pixels: int
    before: int
    after: int
    formula: Formula

    family = "channel energy"
    scratch = 0

    @property
    def units(self) -> int:
        """Channels of all images."""
        return self.batch * self.channels

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        f = Function(name, ("x", "y"), target)

        def unit(plane: Index, _: Carried) -> Carried:
            channel = f.mod(plane, self.channels)
            low = f.most(f.sub(channel, self.before), 0)
            high = f.least(f.add(channel, self.after + 1), self.channels)
            image = f.at("%x", f.mul(f.sub(plane, channel), self.pixels))
            self._row(f, image, (low, high), f.mul(channel, self.pixels), f.mul(plane, self.pixels))
            return []

        f.loop("%lo", "%hi", 1, unit)
        return module(f)

    def _row(self, f: Function, image: str, window: tuple[Index, Index], own: Index, out: Index) -> None:
        """One channel: whole groups of vectors, then single ones, then the tail."""
        vectors, tail = divmod(self.pixels, f.lanes)

        def piece(first: Index, count: int, lanes: int) -> None:
            pixel = f.mul(first, f.lanes)

            def channel(c: Index, sums: Carried) -> Carried:
                row = f.at(image, f.add(f.mul(c, self.pixels), pixel))
                found = [f.load_first(lanes, row, i * f.lanes) for i in range(count)]
                return [f.fma(x, x, total) for x, total in zip(found, sums, strict=True)]

            sums = f.loop(*window, 1, channel, [f.constant(0.0)] * count)
            for i, total in enumerate(sums):
                place = f.add(pixel, i * f.lanes)
                x = f.load_first(lanes, image, f.add(own, place))
                f.store_first(lanes, emit_formula(f, self.formula, [x, total]), "%y", f.add(out, place))

        def group(index: Index, _: Carried) -> Carried:
            piece(f.mul(index, _CHAINS), _CHAINS, f.lanes)
            return []

        def single(index: Index, _: Carried) -> Carried:
            piece(index, 1, f.lanes)
            return []

        f.loop(0, vectors // _CHAINS, 1, group)
        f.loop(vectors - vectors % _CHAINS, vectors, 1, single)
        if tail:
            piece(vectors, 1, tail)
