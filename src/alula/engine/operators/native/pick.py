"""Which kernels pick, place and run along an axis: ArgMax, TopK, OneHot, Trilu, CumSum, ReverseSequence.

In: a node on plain rows. Out: one kernel call, or None for the reference.
"""

from __future__ import annotations

import math

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import static
from alula.engine.kernels.call import Kernel, KernelCall, Selection
from alula.engine.kernels.extreme_place import ExtremePlace
from alula.engine.kernels.lanes import computable
from alula.engine.kernels.placed import OneHot, TurnSequences, triangle
from alula.engine.kernels.running import Running
from alula.engine.kernels.top_k import SORTABLE, TopK

_INDICES = frozenset({DType.INT32, DType.INT64})
_MOVED = frozenset({1, 2, 4, 8})


def select_arg(at: Selection) -> tuple[KernelCall, ...] | None:
    """The place of the largest or smallest along any axis."""
    if not _plain(at) or not computable(at.value(0).dtype):
        return None
    sizes, last = _around(at, at.node.integer("axis")), bool(at.node.integer("select_last_index"))
    return _call(at, ExtremePlace("max" if at.node.op == "ArgMax" else "min", at.value(0).dtype, *sizes, last), (0,))


def select_top_k(at: Selection) -> tuple[KernelCall, ...] | None:
    """A constant number of elements, of types whose order fits 32 bits; either output may be left out."""
    count = at.constant(1)
    if count is None or not _plain(at) or at.value(0).dtype not in SORTABLE or not int(count.reshape(-1)[0]):
        return None
    values, places = (bool(name) for name in (*at.node.outputs, "")[:2])
    sizes, largest = _around(at, at.node.integer("axis", -1)), bool(at.node.integer("largest", 1))
    kernel = TopK(at.value(0).dtype, *sizes, int(count.reshape(-1)[0]), largest, values, places)
    return (KernelCall(kernel, at.node.inputs[:1], tuple(filter(None, at.node.outputs))),)


def select_one_hot(at: Selection) -> tuple[KernelCall, ...] | None:
    """Whole-numbered indices of 4 or 8 bytes, a constant depth."""
    depth = at.constant(1)
    if depth is None or not _plain(at) or at.value(0).dtype not in _INDICES:
        return None
    shape = at.shape(0)
    axis = at.node.integer("axis", -1) % (len(shape) + 1)
    sizes = at.value(2).dtype.itemsize, at.value(0).dtype.itemsize
    outer, inner = math.prod(shape[:axis]), math.prod(shape[axis:])
    return _call(at, OneHot(outer, int(depth.reshape(-1)[0]), inner, *sizes), (0, 2))


def select_trilu(at: Selection) -> tuple[KernelCall, ...] | None:
    """Triangles of matrices of any elements; the diagonal may be computed."""
    if not _plain(at):
        return None
    k = at.constant(1)
    computed = bool(at.node.input(1)) and k is None
    diagonal = None if computed else 0 if k is None else int(k.reshape(-1)[0])
    upper = bool(at.node.integer("upper", 1))
    kernel = triangle(at.shape(0), at.value(0).dtype.itemsize, upper=upper, diagonal=diagonal)
    return _call(at, kernel, (0, 1) if computed else (0,))


def select_running(at: Selection) -> tuple[KernelCall, ...] | None:
    """Along a constant axis, or the only one; numbers that have arithmetic here."""
    only = np.zeros(1, np.int64) if len(at.shape(0)) == 1 else None
    axis, dtype = only if at.constant(1) is None else at.constant(1), at.value(0).dtype
    if axis is None or not _plain(at) or not computable(dtype) or dtype is DType.BOOL:
        return None
    exclusive, reverse = (bool(at.node.integer(name)) for name in ("exclusive", "reverse"))
    sizes = _around(at, int(axis.reshape(-1)[0]))
    return _call(at, Running("add" if at.node.op == "CumSum" else "mul", dtype, *sizes, exclusive, reverse), (0,))


def select_reverse_sequence(at: Selection) -> tuple[KernelCall, ...] | None:
    """Samples and steps in either order; lengths that are known to be wrong are refused by the reference."""
    lengths = at.constant(1)
    shape = at.shape(0)
    if not _plain(at) or at.value(1).dtype not in _INDICES:
        return None
    time_first = at.node.integer("time_axis") == 0
    steps, batch = shape[:2] if time_first else (shape[1], shape[0])
    if lengths is not None and not ((lengths >= 0) & (lengths <= steps)).all():
        return None
    inner = math.prod(shape[2:]) * at.value(0).dtype.itemsize
    return _call(at, TurnSequences(batch, steps, inner, at.value(1).dtype.itemsize, time_first), (0, 1))


def _plain(at: Selection) -> bool:
    """Whether the first input and the results are plain rows of elements that can be moved, and not empty."""
    values = [at.value(0), *(at.values[name] for name in at.node.outputs if name)]
    return not any(
        value.block or value.dtype.itemsize not in _MOVED or not math.prod(static(value.shape or ()))
        for value in values
    )


def _around(at: Selection, axis: int) -> tuple[int, int, int]:
    """Extents before, along and behind an axis of the first input."""
    shape = at.shape(0) or (1,)
    place = axis % len(shape)
    return math.prod(shape[:place]), shape[place], math.prod(shape[place + 1 :])


def _call(at: Selection, kernel: Kernel, reads: tuple[int, ...]) -> tuple[KernelCall, ...]:
    return (KernelCall(kernel, tuple(at.node.inputs[index] for index in reads), (at.node.output,)),)
