"""Padding: a border around an array, or a cut where it is negative.

In: x, pads (int64: all begins, then all ends), the constant, the axes. Out: the larger or smaller array.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Literal, cast

import numpy as np

from alula.engine.graph.nodes import Array, Node
from alula.engine.operators.common import Mismatch, Refusal, attribute_to_input, axes_of, integers, show
from alula.engine.operators.record import Inference, Inferred, Operator

_MODES = ("constant", "reflect", "edge", "wrap")


def _borders(rank: int, pads: Array, axes: Array | None) -> list[tuple[int, int]]:
    """Begin and end of each axis."""
    numbers = integers(pads)
    chosen = tuple(range(rank)) if axes is None else axes_of(integers(axes), rank)
    if len(numbers) != 2 * len(chosen):
        raise Mismatch(f"pads needs {2 * len(chosen)} numbers", f"it has {len(numbers)}")
    borders = [(0, 0)] * rank
    for place, axis in enumerate(chosen):
        borders[axis] = (numbers[place], numbers[place + len(chosen)])
    return borders


def pad(x: Array, pads: Array, value: Array | None = None, axes: Array | None = None, *, mode: str) -> Array:
    """X with a border; what is negative is cut off first."""
    _check_mode(mode)
    borders = _borders(x.ndim, pads, axes)
    kept = [slice(max(-before, 0), dim - max(-after, 0)) for dim, (before, after) in zip(x.shape, borders, strict=True)]
    cut = x[tuple(kept)]
    grown = [(max(before, 0), max(after, 0)) for before, after in borders]
    if mode == "constant":
        fill: Any = 0 if value is None else value.reshape(()).astype(x.dtype)
        return np.pad(cut, grown, constant_values=fill)
    return np.pad(cut, grown, cast("Literal['reflect', 'edge', 'wrap']", mode))


def _check_mode(mode: str) -> None:
    if mode not in _MODES:
        raise Refusal(f"mode must be one of {', '.join(_MODES)}", f"it is {mode}")


def _infer_pad(at: Inference) -> Inferred:
    _check_mode(at.attributes["mode"])
    x = at.shape(0)
    borders = _borders(len(x), at.constant(1), at.constant(3) if at.has(3) else None)
    shape = tuple(dim + (before + after) for dim, (before, after) in zip(x, borders, strict=True))
    if any(isinstance(dim, int) and dim < 0 for dim in shape):
        raise Mismatch("padding must leave sizes of at least 0", f"{show(x)} would become {show(shape)}")
    return [(at.dtype(0), shape)]


def _upgrade_pad(node: Node, version: int, constant: Callable[[Array], str]) -> Node:
    if version >= 11:  # noqa: PLR2004
        return node
    return attribute_to_input(attribute_to_input(node, "pads", 1, constant), "value", 2, constant, np.float32)


PAD = Operator(
    name="Pad",
    since=(2, 11, 13, 18, 19, 21, 23, 24, 25),
    inputs=("x", "pads", "value?", "axes?"),
    attributes=MappingProxyType({"mode": "constant"}),
    infer=_infer_pad,
    reference=pad,
    upgrade=_upgrade_pad,
    summary="A border of a constant, of mirrored, nearest or repeated elements.",
)

OPERATORS = (PAD,)
