"""Maximum and average over whole maps.

In: float32 in blocks, [N, ceil(C/B), P, B] with P pixels. Out: [N, ceil(C/B), 1, B], which is [N, C, 1, 1] in blocks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from alula.engine.kernels.blocks import check_block
from alula.engine.kernels.ir import Function, Index, module
from alula.engine.kernels.target import Target

# Sums that grow side by side, so that additions do not wait for each other.
_CHAINS = 4


@dataclass(frozen=True)
class GlobalPool:
    """One number for each channel: the maximum (NaN wins) or the mean of its map. Operands: the map, the output.

    A work unit is one block of channels of one image.
    """

    kind: Literal["max", "average"]
    channels: int
    pixels: int
    batch: int = 1
    block: int = 16

    scratch = 0

    @property
    def family(self) -> str:
        """The algorithm."""
        return f"global {self.kind} pool"

    @property
    def units(self) -> int:
        """Channel blocks of all images."""
        return self.batch * math.ceil(self.channels / self.block)

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR of the kernel."""
        check_block(self.family, self.block, target)
        f = Function(name, ("x", "y"), target)

        def unit(plane: Index, _: list[str]) -> list[str]:
            image = f.at("%x", f.mul(plane, self.pixels * f.lanes))
            f.store(self._reduce(f, image), "%y", f.mul(plane, f.lanes))
            return []

        f.loop("%lo", "%hi", 1, unit)
        return module(f)

    def _reduce(self, f: Function, image: str) -> str:
        chains = min(_CHAINS, self.pixels)
        whole = self.pixels - self.pixels % chains
        start = f.constant(0.0 if self.kind == "average" else float("-inf"))

        def body(pixel: Index, results: list[str]) -> list[str]:
            place = f.mul(pixel, f.lanes)
            values = [f.load(image, f.add(place, chain * f.lanes)) for chain in range(chains)]
            return [self._combine(f, a, b) for a, b in zip(results, values, strict=True)]

        results = f.loop(0, whole, chains, body, [start] * chains)
        results += [f.load(image, pixel * f.lanes) for pixel in range(whole, self.pixels)]
        while len(results) > 1:
            results = [*results[2:], self._combine(f, results[0], results[1])]
        if self.kind == "max":
            return results[0]
        return f.arithmetic("fmul", results[0], f.constant(1.0 / self.pixels))

    def _combine(self, f: Function, a: str, b: str) -> str:
        return f.arithmetic("fadd", a, b) if self.kind == "average" else f.intrinsic("maximum", a, b)
