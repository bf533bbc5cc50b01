"""The copies that operators ask for.

In: shapes of dense tensors and what to do with them. Out: `Copy` kernels.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

from alula.engine.kernels.copy import Copy, Region

Shape = tuple[int, ...]


def dense_strides(shape: Shape) -> Shape:
    """Row-major strides in elements."""
    return tuple(math.prod(shape[d + 1 :]) for d in range(len(shape)))


def concat(shapes: Sequence[Shape], axis: int, element: int) -> Copy:
    """Join tensors along an axis. Operands: the tensors, the output.

    Args:
        shapes: equal but for the axis.
        axis: not negative.
        element: bytes of one element, as in every function here.
    """
    starts = itertools.accumulate((shape[axis] for shape in shapes), initial=0)
    whole = (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])
    strides = dense_strides(whole)
    regions = [
        Region(shape, index, 0, dense_strides(shape), start * strides[axis], strides)
        for index, (shape, start) in enumerate(zip(shapes, starts, strict=False))
    ]
    return Copy(element, len(shapes), 1, tuple(regions))


def split(shape: Shape, axis: int, sizes: Sequence[int], element: int) -> Copy:
    """Cut a tensor along an axis. Operands: the tensor, one output for each size."""
    strides = dense_strides(shape)
    starts = itertools.accumulate(sizes, initial=0)
    regions = []
    for index, (size, start) in enumerate(zip(sizes, starts, strict=False)):
        part = (*shape[:axis], size, *shape[axis + 1 :])
        regions.append(Region(part, 0, start * strides[axis], strides, 0, dense_strides(part), index))
    return Copy(element, 1, len(sizes), tuple(regions))


def take_slice(shape: Shape, starts: Sequence[int], steps: Sequence[int], out: Shape, element: int) -> Copy:
    """Read `out` elements from `starts` on in `steps`, which may be negative. Operands: the tensor, the output.

    Args:
        shape: the tensor's.
        starts: the first index along every axis, inside of the tensor.
        steps: one for every axis.
        out: the result's shape.
        element: bytes of one element.
    """
    strides = dense_strides(shape)
    offset = sum(start * stride for start, stride in zip(starts, strides, strict=True))
    reads = tuple(step * stride for step, stride in zip(steps, strides, strict=True))
    return Copy(element, 1, 1, (Region(out, 0, offset, reads, 0, dense_strides(out)),))


def transpose(shape: Shape, order: Sequence[int], element: int) -> Copy:
    """Reorder axes: axis i of the result is axis `order[i]`. Operands: the tensor, the output."""
    strides = dense_strides(shape)
    out = tuple(shape[axis] for axis in order)
    region = Region(out, 0, 0, tuple(strides[axis] for axis in order), 0, dense_strides(out))
    return Copy(element, 1, 1, (region,))


def expand(shape: Shape, out: Shape, element: int) -> Copy:
    """Repeat along axes of 1, as numpy broadcasts. Operands: the tensor, the output."""
    full = (1,) * (len(out) - len(shape)) + shape
    strides = dense_strides(full)
    reads = tuple(0 if extent == 1 else stride for extent, stride in zip(full, strides, strict=True))
    return Copy(element, 1, 1, (Region(out, 0, 0, reads, 0, dense_strides(out)),))


def repeat_pixels(planes: int, size: tuple[int, int], factors: tuple[int, int], block: int, element: int = 4) -> Copy:
    """Enlarge maps to the nearest pixel by whole factors. Operands: the tensor, the output.

    Args:
        planes: images times channels, or channel blocks.
        size: rows and columns of a map.
        factors: copies of every row and of every column.
        block: channels of a block, 1 for a plain tensor.
        element: bytes of one element.
    """
    (height, width), (tall, wide) = size, factors
    out = (planes, height, tall, width, wide, block)
    reads = (height * width * block, width * block, 0, block, 0, 1)
    return Copy(element, 1, 1, (Region(out, 0, 0, reads, 0, dense_strides(out)),))


def pad(shape: Shape, before: Sequence[int], after: Sequence[int], element: int, bits: int = 0) -> Copy:
    """Put a constant around a tensor. Operands: the tensor, the output.

    Args:
        shape: the tensor's.
        before: elements added before each axis, not negative.
        after: elements added behind.
        element: bytes of one element.
        bits: the constant, as an unsigned integer of that size.
    """
    out = tuple(b + extent + a for b, extent, a in zip(before, shape, after, strict=True))
    strides = dense_strides(out)
    offset = sum(b * stride for b, stride in zip(before, strides, strict=True))
    inside = Region(shape, 0, 0, dense_strides(shape), offset, strides)
    return Copy(element, 1, 1, (inside, *_borders(shape, before, after, out)), bits)


def _borders(shape: Shape, before: Sequence[int], after: Sequence[int], out: Shape) -> Iterator[Region]:
    """What surrounds the tensor, cut into boxes: those of an axis are as thick as the tensor along earlier axes."""
    strides = dense_strides(out)
    nowhere = (0,) * len(out)
    inner = 0
    for axis, extent in enumerate(shape):
        for start, thickness in ((0, before[axis]), (before[axis] + extent, after[axis])):
            if thickness:
                box = (*shape[:axis], thickness, *out[axis + 1 :])
                yield Region(box, None, 0, nowhere, inner + start * strides[axis], strides)
        inner += before[axis] * strides[axis]
