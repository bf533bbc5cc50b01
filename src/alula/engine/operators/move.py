"""Choosing and reordering elements: slices, transposition, gathering.

In: x; starts, ends, axes, indices as integers. Out: elements of x in another arrangement.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

import numpy as np

from alula.engine.graph.dims import Dim, Shape
from alula.engine.graph.nodes import Array, Node
from alula.engine.operators.common import Mismatch, attribute_to_input, axes_of, axis_of, integers
from alula.engine.operators.record import Inference, Inferred, Operator, UnknownShape

# Exporters write "to the end" as the largest int32 or int64, or near it.
_ENDLESS = 2**31 - 1


def _ranges(
    rank: int, starts: Array, ends: Array, axes: Array | None = None, steps: Array | None = None
) -> dict[int, slice]:
    first, last = integers(starts), integers(ends)
    chosen = axes_of(range(len(first)) if axes is None else integers(axes), rank)
    strides = (1,) * len(first) if steps is None else integers(steps)
    if not len(first) == len(last) == len(chosen) == len(strides):
        lengths = f"they have {len(first)}, {len(last)}, {len(chosen)} and {len(strides)}"
        raise Mismatch("starts, ends, axes and steps must be equally long", lengths)
    if 0 in strides:
        raise Mismatch("steps must not be 0", f"they are {list(strides)}")
    return {axis: slice(*bounds) for axis, *bounds in zip(chosen, first, last, strides, strict=True)}


def slice_(x: Array, starts: Array, ends: Array, axes: Array | None = None, steps: Array | None = None) -> Array:
    """X[start:end:step] along each axis; a view. Bounds outside are moved inside, as Python does."""
    ranges = _ranges(x.ndim, starts, ends, axes, steps)
    return x[tuple(ranges.get(axis, slice(None)) for axis in range(x.ndim))]


def _infer_slice(at: Inference) -> Inferred:
    x = at.shape(0)
    optional = [at.constant(index) if at.has(index) else None for index in (3, 4)]
    ranges = _ranges(len(x), at.constant(1), at.constant(2), *optional)
    return [(at.dtype(0), tuple(_sliced(dim, ranges.get(axis)) for axis, dim in enumerate(x)))]


def _sliced(dim: Dim, range_: slice | None) -> Dim:
    """The length of a slice; a symbolic dimension is taken to be larger than the bounds that reach into it."""
    if range_ is None:
        return dim
    if isinstance(dim, int):
        return len(range(*range_.indices(dim)))
    start, end, step = int(range_.start), int(range_.stop), int(range_.step)
    if step == -1 and start in (-1, _ENDLESS) and end <= -_ENDLESS:
        return dim
    if step < 1 or 0 <= end < _ENDLESS:
        raise UnknownShape
    upper: Dim = dim if end >= _ENDLESS else dim + end
    length: Dim = upper - (start if start >= 0 else dim + start)
    if isinstance(length, int) and length < 0:
        return 0
    return (length + (step - 1)) // step


def _upgrade_slice(node: Node, version: int, constant: Callable[[Array], str]) -> Node:
    if version >= 10:  # noqa: PLR2004
        return node
    for index, name in enumerate(("starts", "ends", "axes"), start=1):
        node = attribute_to_input(node, name, index, constant)
    return node


def _permutation(perm: tuple[int, ...], rank: int) -> tuple[int, ...]:
    order = tuple(perm) or tuple(reversed(range(rank)))
    if sorted(order) != list(range(rank)):
        raise Mismatch(f"perm must order {rank} axes", f"it is {list(order)}")
    return order


def _infer_transpose(at: Inference) -> Inferred:
    x = at.shape(0)
    return [(at.dtype(0), tuple(x[axis] for axis in _permutation(at.attributes["perm"], len(x))))]


def gathered(x: Shape, indices: Shape, axis: int) -> Shape:
    """The axis of x replaced by the axes of indices."""
    place = axis_of(axis, len(x))
    return (*x[:place], *indices, *x[place + 1 :])


SLICE = Operator(
    name="Slice",
    since=(1, 10, 11, 13),
    inputs=("x", "starts", "ends", "axes?", "steps?"),
    infer=_infer_slice,
    reference=slice_,
    upgrade=_upgrade_slice,
    summary="Every step-th element between start and end, along each axis.",
)

TRANSPOSE = Operator(
    name="Transpose",
    since=(1, 13, 21, 23, 24, 25),
    inputs=("x",),
    attributes=MappingProxyType({"perm": ()}),
    infer=_infer_transpose,
    reference=lambda x, *, perm: x.transpose(_permutation(perm, x.ndim)),
    summary="Axes in another order; reversed by default.",
)

GATHER = Operator(
    name="Gather",
    since=(1, 11, 13),
    inputs=("x", "indices"),
    attributes=MappingProxyType({"axis": 0}),
    infer=lambda at: [(at.dtype(0), gathered(at.shape(0), at.shape(1), at.attributes["axis"]))],
    reference=lambda x, indices, *, axis: np.take(x, indices, axis_of(axis, x.ndim)),
    summary="Entries of an axis by their numbers; negative ones count from the end.",
)

OPERATORS = (SLICE, TRANSPOSE, GATHER)
