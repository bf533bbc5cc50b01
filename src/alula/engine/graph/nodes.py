"""Nodes, values and attributes: the parts of a graph.

In: names. Out: frozen records; a `Graph` joins them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, TypeAlias, cast

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import Shape
from alula.engine.graph.formula import Formula

Array = np.ndarray[Any, Any]


class Subgraph:
    """What a node may hold besides numbers: a graph of its own, as If and Loop do. `Graph` is the only kind."""


@dataclass(frozen=True)
class ValueType:
    """A type of ONNX, where a node names one.

    Attributes:
        kind: `tensor`, `sparse tensor`, `sequence`, `optional` or `map`.
        dtype: the element type of a tensor, the key type of a map, else None.
        shape: the dimensions of a tensor, None where unknown.
        of: what a sequence, an optional or a map holds; None where the file does not say.
    """

    kind: str
    dtype: DType | None = None
    shape: Shape | None = None
    of: ValueType | None = None

    def __str__(self) -> str:
        """For example `sequence of tensor float32`."""
        return self.kind + (f" {self.dtype}" if self.dtype else "") + (f" of {self.of}" if self.of else "")


Single: TypeAlias = int | float | str | bytes | Array | Formula | Subgraph | ValueType
Several: TypeAlias = (
    tuple[int, ...]
    | tuple[float, ...]
    | tuple[str, ...]
    | tuple[Array, ...]
    | tuple[Subgraph, ...]
    | tuple[ValueType, ...]
)
Attribute: TypeAlias = Single | Several

# The domain of operators that only passes write; ONNX's own domain is the empty string.
INTERNAL = "alula"
# Attributes of ONNX's operators that only upgrades write.
INTERNAL_ATTRIBUTES = frozenset({"coerced", "by_group", "batched"})


@dataclass(frozen=True)
class Value:
    """What flows along an edge.

    Attributes:
        shape: the logical dimensions, None where unknown; never changed by layout.
        kind: empty for a tensor; `sequence` or `optional` for what has no shape as a whole. The dtype is then that of
            the tensors in it.
        block: channels a block in memory. 0 is plain row-major; 16 stores [N, C, H, W] as [N, C/16, H, W, 16], the
            channels padded up with zeros or unspecified numbers that consumers must ignore.
    """

    name: str
    dtype: DType
    shape: Shape | None
    block: int = 0
    kind: str = ""

    def __str__(self) -> str:
        """For example `%x float32 [1, 64, 56, 56] /16`."""
        return f"%{self.name} {self.form}"

    @property
    def form(self) -> str:
        """All but the name: `float32 [1, 64, 56, 56] /16`."""
        dims = "?" if self.shape is None else f"[{', '.join(map(str, self.shape))}]"
        kind = f"{self.kind} of " if self.kind else ""
        return f"{kind}{self.dtype} {dims}" + (f" /{self.block}" if self.block else "")


@dataclass(frozen=True)
class Node:
    """One application of an operator.

    An empty string among the inputs or outputs stands for an optional one that is left out.
    """

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=lambda: MappingProxyType({}))
    name: str = ""
    domain: str = ""

    @property
    def output(self) -> str:
        """The first output."""
        return self.outputs[0]

    @property
    def label(self) -> str:
        """The name to show in messages: the node's own, else its first output's."""
        return self.name or next((name for name in self.outputs if name), self.op)

    @property
    def kind(self) -> tuple[str, str]:
        """Domain and operator: the key into the operator table."""
        return self.domain, self.op

    def input(self, index: int) -> str:
        """The name of input `index`, empty when it is left out."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def reading(self, new: str, instead_of: str) -> Node:
        """A copy that reads one value in the place of another."""
        inputs = list(self.inputs)
        place = -1
        for _ in range(inputs.count(instead_of)):
            place = inputs.index(instead_of, place + 1)
            inputs[place] = new
        return replace(self, inputs=tuple(inputs))

    def integer(self, name: str, default: int = 0) -> int:
        """An integer attribute."""
        value = self.attributes.get(name, default)
        return value if isinstance(value, int) else default

    def ints(self, name: str, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """A list-of-integers attribute."""
        value = self.attributes.get(name, default)
        whole = isinstance(value, tuple) and all(isinstance(item, (int, float)) for item in value)
        return tuple(map(int, cast("tuple[int, ...]", value))) if whole else default

    def real(self, name: str, default: float = 0.0) -> float:
        """A float attribute."""
        value = self.attributes.get(name, default)
        return float(value) if isinstance(value, (int, float)) else default

    def text(self, name: str, default: str = "") -> str:
        """A string attribute."""
        value = self.attributes.get(name, default)
        return (
            value.decode("utf-8", "replace")
            if isinstance(value, bytes)
            else value
            if isinstance(value, str)
            else default
        )

    def formula(self, name: str) -> Formula:
        """A formula attribute; the identity when it is left out."""
        value = self.attributes.get(name)
        return value if isinstance(value, Formula) else Formula(1)

    def with_attributes(self, **changes: Attribute) -> Node:
        """A copy with some attributes set."""
        return replace(self, attributes=MappingProxyType({**self.attributes, **changes}))
