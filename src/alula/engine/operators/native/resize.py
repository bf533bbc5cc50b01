"""Which kernel resamples a picture.

In: a Resize with layouts decided. Out: one kernel call, or None for the reference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import Shape, is_static, static
from alula.engine.graph.nodes import Array, Node, Value
from alula.engine.kernels.call import KernelCall, Selection
from alula.engine.kernels.resample import Resample
from alula.engine.operators.attributes import attributes_of
from alula.engine.operators.native.move import resize_by_copy
from alula.engine.operators.resample import Line, Taps, taps_of
from alula.engine.operators.resize import RESIZE, lines_of

_AXES = 2


@dataclass(frozen=True)
class Picture:
    """How a Resize sees its input: `planes` pictures of rows, columns and `channels` that lie side by side."""

    planes: int
    rows: Taps
    columns: Taps
    size: tuple[int, int]
    channels: int


def select_resize(at: Selection) -> tuple[KernelCall, ...] | None:
    """A copy where pixels are only repeated, else sums over tables that are made here."""
    copied = resize_by_copy(at)
    if copied is not None:
        return copied
    value, result = at.value(0), at.result()
    picture = picture_of(at.node, at.constants, value, result.shape or ())
    if picture is None or value.block != result.block or (value.block and picture.channels > 1):
        return None
    planes, block = picture.planes, picture.channels
    if value.block:
        batch, channels = static(value.shape or ())[:2]
        planes, block = batch * math.ceil(channels / value.block), value.block
    out = len(picture.rows.indices), len(picture.columns.indices)
    taps = picture.rows.indices.shape[1], picture.columns.indices.shape[1]
    kernel = Resample(planes, picture.size, out, taps, (_copies(picture.rows), _copies(picture.columns)), block)
    tables = (*_table(picture.rows, 0), *_table(picture.columns, at.target.lanes if block == 1 else 0))
    flops = 2 * math.prod(static(result.shape or ())) * sum(taps)
    return (KernelCall(kernel, (value.name, *tables), (at.node.output,), flops),)


def picture_of(node: Node, constants: Mapping[str, Array], value: Value, wanted: Shape) -> Picture | None:
    """What the kernel needs to know; None where sizes change otherwise than along two neighbouring axes.

    These are the last two, or the two before channels that come last.
    """
    shape = value.shape or ()
    missing = any(node.input(index) and node.input(index) not in constants for index in (1, 2, 3))
    if value.dtype is not DType.FLOAT32 or missing or not is_static(shape) or not is_static(wanted):
        return None
    if len(shape) < _AXES or not math.prod(static(shape)) or not math.prod(static(wanted)):
        return None
    attributes = attributes_of(RESIZE, node)
    roi, scales, sizes = (constants.get(node.input(index)) for index in (1, 2, 3))
    lines = dict(lines_of(static(shape), (roi, scales, sizes), attributes))
    first = len(shape) - _AXES
    if any(axis < first for axis in lines):
        first -= 1
    if first < 0 or any(axis not in (first, first + 1) for axis in lines):
        return None
    rows, columns = (_taps(static(shape)[axis], lines.get(axis), attributes) for axis in (first, first + 1))
    if rows.outside.any() or columns.outside.any():
        return None
    size = static(shape)[first : first + 2]
    outer, inner = math.prod(static(shape)[:first]), math.prod(static(shape)[first + _AXES :])
    return Picture(outer, rows, columns, (size[0], size[1]), inner)


def _taps(size: int, line: Line | None, attributes: Mapping[str, Any]) -> Taps:
    if line is not None:
        return taps_of(line, attributes)
    return Taps(np.arange(size)[:, None], np.ones((size, 1)), np.zeros(size, np.bool_))


def _copies(taps: Taps) -> bool:
    return bool(taps.indices.shape[1] == 1)


def _table(taps: Taps, lanes: int) -> tuple[Array, Array]:
    """Numbers and weights as the kernel reads them; by whole vectors of columns where `lanes` is not 0."""
    numbers, weights = taps.indices.astype(np.int32), taps.weights.astype(np.float32)
    if not lanes:
        return numbers, weights
    border = ((0, 0), (0, -len(numbers) % lanes))
    return np.pad(numbers.T, border), np.pad(weights.T, border)
