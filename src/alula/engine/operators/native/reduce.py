"""Which kernel runs a reduction along axes.

In: a Reduce operator, or a global pooling, on plain rows. Out: one kernel call, or None for the reference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from alula.base.tensors import DType
from alula.engine.kernels.call import KernelCall, Selection
from alula.engine.kernels.lanes import computable
from alula.engine.kernels.reduce import Reduce, ReduceKind, collapse_axes

_KINDS: Mapping[str, ReduceKind] = MappingProxyType({
    "ReduceSum": "sum", "ReduceMean": "mean", "ReduceMax": "max", "ReduceMin": "min", "ReduceProd": "prod",
    "ReduceL1": "l1", "ReduceL2": "l2", "ReduceSumSquare": "sum_square", "ReduceLogSum": "log_sum",
    "ReduceLogSumExp": "log_sum_exp",
})  # fmt: skip
_FLOAT32_ONLY = frozenset({"log_sum", "log_sum_exp"})
_FLOAT_ONLY = frozenset({"l2"})
_COST: Mapping[str, int] = MappingProxyType({"log_sum_exp": 20, "l1": 2, "l2": 2, "sum_square": 2})


def select_reduce(at: Selection) -> tuple[KernelCall, ...] | None:
    """Constant axes of a tensor that is not empty; logarithms of float32, roots of floats, sums of what is no bool."""
    value, axes = at.value(0), at.constant(1)
    kind = _KINDS[at.node.op]
    if value.block or at.result().block or (at.node.input(1) and axes is None) or not _suits(kind, value.dtype):
        return None
    rank = len(value.shape or ())
    chosen = () if axes is None else tuple(int(axis) % max(rank, 1) for axis in axes.reshape(-1))
    if not chosen and not at.node.integer("noop_with_empty_axes"):
        chosen = tuple(range(rank))
    return reduction(at, kind, chosen)


def plain_pool(at: Selection, kind: ReduceKind) -> tuple[KernelCall, ...] | None:
    """A global pooling of plain rows: a reduction of all axes behind the channels."""
    value = at.value(0)
    if value.block or value.dtype not in {DType.FLOAT32, DType.FLOAT64}:
        return None
    return reduction(at, kind, tuple(range(2, len(value.shape or ()))))


def reduction(at: Selection, kind: ReduceKind, axes: tuple[int, ...]) -> tuple[KernelCall, ...] | None:
    """The kernel over the first input; None where that is empty."""
    shape = at.shape(0)
    if not math.prod(shape):
        return None
    kernel = Reduce(kind, at.value(0).dtype, *collapse_axes(shape, axes))
    flops = math.prod(shape) * _COST.get(kind, 1)
    return (KernelCall(kernel, (at.node.inputs[0],), (at.node.output,), flops),)


def _suits(kind: ReduceKind, dtype: DType) -> bool:
    if kind in _FLOAT32_ONLY:
        return dtype is DType.FLOAT32
    if kind in _FLOAT_ONLY:
        return dtype in {DType.FLOAT32, DType.FLOAT64}
    return computable(dtype) and (dtype is not DType.BOOL or kind in {"max", "min"})
