"""What is found in data: elements that are not 0, that a condition keeps, or that differ. Their number is data too.

In: x, and for Compress a condition. Out: as many elements or positions as there are; only the dtype is known before.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import product
from alula.engine.graph.nodes import Array
from alula.engine.operators.common import Mismatch, axis_of
from alula.engine.operators.precision import in_float32
from alula.engine.operators.record import Inference, Operator, Partial


def non_zero(x: Array) -> Array:
    """Positions of elements that are not 0, in row-major order, a column each: int64 [rank, count]."""
    return np.asarray(np.nonzero(np.atleast_1d(x)), np.int64)


def _infer_non_zero(at: Inference) -> Partial:
    known = at.inputs[0]
    if known is not None and known.constant is not None:
        return [(DType.INT64, non_zero(known.constant).shape)]
    return [(DType.INT64, None)]


def compress(x: Array, condition: Array, *, axis: int | None) -> Array:
    """The slices along an axis (without one: the elements) at which the condition holds; it may be shorter."""
    whole = x.reshape(-1) if axis is None else x
    place = 0 if axis is None else axis_of(axis, x.ndim)
    return np.asarray(whole.take(np.flatnonzero(condition), place))


def _infer_compress(at: Inference) -> Partial:
    axis, known = at.attributes["axis"], at.inputs[1]
    if known is None or known.constant is None:
        return [(at.dtype(0), None)]
    count = int(np.count_nonzero(known.constant))
    x = (product(at.shape(0)),) if axis is None else at.shape(0)
    place = 0 if axis is None else axis_of(axis, len(x))
    most = int(np.flatnonzero(known.constant).max(initial=-1)) + 1
    size = x[place]
    if isinstance(size, int) and most > size:
        raise Mismatch(f"the condition must end within {size}", f"it holds at {most - 1}")
    return [(at.dtype(0), (*x[:place], count, *x[place + 1 :]))]


def unique(x: Array, *, axis: int | None, sorted: int) -> tuple[Array, Array, Array, Array]:  # noqa: A002  ONNX's
    """The different elements (with an axis: slices), where each stands first, which one each is, how often it is met.

    In rising order, or with sorted=0 in that of their first places.
    """
    whole = x.reshape(-1) if axis is None else x
    place = 0 if axis is None else axis_of(axis, x.ndim)
    _, first, inverse, counts = np.unique(
        whole, return_index=True, return_inverse=True, return_counts=True, axis=None if axis is None else place
    )
    inverse = inverse.reshape(-1)
    if not sorted:
        order = np.argsort(first)
        first, counts, inverse = first[order], counts[order], np.argsort(order)[inverse]
    return whole.take(first, place), first.astype(np.int64), inverse.astype(np.int64), counts.astype(np.int64)


def _infer_unique(at: Inference) -> Partial:
    known = at.inputs[0]
    if known is None or known.constant is None:
        return [(at.dtype(0), None), *((DType.INT64, None) for _ in range(3))]
    results = unique(known.constant, **at.attributes)
    return [(at.dtype(0), results[0].shape), *((DType.INT64, array.shape) for array in results[1:])]


NON_ZERO = Operator(
    name="NonZero",
    since=(9, 13),
    inputs=("x",),
    infer=_infer_non_zero,
    reference=in_float32(non_zero),
    summary="The positions of elements that are not 0.",
)

COMPRESS = Operator(
    name="Compress",
    since=(9, 11, 28),
    inputs=("x", "condition"),
    attributes=MappingProxyType({"axis": None}),
    infer=_infer_compress,
    reference=compress,
    summary="The slices or elements at which a condition holds.",
)

UNIQUE = Operator(
    name="Unique",
    since=(11, 28),
    inputs=("x",),
    outputs=("y", "indices", "inverse_indices", "counts"),
    attributes=MappingProxyType({"axis": None, "sorted": 1}),
    infer=_infer_unique,
    reference=in_float32(unique),
    summary="The different elements or slices, with their places and numbers.",
)

OPERATORS = (NON_ZERO, COMPRESS, UNIQUE)
