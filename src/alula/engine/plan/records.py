"""The plan: steps in order, with every byte of memory placed.

In: kernel calls and placements. Out: frozen records; `program` turns them into a file, `show` into text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from alula.base.tensors import DType, TensorSpec
from alula.engine.graph.nodes import Array, Node
from alula.engine.kernels.call import Kernel
from alula.engine.kernels.target import Target


@dataclass(frozen=True)
class Operand:
    """Where a pointer of a step points.

    `arena`: byte offset into the arena; `weights`: index into the plan's weights; `input`, `output`: index of the
    model's input or output (the caller's memory); `scratch`: the worker's own scratch, index 0.
    """

    kind: Literal["arena", "weights", "input", "output", "scratch"]
    index: int = 0

    def __str__(self) -> str:
        """For example `arena+4096`."""
        return f"{self.kind}+{self.index}" if self.kind == "arena" else f"{self.kind}[{self.index}]"


@dataclass(frozen=True)
class NativeStep:
    """One call of a generated function: `kernel(operands..., lo, hi)`, shared out among workers by units.

    `inputs` and `outputs` name the intermediate values that it reads and writes, for the checker and for people.
    """

    kernel: Kernel
    operands: tuple[Operand, ...]
    label: str
    flops: int
    bytes: int
    outputs: tuple[str, ...]
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlacedTensor:
    """A plain row-major tensor at a place."""

    name: str
    dtype: DType
    shape: tuple[int, ...]
    operand: Operand


@dataclass(frozen=True)
class HostStep:
    """One node that runs through its numpy reference, on the calling thread, between native segments.

    `inputs` holds None for an optional input that is left out.
    """

    node: Node
    inputs: tuple[PlacedTensor | None, ...]
    outputs: tuple[PlacedTensor, ...]
    label: str
    reason: str


Step = NativeStep | HostStep


@dataclass(frozen=True)
class Plan:
    """A model ready to be written.

    Attributes:
        weights: arrays that the program lays into the file, each aligned to 64 bytes.
        arena_bytes: the exact size of all intermediates; outputs that the caller brings no memory for included.
        scratch_bytes: working memory of one worker.
        output_offsets: arena offset of each output, used when the caller brings no memory.
        blocks: layout of values that live in blocks, by name, for tools that look inside.
        roots: for a value that is another's bytes under another shape, that other one.
        places: where each intermediate value lives while it is alive, for tools that look inside.
    """

    name: str
    target: Target
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    steps: tuple[Step, ...]
    weights: tuple[Array, ...]
    arena_bytes: int
    scratch_bytes: int
    output_offsets: tuple[int, ...]
    places: Mapping[str, PlacedTensor] = field(default_factory=lambda: MappingProxyType({}))
    blocks: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    roots: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
