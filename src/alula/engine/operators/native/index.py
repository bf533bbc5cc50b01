"""Which kernels read and write at places that indices say.

In: Gather, GatherElements, GatherND, ScatterElements or ScatterND on plain rows. Out: kernel calls, or None for the
reference, which also gets indices that are known to lead outside: it refuses them, generated code cannot.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

from alula.base.tensors import DType
from alula.engine.graph.dims import static
from alula.engine.kernels.call import KernelCall, Selection
from alula.engine.kernels.gather import Gather, GatherElements, GatherSlices
from alula.engine.kernels.lanes import computable
from alula.engine.kernels.rearrange import concat, dense_strides
from alula.engine.kernels.scatter import ScatterElements, ScatterKind, ScatterSlices

_INDICES = frozenset({DType.INT32, DType.INT64})
# A type of each size, for elements that are only moved.
_MOVED: Mapping[int, DType] = MappingProxyType({1: DType.INT8, 2: DType.INT16, 4: DType.INT32, 8: DType.INT64})


def select_gather(at: Selection) -> tuple[KernelCall, ...] | None:
    """Rows of neighbouring bytes along any axis."""
    x, indices = (at.shape(index) for index in (0, 1))
    if not _plain(at) or not x:
        return None
    axis = at.node.integer("axis") % len(x)
    if not _inside(at, 1, (x[axis],)):
        return None
    inner = math.prod(x[axis + 1 :]) * at.value(0).dtype.itemsize
    size = at.value(1).dtype.itemsize
    return _call(at, Gather(math.prod(x[:axis]), x[axis], math.prod(indices), inner, size))


def select_gather_elements(at: Selection) -> tuple[KernelCall, ...] | None:
    """Single elements along an axis."""
    x, indices = (at.shape(index) for index in (0, 1))
    if not _plain(at) or not x:
        return None
    axis = at.node.integer("axis") % len(x)
    if not _inside(at, 1, (x[axis],)):
        return None
    sizes = at.value(0).dtype.itemsize, at.value(1).dtype.itemsize
    return _call(at, GatherElements(indices, dense_strides(x), axis, x[axis], *sizes))


def select_gather_nd(at: Selection) -> tuple[KernelCall, ...] | None:
    """Slices that tuples of indices name, behind shared leading axes."""
    x, indices = (at.shape(index) for index in (0, 1))
    batch = at.node.integer("batch_dims")
    if not _plain(at) or not indices or not indices[-1]:
        return None
    extents, rest = x[batch : batch + indices[-1]], x[batch + indices[-1] :]
    if not _inside(at, 1, extents):
        return None
    count = math.prod(indices[batch:-1])
    inner, size = math.prod(rest) * at.value(0).dtype.itemsize, at.value(1).dtype.itemsize
    return _call(at, GatherSlices(math.prod(x[:batch]), count, extents, inner, size))


def select_scatter_elements(at: Selection) -> tuple[KernelCall, ...] | None:
    """A copy, then single elements along an axis."""
    x, indices = (at.shape(index) for index in (0, 1))
    kind = _kind(at)
    if not _plain(at) or not x or kind is None:
        return None
    axis = at.node.integer("axis") % len(x)
    if not _inside(at, 1, (x[axis],)):
        return None
    dtype = at.value(0).dtype if kind != "none" else _MOVED[at.value(0).dtype.itemsize]
    size = at.value(1).dtype.itemsize
    return _onto_copy(at, ScatterElements(kind, dtype, indices, dense_strides(x), axis, x[axis], size))


def select_scatter_nd(at: Selection) -> tuple[KernelCall, ...] | None:
    """A copy, then slices that tuples of indices name."""
    x, indices = (at.shape(index) for index in (0, 1))
    kind = _kind(at)
    if not _plain(at) or kind is None or not indices or not indices[-1]:
        return None
    extents, rest = x[: indices[-1]], x[indices[-1] :]
    if not _inside(at, 1, extents):
        return None
    dtype = at.value(0).dtype if kind != "none" else _MOVED[at.value(0).dtype.itemsize]
    size = at.value(1).dtype.itemsize
    return _onto_copy(at, ScatterSlices(kind, dtype, math.prod(indices[:-1]), extents, math.prod(rest), size))


def _plain(at: Selection) -> bool:
    """Whether everything is in plain rows, something is read and written, and indices are whole numbers of 4 or 8."""
    values = [at.value(index) for index in range(len(at.node.inputs))] + [at.result()]
    if any(value.block or not math.prod(static(value.shape or ())) for value in values):
        return False
    return at.value(1).dtype in _INDICES and at.value(0).dtype.itemsize in _MOVED


def _inside(at: Selection, index: int, extents: tuple[int, ...]) -> bool:
    """Whether indices that are known, in tuples of one for each extent, lie inside; others are kept inside by code."""
    array = at.constant(index)
    if array is None:
        return True
    tuples = array.reshape(-1, len(extents))
    return bool((tuples >= [-n for n in extents]).all() and (tuples < list(extents)).all())


def _kind(at: Selection) -> ScatterKind | None:
    """What updates do with what is there; None where the element type has no arithmetic here."""
    kind = at.node.text("reduction", "none")
    dtype = at.value(0).dtype
    if kind not in {"none", "add", "mul", "max", "min"}:
        return None
    arithmetic = computable(dtype) and dtype is not DType.BOOL
    return cast("ScatterKind", kind) if kind == "none" or arithmetic else None


def _call(at: Selection, kernel: Gather | GatherElements | GatherSlices) -> tuple[KernelCall, ...]:
    return (KernelCall(kernel, at.node.inputs[:2], (at.node.output,)),)


def _onto_copy(at: Selection, kernel: ScatterElements | ScatterSlices) -> tuple[KernelCall, ...]:
    """The tensor copied to the result, then the updates written there."""
    x = at.value(0)
    copy = concat([static(x.shape or ())], 0, x.dtype.itemsize)
    written = (at.node.output,)
    return (KernelCall(copy, at.node.inputs[:1], written), KernelCall(kernel, at.node.inputs[1:3], written))
