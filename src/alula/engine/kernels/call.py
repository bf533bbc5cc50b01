"""Kernels as the planner sees them: what to emit, what to pack, how to share the work.

In: a node and its values. Out: `KernelCall`, one step of a plan before memory is laid out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from alula.engine.graph.dims import static
from alula.engine.graph.nodes import Array, Node, Value
from alula.engine.kernels.target import Target


class Kernel(Protocol):
    """A loop nest for one situation: a frozen record of sizes, equal records make equal code.

    The emitted function is `void @NAME(ptr operand 0, ptr operand 1, ..., i64 lo, i64 hi)` and computes the work units
    [lo, hi) of `units`. Operands are, in this order: inputs, packed weights, scratch (where `scratch` is not 0), and
    outputs. Different units write different bytes of the outputs, so that workers need no locks; scratch belongs to
    one worker.
    """

    @property
    def family(self) -> str:
        """A short word for the algorithm, such as `pointwise`."""
        ...

    @property
    def units(self) -> int:
        """How many pieces the work can be split into."""
        ...

    @property
    def scratch(self) -> int:
        """Bytes of working memory each worker needs; 64-byte aligned, contents undefined."""
        ...

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR: the function called `name`, helpers as `internal` functions, declarations included."""
        ...


@dataclass(frozen=True)
class KernelCall:
    """One step: a kernel, what it reads and writes, and its cost.

    Attributes:
        reads: the kernel's operands in its order: names of activations, and arrays (packed weights, constants) that
            go into the plan file with 64-byte alignment.
        writes: names of the values written; several calls may write parts of the same value.
        flops: arithmetic operations, a multiply-add counting two.
    """

    kernel: Kernel
    reads: tuple[str | Array, ...]
    writes: tuple[str, ...]
    flops: int = 0


@dataclass(frozen=True)
class Selection:
    """The situation of a node when its kernel is chosen: shapes are numbers, layouts are decided."""

    node: Node
    values: Mapping[str, Value]
    constants: Mapping[str, Array]
    target: Target

    def value(self, index: int) -> Value:
        """The value record of an input."""
        return self.values[self.node.inputs[index]]

    def result(self, index: int = 0) -> Value:
        """The value record of an output."""
        return self.values[self.node.outputs[index]]

    def shape(self, index: int) -> tuple[int, ...]:
        """The dimensions of an input."""
        return static(self.value(index).shape or ())

    def result_shape(self, index: int = 0) -> tuple[int, ...]:
        """The dimensions of an output."""
        return static(self.result(index).shape or ())

    def constant(self, index: int) -> Array | None:
        """The elements of an input that is constant; None when it is not there or not constant."""
        return self.constants.get(self.node.input(index))


# Kernel calls that together compute the node, in order; None leaves the node to its reference.
Select = Callable[[Selection], tuple[KernelCall, ...] | None]
