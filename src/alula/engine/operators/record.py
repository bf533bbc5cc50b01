"""The operator record: everything alula knows of one operator, in one place.

In: names, functions. Out: `Operator`; the importer, planner, tests and reference table read it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from alula.base.tensors import DType
from alula.engine.graph.dims import Shape
from alula.engine.graph.formula import FormulaBuilder, Operand
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Array, Node, Value
from alula.engine.kernels.call import Select, Selection


@dataclass(frozen=True)
class Tolerance:
    """How far a native result may be from the reference: |got - want| <= absolute + relative * |want|."""

    relative: float = 1e-5
    absolute: float = 1e-6


@dataclass(frozen=True)
class Known:
    """What is known of one input when shapes are inferred: its value record, and its elements if it is constant.

    `sizes` are the elements of an input computed from shapes with symbols: ints and symbols, an array of objects.
    """

    value: Value
    constant: Array | None = None
    sizes: Array | None = None


# What is known of the outputs of a graph inside a node, in their order, from what is known of its inputs by name.
InferGraph = Callable[[Graph, Mapping[str, Known]], Sequence[Value]]


@dataclass(frozen=True)
class Inference:
    """The situation of a node when its output shapes are inferred; `infer_graph` is for nodes that hold graphs."""

    node: Node
    inputs: tuple[Known | None, ...]
    attributes: Mapping[str, Any]
    infer_graph: InferGraph | None = None

    def shape(self, index: int) -> Shape:
        """The shape of an input.

        Raises:
            UnknownShape: it is not known.
        """
        known = self.inputs[index] if index < len(self.inputs) else None
        if known is None or known.value.shape is None:
            raise UnknownShape
        return known.value.shape

    def dtype(self, index: int) -> DType:
        """The dtype of an input."""
        known = self.inputs[index] if index < len(self.inputs) else None
        if known is None:
            raise UnknownShape
        return known.value.dtype

    def has(self, index: int) -> bool:
        """Whether an optional input is there."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def constant(self, index: int) -> Array:
        """The elements of an input that must be constant for the shape to be known.

        Raises:
            UnknownShape: it is not constant.
        """
        known = self.inputs[index] if index < len(self.inputs) else None
        if known is None or known.constant is None:
            raise UnknownShape
        return known.constant

    def sizes(self, index: int) -> Shape:
        """The elements of an input that names dimensions, which may be symbols.

        Raises:
            UnknownShape: one is not known.
        """
        known = self.inputs[index] if index < len(self.inputs) else None
        if known is not None and known.constant is None and known.sizes is not None:
            return tuple(known.sizes.reshape(-1))
        return tuple(int(size) for size in self.constant(index).reshape(-1))


class UnknownShape(Exception):  # noqa: N818  not an error: the answer "cannot be known yet"
    """Raised by an inference that lacks a shape or a constant."""


Inferred = Sequence[tuple[DType, Shape]]
# None: the dtype is known and the shape is not, or the value is a sequence.
Partial = Sequence[tuple[DType, Shape | None]]
Infer = Callable[[Inference], Partial]
Reference = Callable[..., Any]
# None: this use cannot be written as a formula (a Pow whose exponent is no literal), and stays a step of its own.
Lower = Callable[..., "Operand | None"]
# The node itself, or nodes that stand before it and then the node.
Upgrade = Callable[[Node, int, Callable[[Array], str]], "Node | tuple[Node, ...]"]


@dataclass(frozen=True)
class Operator:
    """One operator in its newest form.

    Attributes:
        since: the operator-set versions at which its definition changed; files of any of them are understood.
        inputs: names; `?` at the end marks an optional one, `*` a variadic rest.
        attributes: defaults by name; `REQUIRED` where the file must say. Passed to `reference` and `lower` as keywords.
        infer: dtypes and shapes of the outputs; a shape is None where only the dtype is known.
        reference: numpy arrays in (None for a left-out optional), one array or a tuple out; the truth.
        lower: for elementwise operators, the same as a formula: `lower(builder, *operands, **attributes)`. Operands are
            registers, float literals for scalar constants, and None for optional inputs that are left out. It may
            return None: not possible for these operands.
        select: for the others, chooses a kernel for a node, or None to leave the step to the reference.
        upgrade: rewrites a node of an older version into the newest form: `upgrade(node, version, constant)`, where
            `constant(array)` returns the name of a new constant.
        nested: whether its attributes hold graphs; `reference` then gets the keyword `run_graph`, a `GraphRunner`. Such
            a node reads what its graphs capture through its last inputs, which the attribute `captures` names.
        view: whether the output is the first input's bytes under another shape.
        agrees_within: how far native results may be from the reference.
    """

    name: str
    since: tuple[int, ...]
    inputs: tuple[str, ...]
    infer: Infer
    reference: Reference
    outputs: tuple[str, ...] = ("y",)
    attributes: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    lower: Lower | None = None
    select: Select | None = None
    upgrade: Upgrade | None = None
    nested: bool = False
    view: bool = False
    agrees_within: Tolerance = Tolerance()
    domain: str = ""
    summary: str = ""


class _Required:
    """Marks an attribute that the file must give."""

    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED = _Required()

__all__ = [
    "REQUIRED", "FormulaBuilder", "Inference", "Inferred", "Known", "Operator", "Partial", "Select", "Selection",
    "Tolerance", "UnknownShape",
]  # fmt: skip
