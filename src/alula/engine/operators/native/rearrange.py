"""Which copies run operators that repeat elements, mirror them, or move them between channels and space.

In: Tile, Pad, CenterCropPad, DepthToSpace or SpaceToDepth on plain memory. Out: one copy kernel, or None.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from alula.engine.graph.nodes import Array
from alula.engine.kernels.call import KernelCall, Selection
from alula.engine.kernels.copy import Copy, Region
from alula.engine.kernels.rearrange import dense_strides, pad
from alula.engine.operators.native.move import pad_by_copy

# A copy has code for every region: more of them than this are left to the reference.
_MOST_REGIONS = 128


@dataclass(frozen=True)
class Stretch:
    """Neighbouring outputs of one axis: `count` from `place` on, made of inputs `start`, `start + step`, ..."""

    place: int
    count: int
    start: int
    step: int


def stretches(numbers: Array) -> tuple[Stretch, ...]:
    """Where the elements of one axis come from, cut into runs of equal steps.

    Args:
        numbers: for each output element the input element that it shows.
    """
    found: list[Stretch] = []
    place = 0
    while place < len(numbers):
        step = int(numbers[place + 1] - numbers[place]) if place + 1 < len(numbers) else 1
        # Steps other than of one element are runs only where they repeat one.
        step = step if step in (-1, 0, 1) else 1
        count = 1
        while place + count < len(numbers) and numbers[place + count] - numbers[place + count - 1] == step:
            count += 1
        found.append(Stretch(place, count, int(numbers[place]), step))
        place += count
    return tuple(found)


def take_along_axes(shape: Sequence[int], numbers: Sequence[Array], element: int) -> Copy | None:
    """Output [i, j, ...] shows input [numbers[0][i], numbers[1][j], ...]; None where that takes too many regions."""
    out = tuple(len(axis) for axis in numbers)
    axes = [stretches(axis) for axis in numbers]
    if math.prod(map(len, axes)) > _MOST_REGIONS:
        return None
    reads, writes = dense_strides(tuple(shape)), dense_strides(out)
    regions = []
    for parts in product(*axes):
        starts = sum(part.start * stride for part, stride in zip(parts, reads, strict=True))
        places = sum(part.place * stride for part, stride in zip(parts, writes, strict=True))
        strides = tuple(part.step * stride for part, stride in zip(parts, reads, strict=True))
        regions.append(Region(tuple(part.count for part in parts), 0, starts, strides, places, writes))
    return Copy(element, 1, 1, tuple(regions))


def select_tile(at: Selection) -> tuple[KernelCall, ...] | None:
    """Every axis once more for its repetitions, which the copy reads without advancing."""
    repeats = at.constant(1)
    if repeats is None or at.value(0).block:
        return None
    shape, counts = at.shape(0), [int(count) for count in repeats]
    out = tuple(dim for pair in zip(counts, shape, strict=True) for dim in pair)
    reads = tuple(stride for own in dense_strides(shape) for stride in (0, own))
    return _call(at, Region(out or (1,), 0, 0, reads or (1,), 0, dense_strides(out) or (1,)))


def select_pad(at: Selection) -> tuple[KernelCall, ...] | None:
    """Borders of a constant; mirrored, nearest and repeated elements; cuts where borders are negative."""
    blocked = pad_by_copy(at)
    if blocked is not None or at.value(0).block:
        return blocked
    borders = _borders(at)
    if borders is None:
        return None
    shape, mode = at.shape(0), at.node.text("mode", "constant")
    if mode == "constant":
        return _constant_pad(at, borders)
    numbers = []
    for size, (before, after) in zip(shape, borders, strict=True):
        kept = np.arange(size)[max(-before, 0) : size - max(-after, 0)]
        if not kept.size:
            return None
        grown = max(before, 0), max(after, 0)
        numbers.append(np.pad(kept, grown, "edge" if mode == "edge" else "reflect" if mode == "reflect" else "wrap"))
    kernel = take_along_axes(shape, numbers, at.result().dtype.itemsize)
    return None if kernel is None or not kernel.units else (_made(at, kernel),)


def _borders(at: Selection) -> list[tuple[int, int]] | None:
    """Elements before and after each axis."""
    amounts, axes, rank = at.constant(1), at.constant(3), len(at.value(0).shape or ())
    if amounts is None or (at.node.input(3) and axes is None) or (at.node.input(2) and at.constant(2) is None):
        return None
    borders = [(0, 0)] * rank
    chosen = range(rank) if axes is None else [int(axis) % rank for axis in axes.reshape(-1)]
    for place, axis in enumerate(chosen):
        borders[axis] = int(amounts[place]), int(amounts[place + len(chosen)])
    return borders


def _constant_pad(at: Selection, borders: Sequence[tuple[int, int]]) -> tuple[KernelCall, ...] | None:
    """A border of a constant around what negative amounts leave."""
    shape, fill = at.shape(0), at.constant(2)
    size = at.result().dtype.itemsize
    bits = 0 if fill is None else int.from_bytes(np.asarray(fill).reshape(-1)[:1].tobytes(), "little")
    kept = tuple(dim - max(-before, 0) - max(-after, 0) for dim, (before, after) in zip(shape, borders, strict=True))
    if not shape or min(kept) < 0:
        return None
    grown = [[max(side, 0) for side in sides] for sides in zip(*borders, strict=True)]
    whole = pad(kept, grown[0], grown[1], size, bits)
    strides = dense_strides(shape)
    start = sum(max(-before, 0) * stride for (before, _), stride in zip(borders, strides, strict=True))
    inside, *rest = whole.regions
    region = Region(kept, 0, start, strides, inside.offset, inside.strides)
    kernel = Copy(size, 1, 1, (region, *rest), bits)
    return (_made(at, kernel),) if kernel.units else None


def select_center_crop_pad(at: Selection) -> tuple[KernelCall, ...] | None:
    """Zeros around the middle of the input."""
    if at.value(0).block:
        return None
    sizes = zip(at.shape(0), at.result_shape(), strict=True)
    borders = [(_half(want - have), want - have - _half(want - have)) for have, want in sizes]
    return _constant_pad(at, borders)


def _half(difference: int) -> int:
    """The part in front, rounded towards 0: an odd element is added or cut behind."""
    return difference // 2 if difference >= 0 else -(-difference // 2)


def select_depth_to_space(at: Selection) -> tuple[KernelCall, ...] | None:
    """[N, b, b, C, H, W] (or [N, C, b, b, H, W] for CRD) read as [N, C, H, b, W, b]."""
    if at.value(0).block:
        return None
    batch, channels, height, width = at.shape(0)
    size = at.node.integer("blocksize")
    inner = channels // (size * size)
    first = at.node.text("mode", "DCR") == "DCR"
    deep = (batch, size, size, inner, height, width) if first else (batch, inner, size, size, height, width)
    order = (0, 3, 4, 1, 5, 2) if first else (0, 1, 4, 2, 5, 3)
    return _reordered(at, deep, order)


def select_space_to_depth(at: Selection) -> tuple[KernelCall, ...] | None:
    """[N, C, H, b, W, b] read as [N, b, b, C, H, W], or as [N, C, b, b, H, W] for CRD."""
    if at.value(0).block:
        return None
    batch, channels, height, width = at.shape(0)
    size = at.node.integer("blocksize")
    wide = (batch, channels, height // size, size, width // size, size)
    return _reordered(at, wide, (0, 3, 5, 1, 2, 4) if at.node.text("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4))


def _reordered(at: Selection, shape: tuple[int, ...], order: Sequence[int]) -> tuple[KernelCall, ...] | None:
    reads = dense_strides(shape)
    out = tuple(shape[axis] for axis in order)
    return _call(at, Region(out, 0, 0, tuple(reads[axis] for axis in order), 0, dense_strides(out)))


def _call(at: Selection, region: Region) -> tuple[KernelCall, ...] | None:
    kernel = Copy(at.result().dtype.itemsize, 1, 1, (region,))
    return (_made(at, kernel),) if kernel.units else None


def _made(at: Selection, kernel: Copy) -> KernelCall:
    return KernelCall(kernel, (at.node.inputs[0],), (at.node.output,))
