"""Constants, ranges, and shapes as data.

In: attributes or shapes. Out: arrays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.nodes import Array
from alula.engine.graph.numpy_dtypes import dtype_of
from alula.engine.operators.common import Mismatch, Refusal, integers
from alula.engine.operators.precision import widened
from alula.engine.operators.record import Inference, Inferred, Operator
from alula.engine.operators.window import check_elements

_VALUE_DTYPES = MappingProxyType(
    {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
)
_VALUE_NAMES = ("value", *_VALUE_DTYPES, "value_string", "value_strings", "sparse_value")
_ZERO = np.zeros(1, np.float32)


def constant(**values: Any) -> Array:
    """The array that the one attribute given describes."""
    given = [(name, value) for name, value in values.items() if value is not None]
    if len(given) != 1:
        raise Mismatch("a constant needs one value", f"it has {len(given)}")
    name, value = given[0]
    if name != "value" and name not in _VALUE_DTYPES:
        raise Refusal("a constant must be a dense tensor of numbers", f"it has {name}")
    return np.asarray(value, _VALUE_DTYPES.get(name))


def _infer_constant(at: Inference) -> Inferred:
    array = constant(**at.attributes)
    return [(dtype_of(array), array.shape)]


def _filler(value: Array | None) -> Array:
    return _ZERO if value is None else np.asarray(value).reshape(1)


def _infer_filled(at: Inference) -> Inferred:
    shape = at.sizes(0)
    if any(isinstance(dim, int) and dim < 0 for dim in shape):
        raise Mismatch("sizes must be at least 0", f"they are {list(shape)}")
    return [(dtype_of(_filler(at.attributes["value"])), shape)]


def fill(shape: Array, *, value: Array | None) -> Array:
    """One number everywhere; 0.0 by default."""
    number = _filler(value)
    check_elements(integers(shape))
    return np.full(integers(shape), number[0], number.dtype)


def _range(start: Array, limit: Array, delta: Array, *, stash_type: int) -> Array:
    """Start, start + delta, ... below `limit`; storage types are counted in float32, which is the default stash."""
    del stash_type
    first, last, step = (widened(number).reshape(()) for number in (start, limit, delta))
    count = _range_length(first, last, step)
    check_elements((count,))
    return np.asarray(first + np.arange(count).astype(first.dtype) * step, start.dtype)


def _range_length(start: Array, limit: Array, delta: Array) -> int:
    if not delta.item():
        raise Mismatch("delta must not be 0", "it is 0")
    if start.dtype.kind in "iu":
        return max(-((int(start) - int(limit)) // int(delta)), 0)
    steps = (float(limit) - float(start)) / float(delta)
    return max(math.ceil(steps), 0)


def _infer_range(at: Inference) -> Inferred:
    length = _range_length(*(np.asarray(at.constant(index)).reshape(()) for index in range(3)))
    return [(at.dtype(0), (length,))]


def _infer_shape(at: Inference) -> Inferred:
    return [(DType.INT64, (len(at.shape(0)[_part(at.attributes)]),))]


def _part(attributes: Mapping[str, Any]) -> slice:
    return slice(attributes["start"], attributes["end"])


CONSTANT = Operator(
    name="Constant",
    since=(1, 9, 11, 12, 13, 19, 21, 23, 24, 25),
    inputs=(),
    attributes=MappingProxyType(dict.fromkeys(_VALUE_NAMES)),
    infer=_infer_constant,
    reference=constant,
    summary="An array that stands in the model.",
)

CONSTANT_OF_SHAPE = Operator(
    name="ConstantOfShape",
    since=(9, 20, 21, 23, 24, 25),
    inputs=("shape",),
    attributes=MappingProxyType({"value": None}),
    infer=_infer_filled,
    reference=fill,
    summary="One number everywhere.",
)

RANGE = Operator(
    name="Range",
    since=(11, 27),
    inputs=("start", "limit", "delta"),
    attributes=MappingProxyType({"stash_type": 1}),
    infer=_infer_range,
    reference=_range,
    summary="Numbers at equal distances.",
)

SHAPE = Operator(
    name="Shape",
    since=(1, 13, 15, 19, 21, 23, 24, 25),
    inputs=("x",),
    attributes=MappingProxyType({"start": 0, "end": None}),
    infer=_infer_shape,
    reference=lambda x, **part: np.asarray(x.shape[_part(part)], np.int64),
    summary="The dimensions, or some of them, as int64.",
)

SIZE = Operator(
    name="Size",
    since=(1, 13, 19, 21, 23, 24, 25),
    inputs=("x",),
    infer=lambda _: [(DType.INT64, ())],
    reference=lambda x: np.asarray(x.size, np.int64),
    summary="The number of elements as int64.",
)

OPERATORS = (CONSTANT, CONSTANT_OF_SHAPE, RANGE, SHAPE, SIZE)
