"""SparseTensorProto -> numpy array: the few elements that a file lists, zeros elsewhere.

In: a span of a model file. Out: a read-only dense array.
"""

from __future__ import annotations

import math

import numpy as np

from alula.base.errors import ModelFileError
from alula.base.tensors import DType
from alula.engine.graph.nodes import Array
from alula.engine.graph.numpy_dtypes import dtype_of
from alula.engine.importers.arrays import checked_shape, frozen
from alula.engine.importers.files import shown
from alula.engine.importers.onnx_messages import SPARSE_TENSOR
from alula.engine.importers.onnx_tensor import read_tensor
from alula.engine.importers.place import Place
from alula.engine.importers.records import read_record
from alula.engine.importers.wire import Span


def read_sparse(place: Place, span: Span, label: str = "") -> tuple[str, Array]:
    """The name and dense array of the SparseTensorProto at `span`; the name is that of its values.

    Indices are either positions in the flat tensor [count], or coordinates [count, rank]; they ascend, and none comes
    twice (onnx.proto, SparseTensorProto).

    Raises:
        ModelFileError: dims, values and indices do not fit together.
        LimitError: the dense form is too large.
    """
    record = read_record(place.wire, span, SPARSE_TENSOR)
    where = f"{place.wire.name}, sparse tensor {shown(label)}".rstrip()
    values_at, indices_at = record.one("values"), record.one("indices")
    if values_at is None or indices_at is None:
        raise ModelFileError(where, "needs values and indices", f"it lacks {'indices' if values_at else 'values'}")
    name, values = read_tensor(place.wire, values_at, place.files, label)
    _, indices = read_tensor(place.wire, indices_at, place.files, f"{label} indices")
    where = f"{place.wire.name}, sparse tensor {shown(name or label)}"
    if dtype_of(values) is DType.STRING:
        raise ModelFileError(where, "needs numbers", "found strings")
    shape = checked_shape(where, record.integers("dims").tolist(), values.itemsize)
    places = _positions(where, indices, values, shape)
    place.spend_dense(where, math.prod(shape) * values.itemsize)
    dense = np.zeros(math.prod(shape), values.dtype)
    dense[places] = values
    return name, frozen(dense.reshape(shape))


def _positions(where: str, indices: Array, values: Array, shape: tuple[int, ...]) -> Array:
    """The indices as positions in the flat tensor."""
    forms = ((values.size,), (values.size, len(shape)))
    if values.ndim != 1 or indices.dtype != np.int64 or indices.shape not in forms:
        needed = f"needs flat values, and int64 indices {list(forms[0])} or {list(forms[1])}"
        found = f"values {list(values.shape)}, indices {indices.dtype.name} {list(indices.shape)}"
        raise ModelFileError(where, needed, found)
    flat = indices
    if indices.ndim > 1:
        if np.any(indices < 0) or np.any(indices >= np.array(shape, np.int64)):
            raise ModelFileError(where, f"needs indices inside {list(shape)}", "one is outside")
        steps = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
        flat = (indices * np.array(steps, np.int64)).sum(1, dtype=np.int64)
    elif np.any(flat < 0) or np.any(flat >= math.prod(shape)):
        raise ModelFileError(where, f"needs indices below {math.prod(shape)}", "one is outside")
    if np.any(flat[1:] <= flat[:-1]):
        raise ModelFileError(where, "needs indices that ascend", "one does not")
    return flat
