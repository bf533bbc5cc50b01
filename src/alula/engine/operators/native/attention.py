"""Which kernel runs an attention.

In: a ScaledDotProduct on plain rows. Out: one kernel call, or None for the reference.
"""

from __future__ import annotations

from alula.engine.graph.nodes import Array
from alula.engine.kernels.attention import Attention, Strided
from alula.engine.kernels.call import KernelCall, Selection

_AXES = 4
_VIEW = 5
# A worker's scratch holds the turned keys of one head.
_MOST_SCRATCH = 64 << 20
_EXP_FLOPS = 20


def select_attention(at: Selection) -> tuple[KernelCall, ...] | None:
    """One kernel where features of v and y, and keys of the mask, are neighbours."""
    if any(at.value(index).block for index in range(len(at.node.inputs))):
        return None
    batch, heads, rows, keys, depth, width = at.node.ints("sizes")
    numbers = at.node.ints("views")
    q, k, v, y = (Strided(*numbers[start : start + _VIEW]) for start in range(0, len(numbers), _VIEW))
    masked = bool(at.node.input(3))
    mask = _mask(at.shape(3), keys) if masked else None
    if v.feature != 1 or y.feature != 1 or (masked and mask is None):
        return None
    kernel = Attention(
        batch, heads, rows, keys, depth, width, q, k, v, y, at.target, mask,
        at.node.real("scale", 1.0), bool(at.node.integer("safe")),
    )  # fmt: skip
    if kernel.scratch > _MOST_SCRATCH:
        return None
    reads: list[str | Array] = []
    for index, name in enumerate(at.node.inputs):
        constant = at.constant(index)
        reads.append(name if constant is None else constant)
    flops = batch * heads * rows * keys * (2 * (depth + width) + _EXP_FLOPS)
    return (KernelCall(kernel, tuple(reads), (at.node.output,), flops),)


def _mask(shape: tuple[int, ...], keys: int) -> Strided | None:
    """How a mask advances; None where it has one number for all keys of a row."""
    wide = (1,) * (_AXES - len(shape)) + shape
    if wide[-1] != keys:
        return None
    strides, distance = [], 1
    for dim in reversed(wide):
        strides.append(0 if dim == 1 else distance)
        distance *= dim
    return Strided(0, strides[3], strides[2], strides[1])
