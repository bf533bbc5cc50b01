"""Operators that only change the shape: the output's bytes are the first input's.

In: x, and the new shape or axes as int64. Out: x under another shape.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from alula.engine.graph.dims import Dim, Shape, product, static
from alula.engine.graph.nodes import Array, Node
from alula.engine.operators.common import (
    Mismatch,
    attribute_to_input,
    axes_of,
    integers,
    known,
    same_as,
    show,
)
from alula.engine.operators.record import Inference, Inferred, Operator

_OPSET_AXES_AS_INPUT = 13


def reshaped(shape: Shape, wanted: Shape, allowzero: int) -> Shape:
    """The shape after Reshape: 0 copies a dimension (unless `allowzero`), one -1 takes what remains.

    Symbols in `wanted` are dimensions: positive.

    Raises:
        Mismatch: the number of elements would change, or `wanted` makes no sense.
    """
    if wanted.count(-1) > 1 or any(isinstance(dim, int) and dim < -1 for dim in wanted):
        raise Mismatch("a shape may hold one -1 and nothing below", f"it is {list(wanted)}")
    dims: list[Dim] = [_copied(shape, axis) if dim == 0 and not allowzero else dim for axis, dim in enumerate(wanted)]
    if -1 in wanted:
        hole = wanted.index(-1)
        dims[hole] = _quotient(shape, (*dims[:hole], *dims[hole + 1 :]), wanted)
    have, want = product(shape), product(tuple(dims))
    if isinstance(have, int) and isinstance(want, int) and have != want:
        raise Mismatch(f"shape {list(wanted)} needs {want} elements", f"{show(shape)} has {have}")
    return tuple(dims)


def _copied(shape: Shape, axis: int) -> Dim:
    if axis >= len(shape):
        raise Mismatch(f"0 at position {axis} copies a dimension", f"{show(shape)} has {len(shape)}")
    return shape[axis]


def _quotient(shape: Shape, others: Shape, wanted: Shape) -> Dim:
    """Elements of `shape` over those of `others`; equal symbols are cancelled first."""
    rest = list(shape)
    below: list[Dim] = []
    for dim in others:
        if not isinstance(dim, int) and dim in rest:
            rest.remove(dim)
        else:
            below.append(dim)
    have, divisor = product(tuple(rest)), product(tuple(below))
    if isinstance(have, int) and isinstance(divisor, int) and (divisor == 0 or have % divisor):
        raise Mismatch(f"shape {list(wanted)} needs a multiple of {divisor} elements", f"{show(shape)} has {have}")
    return have // divisor


def reshape(x: Array, shape: Array, *, allowzero: int) -> Array:
    """X under another shape."""
    return x.reshape(static(reshaped(x.shape, integers(shape), allowzero)))


def _infer_reshape(at: Inference) -> Inferred:
    return [(at.dtype(0), reshaped(at.shape(0), at.sizes(1), at.attributes["allowzero"]))]


def _upgrade_reshape(node: Node, version: int, constant: Callable[[Array], str]) -> Node:
    return attribute_to_input(node, "shape", 1, constant) if version < 5 else node  # noqa: PLR2004


def flattened(shape: Shape, axis: int) -> Shape:
    """Two dimensions: before `axis`, and from it on; `axis` may be the rank."""
    if not -len(shape) <= axis <= len(shape):
        raise Mismatch(f"axis must be in [{-len(shape)}, {len(shape)}]", f"it is {axis}")
    first = axis + len(shape) if axis < 0 else axis
    return product(shape[:first]), product(shape[first:])


def squeezed(shape: Shape, axes: tuple[int, ...] | None) -> Shape:
    """The shape without some dimensions of 1; without all of them where no axes are given."""
    if axes is None:
        return tuple(dim for dim in map(known, shape) if dim != 1)
    gone = axes_of(axes, len(shape))
    for axis in gone:
        if isinstance(shape[axis], int) and shape[axis] != 1:
            raise Mismatch(f"axis {axis} must be 1 to be squeezed", f"{show(shape)} has {shape[axis]}")
    return tuple(dim for axis, dim in enumerate(shape) if axis not in gone)


def unsqueezed(shape: Shape, axes: tuple[int, ...]) -> Shape:
    """The shape with dimensions of 1 where `axes` say, counted in the result."""
    rank = len(shape) + len(axes)
    new = axes_of(axes, rank)
    rest = iter(shape)
    return tuple(1 if axis in new else next(rest) for axis in range(rank))


def _axes(axes: Array | None) -> tuple[int, ...] | None:
    return None if axes is None else integers(axes)


def _infer_squeeze(at: Inference) -> Inferred:
    axes = _axes(at.constant(1)) if at.has(1) else None
    return [(at.dtype(0), squeezed(at.shape(0), axes))]


def _infer_unsqueeze(at: Inference) -> Inferred:
    return [(at.dtype(0), unsqueezed(at.shape(0), integers(at.constant(1))))]


def _upgrade_axes(node: Node, version: int, constant: Callable[[Array], str]) -> Node:
    return attribute_to_input(node, "axes", 1, constant) if version < _OPSET_AXES_AS_INPUT else node


RESHAPE = Operator(
    name="Reshape",
    since=(1, 5, 13, 14, 19, 21, 23, 24, 25),
    inputs=("x", "shape"),
    attributes=MappingProxyType({"allowzero": 0}),
    infer=_infer_reshape,
    reference=reshape,
    upgrade=_upgrade_reshape,
    view=True,
    summary="The same elements under another shape.",
)

FLATTEN = Operator(
    name="Flatten",
    since=(1, 9, 11, 13, 21, 23, 24, 25),
    inputs=("x",),
    attributes=MappingProxyType({"axis": 1}),
    infer=lambda at: [(at.dtype(0), flattened(at.shape(0), at.attributes["axis"]))],
    reference=lambda x, *, axis: x.reshape(static(flattened(x.shape, axis))),
    view=True,
    summary="A matrix: the axes before `axis`, and the others.",
)

SQUEEZE = Operator(
    name="Squeeze",
    since=(1, 11, 13, 21, 23, 24, 25),
    inputs=("x", "axes?"),
    infer=_infer_squeeze,
    reference=lambda x, axes=None: x.reshape(static(squeezed(x.shape, _axes(axes)))),
    upgrade=_upgrade_axes,
    view=True,
    summary="Leave out dimensions of 1.",
)

UNSQUEEZE = Operator(
    name="Unsqueeze",
    since=(1, 11, 13, 21, 23, 24, 25),
    inputs=("x", "axes"),
    infer=_infer_unsqueeze,
    reference=lambda x, axes: x.reshape(static(unsqueezed(x.shape, integers(axes)))),
    upgrade=_upgrade_axes,
    view=True,
    summary="Insert dimensions of 1.",
)

IDENTITY = Operator(
    name="Identity",
    since=(1, 13, 14, 16, 19, 21, 23, 24, 25),
    inputs=("x",),
    infer=same_as(),
    reference=lambda x: x,
    view=True,
    summary="x itself.",
)

OPERATORS = (RESHAPE, FLATTEN, SQUEEZE, UNSQUEEZE, IDENTITY)
