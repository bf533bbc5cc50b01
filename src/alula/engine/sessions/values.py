"""What callers hand to sessions that compute in numpy, and what they get back.

In: a TensorSpec and any buffer, list or None. Out: arrays; tensors, or the value itself where it is no plain tensor.
Strings are numpy arrays of objects, sequences lists of arrays, absent optionals None.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from alula.base.errors import InputError
from alula.base.tensors import BITS, DType, Tensor, TensorSpec
from alula.engine.graph.dims import Dim
from alula.engine.graph.nodes import Array, Value
from alula.engine.graph.numpy_dtypes import dtype_of, numpy_dtype

# The shape of an end whose rank is not known, sequences and optionals included.
ANY_SHAPE = ("...",)


def spec_of(value: Value) -> TensorSpec:
    """A value as sessions describe their ends; symbolic dimensions by their text, `...` for an unknown rank."""
    return TensorSpec(value.name, value.dtype, ANY_SHAPE if value.shape is None else tuple(map(_shown, value.shape)))


def _shown(dim: Dim) -> int | str:
    return dim if isinstance(dim, int) else str(dim)


def check_names(kind: str, given: Iterable[str], specs: Sequence[TensorSpec]) -> None:
    """Verify that the names which a caller uses are the model's.

    Raises:
        InputError: one is not.
    """
    names = [spec.name for spec in specs]
    for name in given:
        if name not in names:
            raise InputError(f"{kind} {name}", f"{kind}s are {', '.join(names)}", f"there is no {name}")


def receive(spec: TensorSpec, inputs: Mapping[str, Any]) -> Any:  # noqa: ANN401  arrays, lists, None
    """The value handed in for an input: an array of the model's dtype and shape, a view where that is possible.

    An input of any shape also takes a sequence (a list of arrays) or an absent optional (None).

    Raises:
        InputError: it is not there, or its dtype, shape or size does not fit.
    """
    where = f"input {spec.name}"
    if spec.name not in inputs:
        raise InputError(where, f"needs {spec}", f"got only {', '.join(inputs) or 'nothing'}")
    data = inputs[spec.name]
    if spec.shape == ANY_SHAPE and (data is None or isinstance(data, (list, tuple))):
        return None if data is None else [np.asarray(item) for item in data]
    array = as_plain_array(spec, data)
    if array.dtype != numpy_dtype(spec.dtype) or not fits(spec.shape, array.shape):
        raise InputError(where, f"needs {spec}", f"got {array.dtype} {list(array.shape)}")
    return array


def as_plain_array(spec: TensorSpec, data: Any) -> Array:  # noqa: ANN401  any buffer
    """A buffer as an array; what travels as unsigned integers becomes the type that it stands for."""
    if isinstance(data, Tensor):
        return as_array(data)
    if hasattr(data, "__array_interface__"):
        array = np.asarray(data)
        if spec.dtype is DType.STRING and array.dtype.kind in "US":
            return array.astype(str).astype(object)
        travels = spec.dtype in BITS and array.dtype.name == f"uint{8 * spec.dtype.itemsize}"
        return array.view(numpy_dtype(spec.dtype)) if travels else array
    if spec.dtype is DType.STRING:
        hint = "hand in a numpy array of strings"
        raise InputError(f"input {spec.name}", f"needs {spec}", f"got {type(data).__name__}", hint)
    try:
        raw = memoryview(data).cast("B")
    except TypeError:
        needed = f"needs {spec}: bytes, memoryview, numpy array or Tensor"
        raise InputError(f"input {spec.name}", needed, f"got {type(data).__name__}") from None
    shape = _raw_shape(spec, raw.nbytes)
    return np.frombuffer(raw, numpy_dtype(spec.dtype)).reshape(shape)


def fits(wanted: tuple[int | str, ...], shape: tuple[int, ...]) -> bool:
    """Whether a shape is one of those that a spec allows."""
    if wanted == ANY_SHAPE:
        return True
    if len(wanted) != len(shape):
        return False
    return all(want == dim or isinstance(want, str) for want, dim in zip(wanted, shape, strict=True))


def _raw_shape(spec: TensorSpec, size: int) -> tuple[int, ...]:
    """The shape of a buffer without one: at most one dimension may be unknown."""
    known = math.prod(dim for dim in spec.shape if isinstance(dim, int)) * spec.dtype.itemsize
    unknown = [dim for dim in spec.shape if isinstance(dim, str)]
    if len(unknown) > 1 or spec.shape == ANY_SHAPE or (size % max(known, 1) if unknown else size != known):
        raise InputError(f"input {spec.name}", f"needs {spec}", f"got {size} bytes without a shape")
    return tuple(dim if isinstance(dim, int) else size // max(known, 1) for dim in spec.shape)


def check_symbols(specs: Sequence[TensorSpec], feeds: Mapping[str, Any]) -> None:
    """Verify that one symbol is one number.

    Raises:
        InputError: it is two.
    """
    found: dict[str, int] = {}
    for spec in specs:
        if spec.shape == ANY_SHAPE:
            continue
        for want, dim in zip(spec.shape, feeds[spec.name].shape, strict=True):
            if isinstance(want, str) and found.setdefault(want, dim) != dim:
                raise InputError(f"input {spec.name}", f"needs {want} = {found[want]}", f"got {dim}")


def check_targets(specs: Sequence[TensorSpec], targets: Mapping[str, Any]) -> None:
    """Verify that buffers to fill are writable, and of the right size where it is known before the run.

    Raises:
        InputError: one is not.
    """
    for spec in specs:
        if spec.name in targets:
            view = memoryview(targets[spec.name])
            if view.readonly:
                raise InputError(f"output {spec.name}", "needs a writable buffer", "it is read-only")
            sizes = [dim for dim in spec.shape if isinstance(dim, int)]
            if len(sizes) == len(spec.shape):
                _check_size(spec.name, math.prod(sizes) * spec.dtype.itemsize, view.nbytes)


def deliver(name: str, result: Any, targets: Mapping[str, Any]) -> Any:  # noqa: ANN401  tensors, arrays of objects, lists
    """A result as the caller gets it: a Tensor, over the caller's buffer where there is one.

    Strings, sequences and absent optionals come as they are.

    Raises:
        InputError: the caller's buffer has another size, or the result has no bytes to fill it with.
    """
    target = targets.get(name)
    if not isinstance(result, (np.ndarray, Tensor)) or (isinstance(result, np.ndarray) and result.dtype.kind == "O"):
        if target is not None:
            raise InputError(f"output {name}", "needs no buffer", "its result is no tensor of numbers")
        return result
    tensor = result if isinstance(result, Tensor) else as_tensor(result)
    if target is None:
        return tensor
    _check_size(name, tensor.nbytes, memoryview(target).nbytes)
    if tensor.nbytes:
        memoryview(target).cast("B")[:] = tensor.view
    return Tensor(target, tensor.dtype, tensor.shape)


def as_array(tensor: Tensor) -> Array:
    """The tensor as a numpy array over the same memory."""
    return np.frombuffer(tensor.view, numpy_dtype(tensor.dtype)).reshape(tensor.shape)


def owned(result: Any) -> Any:  # noqa: ANN401  a Tensor, an array, None, or a list of them
    """A result as numpy arrays that belong to the caller: a copy, which outlives the session's next run."""
    if isinstance(result, Tensor):
        return as_array(result).copy()
    if isinstance(result, (list, tuple)):
        return [owned(item) for item in result]
    return result if result is None else np.array(result)


def as_tensor(array: Array) -> Tensor:
    """An array as a tensor over the same memory; a copy where it is not dense."""
    dense = np.ascontiguousarray(array)
    return Tensor(dense.reshape(-1).view(np.uint8).data, dtype_of(array), array.shape)


def _check_size(name: str, needed: int, found: int) -> None:
    if needed != found:
        raise InputError(f"output {name}", f"needs {needed} bytes", f"the buffer has {found}")
