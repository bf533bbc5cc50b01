"""Which kernel runs an operator that only moves elements.

In: Concat, Split, Slice, Transpose, Pad, Expand, Resize or Copy with layouts decided. Out: one copy kernel, or None.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import Shape, is_static, static
from alula.engine.graph.nodes import Array, Node, Value
from alula.engine.graph.primitives import FORMULA_TYPES
from alula.engine.kernels.call import KernelCall, Selection
from alula.engine.kernels.copy import Copy
from alula.engine.kernels.rearrange import concat, expand, pad, repeat_pixels, split, take_slice, transpose

_SPATIAL_AXES = 2
_PICTURE = 4


def select_copy(at: Selection) -> tuple[KernelCall, ...] | None:
    """The whole tensor as it is, where its bytes cannot be shared: of constants, and of outputs that are inputs."""
    if at.value(0).block != at.result().block or not _element(at):
        return None
    return _call(at, concat([_stored(at.value(0))], 0, _element(at)))


def select_bit_cast(at: Selection) -> tuple[KernelCall, ...] | None:
    """A copy, between types that fill their bytes."""
    return select_copy(at) if {at.value(0).dtype, at.result().dtype} <= FORMULA_TYPES - {DType.BOOL} else None


def concat_by_copy(at: Selection) -> tuple[KernelCall, ...] | None:
    """Each input into its stretch of the output; in blocks along the channels, whole blocks at a time."""
    result = at.result()
    inputs = [at.value(index) for index in range(len(at.node.inputs))]
    axis = at.node.integer("axis") % max(1, len(result.shape or ()))
    if any(value.block != result.block for value in inputs) or (result.block and axis != 1):
        return None
    return _call(at, concat([_stored(value) for value in inputs], axis, _element(at)))


def split_by_copy(at: Selection) -> tuple[KernelCall, ...] | None:
    """Each stretch of the input into its output."""
    if at.value(0).block or not all(at.node.outputs):
        return None
    shape = _stored(at.value(0))
    axis = at.node.integer("axis") % max(1, len(shape))
    sizes = [_stored(at.values[name])[axis] for name in at.node.outputs]
    return _call(at, split(shape, axis, sizes, _element(at)))


def select_slice(at: Selection) -> tuple[KernelCall, ...] | None:
    """Constant starts and steps, which may be negative."""
    starts, axes, steps = at.constant(1), at.constant(3), at.constant(4)
    missing = any(at.node.input(index) and at.constant(index) is None for index in (1, 3, 4))
    if at.value(0).block or starts is None or missing:
        return None
    shape = _stored(at.value(0))
    first, stride = [0] * len(shape), [1] * len(shape)
    for index, axis in enumerate(axes if axes is not None else range(starts.size)):
        begin, step, extent = int(starts[index]), 1 if steps is None else int(steps[index]), shape[int(axis)]
        begin += extent if begin < 0 else 0
        first[int(axis)] = min(max(begin, 0), extent if step > 0 else extent - 1)
        stride[int(axis)] = step
    return _call(at, take_slice(shape, first, stride, _stored(at.result()), _element(at)))


def select_transpose(at: Selection) -> tuple[KernelCall, ...] | None:
    """Any permutation."""
    shape = _stored(at.value(0))
    if at.value(0).block:
        return None
    order = at.node.ints("perm") or tuple(reversed(range(len(shape))))
    return _call(at, transpose(shape, order, _element(at)))


def select_expand(at: Selection) -> tuple[KernelCall, ...] | None:
    """Repeats along axes of 1."""
    shape, result = _stored(at.value(0)), _stored(at.result())
    return None if at.value(0).block else _call(at, expand(shape, result, _element(at)))


def pad_by_copy(at: Selection) -> tuple[KernelCall, ...] | None:
    """A constant border; blocked tensors along rows and columns only."""
    value, amounts, fill = at.value(0), at.constant(1), at.constant(2)
    if amounts is None or at.node.text("mode", "constant") != "constant" or at.node.input(3):
        return None
    rank = len(value.shape or ())
    before, after = ([int(n) for n in half] for half in (amounts[:rank], amounts[rank:]))
    outside = rank - _SPATIAL_AXES
    if (at.node.input(2) and fill is None) or min([*before, *after], default=0) < 0:
        return None
    if value.block and any([*before[:outside], *after[:outside]]):
        return None
    bits = 0 if fill is None else int.from_bytes(np.asarray(fill).reshape(-1)[:1].tobytes(), "little")
    within = [0] * bool(value.block)
    return _call(at, pad(_stored(value), [*before, *within], [*after, *within], _element(at), bits))


def resize_by_copy(at: Selection) -> tuple[KernelCall, ...] | None:
    """Nearest neighbour by whole factors along rows and columns, in blocks or plain."""
    value = at.value(0)
    factors = pixel_factors(at.node, at.constants, value.shape or (), at.result().shape or ())
    if factors is None or value.block != at.result().block:
        return None
    batch, channels, *size = static(value.shape or ())
    planes = batch * (math.ceil(channels / value.block) if value.block else channels)
    return _call(at, repeat_pixels(planes, (size[0], size[1]), factors, value.block or 1, _element(at)))


_REPEATING = {
    "half_pixel": ("round_prefer_floor", "round_prefer_ceil"),
    "asymmetric": ("floor", "simple"),
}


def pixel_factors(node: Node, constants: Mapping[str, Array], shape: Shape, wanted: Shape) -> tuple[int, int] | None:
    """How often a Resize repeats every row and every column; None where it does anything else.

    Output pixel i shows input pixel i // factor: for whole factors, half_pixel does so where it rounds to the nearest
    (its coordinates are never halfway), asymmetric where it rounds down.
    """
    place = node.text("coordinate_transformation_mode", "half_pixel")
    rounding = node.text("nearest_mode", "round_prefer_floor")
    if rounding not in _REPEATING.get(place, ()):
        return None
    if node.text("mode", "nearest") != "nearest" or node.ints("axes") or node.input(1):
        return None
    if any(node.input(index) and node.input(index) not in constants for index in (2, 3)):
        return None
    if len(shape) != _PICTURE or not is_static(shape) or not is_static(wanted) or not math.prod(static(shape)):
        return None
    factors = [new // old for old, new in zip(static(shape), static(wanted), strict=True)]
    scales = constants.get(node.input(2))
    exact = all(old * factor == new for old, factor, new in zip(static(shape), factors, wanted, strict=True))
    if not exact or factors[:2] != [1, 1] or (scales is not None and scales.size and scales.tolist() != factors):
        return None
    return factors[2], factors[3]


def _call(at: Selection, kernel: Copy) -> tuple[KernelCall, ...] | None:
    """The kernel on the node's operands; None where there is nothing to move."""
    if not kernel.units:
        return None
    reads = at.node.inputs if at.node.op == "Concat" else at.node.inputs[:1]
    return (KernelCall(kernel, reads, at.node.outputs),)


def _element(at: Selection) -> int:
    return at.result().dtype.itemsize


def _stored(value: Value) -> tuple[int, ...]:
    """The shape in memory; scalars become one element."""
    shape = static(value.shape or ())
    if not value.block:
        return shape or (1,)
    return (shape[0], math.ceil(shape[1] / value.block), *shape[2:], value.block)
