"""Matrices by pattern: one-hot rows, diagonals, triangles.

In: indices or matrices. Out: arrays of 0 and 1 (or two other values), or one triangle of x.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import Shape, is_static, product
from alula.engine.graph.nodes import Array
from alula.engine.graph.numpy_dtypes import dtype_of, numpy_dtype
from alula.engine.operators.common import Mismatch, axis_of, integers, show
from alula.engine.operators.convert import dtype_numbered
from alula.engine.operators.record import Inference, Inferred, Operator, Partial
from alula.engine.operators.window import check_elements


def one_hot(indices: Array, depth: Array, values: Array, *, axis: int) -> Array:
    """values[1] where a new axis of size `depth` meets the index, else values[0]; other indices meet nothing."""
    size = _depth(depth)
    place = axis_of(axis, indices.ndim + 1)
    check_elements((*indices.shape, size))
    whole = np.asarray(indices, np.int64)
    wrapped = np.expand_dims(np.where(whole < 0, whole + size, whole), place)
    steps = np.arange(size).reshape(size, *(1,) * (indices.ndim - place))
    return np.asarray(np.where(wrapped == steps, values[1], values[0]), values.dtype)


def _depth(depth: Array) -> int:
    numbers = integers(depth)
    if len(numbers) != 1 or numbers[0] < 0:
        raise Mismatch("depth must be one number of at least 0", f"it is {list(numbers)}")
    return numbers[0]


def _check_count(what: str, shape: Shape, count: int) -> None:
    if is_static(shape) and product(shape) != count:
        raise Mismatch(f"{what} must have {count} element{'s' * (count > 1)}", f"the shape is {show(shape)}")


def _infer_one_hot(at: Inference) -> Partial:
    _check_count("values", at.shape(2), 2)
    known = at.inputs[1]
    if known is None or known.constant is None:
        return [(at.dtype(2), None)]
    indices = at.shape(0)
    place = axis_of(at.attributes["axis"], len(indices) + 1)
    return [(at.dtype(2), (*indices[:place], _depth(known.constant), *indices[place:]))]


def _check_matrix(shape: Shape, *, stacked: bool) -> None:
    if len(shape) != 2 and not (stacked and len(shape) > 2):  # noqa: PLR2004  rows and columns
        raise Mismatch("input must be a matrix" + " or a stack of them" * stacked, f"it is {show(shape)}")


def eye_like(x: Array, *, dtype: int | None, k: int) -> Array:
    """1 on the diagonal k columns to the right of the main one, else 0."""
    _check_matrix(x.shape, stacked=False)
    rows, columns = x.shape
    return np.asarray(np.eye(rows, columns, k)).astype(numpy_dtype(dtype_numbered(dtype) if dtype else dtype_of(x)))


def _infer_eye(at: Inference) -> Inferred:
    _check_matrix(at.shape(0), stacked=False)
    number = at.attributes["dtype"]
    return [(dtype_numbered(number) if number else at.dtype(0), at.shape(0))]


def trilu(x: Array, k: Array | None = None, *, upper: int) -> Array:
    """One triangle of each matrix, from the k-th diagonal on; 0 elsewhere."""
    _check_matrix(x.shape, stacked=True)
    (diagonal,) = (0,) if k is None else integers(k)
    return np.triu(x, diagonal) if upper else np.tril(x, diagonal)


def _infer_trilu(at: Inference) -> Inferred:
    _check_matrix(at.shape(0), stacked=True)
    if at.inputs[1:] and at.inputs[1] is not None:
        _check_count("k", at.shape(1), 1)
        if at.dtype(1) is not DType.INT64:
            raise Mismatch("k must be int64", f"it is {at.dtype(1)}")
    return [(at.dtype(0), at.shape(0))]


ONE_HOT = Operator(
    name="OneHot",
    since=(9, 11, 28),
    inputs=("indices", "depth", "values"),
    attributes=MappingProxyType({"axis": -1}),
    infer=_infer_one_hot,
    reference=one_hot,
    summary="One value where a new axis meets the index, another elsewhere.",
)

EYE_LIKE = Operator(
    name="EyeLike",
    since=(9, 22),
    inputs=("x",),
    attributes=MappingProxyType({"dtype": None, "k": 0}),
    infer=_infer_eye,
    reference=eye_like,
    summary="1 on a diagonal, else 0.",
)

TRILU = Operator(
    name="Trilu",
    since=(14,),
    inputs=("x", "k?"),
    attributes=MappingProxyType({"upper": 1}),
    infer=_infer_trilu,
    reference=trilu,
    summary="The upper or lower triangle of matrices.",
)

OPERATORS = (ONE_HOT, EYE_LIKE, TRILU)
