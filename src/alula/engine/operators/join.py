"""Joining arrays along an axis, and cutting them apart.

In: arrays that agree in all axes but one. Out: one array; Split gives several.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

import numpy as np

from alula.engine.graph.dims import Dim, Shape
from alula.engine.graph.nodes import Array, Node
from alula.engine.operators.common import (
    Mismatch,
    agree,
    attribute_to_input,
    axis_of,
    integers,
    known,
    same_dtypes,
    show,
)
from alula.engine.operators.record import REQUIRED, Inference, Inferred, Operator

_OPSET_NUM_OUTPUTS = 18


def concatenated(shapes: tuple[Shape, ...], axis: int) -> Shape:
    """The shape of arrays joined along `axis`.

    Raises:
        Mismatch: they differ in rank or in another axis.
    """
    first = shapes[0]
    place = axis_of(axis, len(first))
    for other in shapes[1:]:
        rest = zip(first[:place] + first[place + 1 :], other[:place] + other[place + 1 :], strict=False)
        if len(other) != len(first) or not all(agree(a, b) for a, b in rest):
            raise Mismatch(f"inputs must agree in all axes but {place}", f"{show(first)} meets {show(other)}")
    total: Dim = 0
    for shape in shapes:
        total = shape[place] + total
    columns = [_number(dims) for dims in zip(*shapes, strict=True)]
    return (*columns[:place], total, *columns[place + 1 :])


def _number(dims: Shape) -> Dim:
    """The first dimension that is a number; else the first."""
    return next((dim for dim in dims if isinstance(dim, int)), dims[0])


def _infer_concat(at: Inference) -> Inferred:
    count = len(at.inputs)
    same_dtypes(at, range(count))
    shapes = tuple(at.shape(index) for index in range(count))
    return [(at.dtype(0), concatenated(shapes, at.attributes["axis"]))]


def _upgrade_concat(node: Node, version: int, constant: Callable[[Array], str]) -> Node:
    del constant
    return node.with_attributes(axis=node.integer("axis", 1)) if version < 4 else node  # noqa: PLR2004


def split_sizes(total: int, sizes: tuple[int, ...] | None, parts: int) -> tuple[int, ...]:
    """How long each part is: as given, else equal parts of which the last may be shorter.

    Raises:
        Mismatch: the sizes do not add up, or there are more parts than rows.
    """
    if sizes is None:
        if not 1 <= parts <= max(total, 1):
            raise Mismatch(f"{total} rows can be cut into 1 to {max(total, 1)} parts", f"num_outputs is {parts}")
        length = -(-total // parts)
        sizes = tuple(min(length, total - length * part) for part in range(parts))
    if sum(sizes) != total or any(size < 0 for size in sizes):
        raise Mismatch(f"parts must add up to {total}", f"they are {list(sizes)}")
    return sizes


def split(x: Array, sizes: Array | None = None, *, axis: int, num_outputs: int) -> tuple[Array, ...]:
    """X cut along an axis; the parts are views."""
    place = axis_of(axis, x.ndim)
    lengths = split_sizes(x.shape[place], None if sizes is None else integers(sizes), num_outputs)
    return tuple(np.split(x, np.cumsum(lengths)[:-1], place))


def _infer_split(at: Inference) -> Inferred:
    x = at.shape(0)
    place = axis_of(at.attributes["axis"], len(x))
    given = integers(at.constant(1)) if at.has(1) else None
    if given is not None and not isinstance(x[place], int):
        lengths = given
    else:
        lengths = split_sizes(known(x[place]), given, at.attributes["num_outputs"])
    return [(at.dtype(0), (*x[:place], length, *x[place + 1 :])) for length in lengths]


def _upgrade_split(node: Node, version: int, constant: Callable[[Array], str]) -> Node:
    if version >= _OPSET_NUM_OUTPUTS:
        return node
    newer = attribute_to_input(node, "split", 1, constant)
    return newer if newer.input(1) else newer.with_attributes(num_outputs=len(node.outputs))


CONCAT = Operator(
    name="Concat",
    since=(1, 4, 11, 13),
    inputs=("x*",),
    attributes=MappingProxyType({"axis": REQUIRED}),
    infer=_infer_concat,
    reference=lambda *arrays, axis: np.concatenate(arrays, axis),
    upgrade=_upgrade_concat,
    summary="Join along an axis.",
)

SPLIT = Operator(
    name="Split",
    since=(1, 2, 11, 13, 18),
    inputs=("x", "split?"),
    outputs=("y*",),
    attributes=MappingProxyType({"axis": 0, "num_outputs": 0}),
    infer=_infer_split,
    reference=split,
    upgrade=_upgrade_split,
    summary="Cut along an axis.",
)

OPERATORS = (CONCAT, SPLIT)
