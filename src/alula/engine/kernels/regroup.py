"""Channels of blocked tensors put together anew: Concat and Split where channels do not fill whole blocks.

In: tensors [N, ceil(C/B), pixels, B] float32. Out: tensors of the same pixels, each channel one of the inputs'.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from alula.engine.kernels.ir import Function, Index, module
from alula.engine.kernels.target import Target

# Pixels of one work unit.
_PIECE = 64


@dataclass(frozen=True)
class Run:
    """`count` neighbouring channels of input `source`, from channel `first` on."""

    source: int
    first: int
    count: int


@dataclass(frozen=True)
class Regroup:
    """Operands: the inputs, the outputs. Lanes behind the last channel of an output are zeros.

    Attributes:
        inputs: channels of each input.
        outputs: for each output the runs that its channels are, in order.
    """

    batch: int
    pixels: int
    inputs: tuple[int, ...]
    outputs: tuple[tuple[Run, ...], ...]
    block: int

    family = "regroup"
    scratch = 0

    @property
    def units(self) -> int:
        """Pieces of all pictures."""
        return self.batch * math.ceil(self.pixels / _PIECE)

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        pointers = [f"x{i}" for i in range(len(self.inputs))] + [f"y{i}" for i in range(len(self.outputs))]
        f = Function(name, pointers, target)
        pieces = math.ceil(self.pixels / _PIECE)

        def unit(index: Index, _: list[str]) -> list[str]:
            picture, first = f.div(index, pieces), f.mul(f.mod(index, pieces), _PIECE)
            last = f.least(f.add(first, _PIECE), self.pixels)
            for output, runs in enumerate(self.outputs):
                for block, parts in enumerate(self._blocks(runs)):
                    self._block(f, (f"%y{output}", block, sum(r.count for r in runs)), parts, (picture, first, last))
            return []

        f.loop("%lo", "%hi", 1, unit)
        return module(f)

    def _blocks(self, runs: tuple[Run, ...]) -> Iterator[dict[tuple[int, int], dict[int, int]]]:
        """For each output block: by input and block, which of its lanes go to which lanes."""
        channels = [(run.source, run.first + i) for run in runs for i in range(run.count)]
        for start in range(0, len(channels), self.block):
            found: dict[tuple[int, int], dict[int, int]] = {}
            for lane, (source, channel) in enumerate(channels[start : start + self.block]):
                found.setdefault((source, channel // self.block), {})[lane] = channel % self.block
            yield found

    def _block(
        self,
        f: Function,
        place: tuple[str, int, int],
        parts: dict[tuple[int, int], dict[int, int]],
        where: tuple[Index, Index, Index],
    ) -> None:
        """One output block of a stretch of pixels."""
        picture, first, last = where
        pointer, block, channels = place

        def start(base: str, number: int, total: int) -> str:
            blocks = math.ceil(total / self.block)
            return f.at(base, f.mul(f.add(f.mul(picture, blocks), number), self.pixels * self.block))

        sources = [
            (start(f"%x{source}", number, self.inputs[source]), lanes) for (source, number), lanes in parts.items()
        ]
        out = start(pointer, block, channels)

        def pixel(p: Index, _: list[str]) -> list[str]:
            offset = f.mul(p, self.block)
            value = f.constant(0.0)
            for base, lanes in sources:
                value = self._merge(f, value, f.load(base, offset), lanes)
            f.store(value, out, offset)
            return []

        f.loop(first, last, 1, pixel)

    def _merge(self, f: Function, value: str, loaded: str, lanes: dict[int, int]) -> str:
        """The vector with some lanes taken from another."""
        order = ", ".join(f"i32 {self.block + lanes[lane] if lane in lanes else lane}" for lane in range(self.block))
        return f.op(f"shufflevector {f.vector} {value}, {f.vector} {loaded}, <{self.block} x i32> <{order}>")
