"""What operator records share: complaints without a place, axes, broadcasting, steps of upgrades.

In: shapes, attributes, nodes. Out: shapes and nodes, or a `Mismatch` or `Refusal` that the caller gives a place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import reduce
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import Dim, Shape
from alula.engine.graph.nodes import Array, Attribute, Node
from alula.engine.operators.record import Infer, Inference, Inferred, UnknownShape


class Mismatch(ValueError):  # noqa: N818  not an error yet: it lacks its place
    """Shapes or values that do not fit; `evaluate` and `infer_node` make it a ShapeError of the node."""

    def __init__(self, needed: str, found: str) -> None:
        super().__init__(f"{needed}, {found}")
        self.needed = needed
        self.found = found


class Excess(Mismatch):
    """More than a limit allows; becomes a LimitError of the node."""


class Refusal(Mismatch):
    """A form of an operator that alula does not have; becomes an UnsupportedError of the node."""


def axis_of(axis: int, rank: int) -> int:
    """An axis counted from the front.

    Raises:
        Mismatch: it is outside [-rank, rank).
    """
    if not -rank <= axis < rank:
        raise Mismatch(f"axis must be in [{-rank}, {rank - 1}]", f"it is {axis}")
    return axis % rank


def axes_of(axes: Iterable[int], rank: int) -> tuple[int, ...]:
    """Axes counted from the front, in their order.

    Raises:
        Mismatch: one is outside [-rank, rank) or stands twice.
    """
    counted = tuple(axis_of(int(axis), rank) for axis in axes)
    if len(set(counted)) != len(counted):
        raise Mismatch("axes must be distinct", f"they are {list(counted)}")
    return counted


def integers(array: Array) -> tuple[int, ...]:
    """The elements of a tensor of integers, as Python's."""
    return tuple(int(value) for value in np.asarray(array).reshape(-1))


def show(shape: Shape) -> str:
    """A shape as users see it: `[1, N, 224]`."""
    return f"[{', '.join(map(str, shape))}]"


def known(dim: Dim) -> int:
    """A dimension as a number.

    Raises:
        UnknownShape: it is symbolic.
    """
    if not isinstance(dim, int):
        raise UnknownShape
    return dim


def agree(one: Dim, other: Dim) -> bool:
    """Whether two dimensions may be equal: false only for two different numbers."""
    return one == other or not (isinstance(one, int) and isinstance(other, int))


def all_agree(one: Shape, other: Shape) -> bool:
    """Whether two shapes may be equal: of one rank, and no two numbers differ."""
    return len(one) == len(other) and all(map(agree, one, other))


def broadcasts_to(shape: Shape, wanted: Shape) -> bool:
    """Whether a shape may broadcast to another one without changing it.

    Raises:
        Mismatch: two dimensions differ and neither is 1.
        UnknownShape: two different symbols meet.
    """
    return all_agree(broadcast_shapes(wanted, shape), wanted)


def broadcast_shapes(*shapes: Shape) -> Shape:
    """The joint shape under numpy's rules; a symbol beside a number larger than 1 is taken to be that number.

    Raises:
        Mismatch: two dimensions differ and neither is 1.
        UnknownShape: two different symbols meet.
    """
    return reduce(_broadcast_two, shapes, ())


def _broadcast_two(one: Shape, other: Shape) -> Shape:
    rank = max(len(one), len(other))
    pairs = zip((1,) * (rank - len(one)) + one, (1,) * (rank - len(other)) + other, strict=True)
    return tuple(_broadcast_dims(a, b, one, other) for a, b in pairs)


def _broadcast_dims(a: Dim, b: Dim, one: Shape, other: Shape) -> Dim:
    if b in (a, 1):
        return a
    if a == 1:
        return b
    if isinstance(a, int) and isinstance(b, int):
        raise Mismatch("inputs must broadcast together", f"{show(one)} meets {show(other)}")
    if not isinstance(a, int) and not isinstance(b, int):
        raise UnknownShape
    return a if isinstance(a, int) else b


def same_as(index: int = 0) -> Infer:
    """One output with dtype and shape of an input."""

    def infer(at: Inference) -> Inferred:
        return [(at.dtype(index), at.shape(index))]

    return infer


def broadcast(dtype: DType | None = None, *, mixed: bool = False) -> Infer:
    """One output of the joint shape of all inputs.

    Args:
        dtype: of the output; the first input's by default.
        mixed: whether the inputs may differ in dtype.
    """

    def infer(at: Inference) -> Inferred:
        count = len(at.inputs)
        if not mixed:
            same_dtypes(at, range(count))
        return [(dtype or at.dtype(0), broadcast_shapes(*(at.shape(index) for index in range(count))))]

    return infer


def same_dtypes(at: Inference, indices: Iterable[int]) -> None:
    """Check that inputs agree in dtype.

    Raises:
        Mismatch: two differ.
    """
    found = {at.dtype(index) for index in indices if at.has(index)}
    if len(found) > 1:
        raise Mismatch("inputs must have one dtype", f"they are {' and '.join(sorted(map(str, found)))}")


def without(node: Node, *names: str) -> Node:
    """A copy that lacks some attributes."""
    kept = {name: value for name, value in node.attributes.items() if name not in names}
    return replace(node, attributes=MappingProxyType(kept))


def with_input(node: Node, index: int, name: str) -> Node:
    """A copy whose input `index` is `name`; inputs between are left out."""
    inputs = [*node.inputs, *[""] * (index + 1 - len(node.inputs))]
    inputs[index] = name
    return replace(node, inputs=tuple(inputs))


def attribute_to_input(
    node: Node, name: str, index: int, constant: Callable[[Array], str], dtype: Any = np.int64
) -> Node:
    """Turn an attribute into a constant input, as newer operator sets want it; unchanged where it is left out."""
    value: Attribute | None = node.attributes.get(name)
    if value is None:
        return node
    return with_input(without(node, name), index, constant(np.asarray(value, dtype)))
