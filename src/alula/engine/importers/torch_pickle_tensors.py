"""Tensors of a PyTorch file: strided windows into its storages.

In: storages as bytes, claimed offsets, sizes and strides. Out: read-only numpy views, bounds checked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from alula.base.errors import ModelFileError
from alula.base.tensors import DType
from alula.engine.graph.nodes import Array
from alula.engine.importers.arrays import checked_shape, frozen, view_array
from alula.engine.importers.files import shown


@dataclass(frozen=True)
class Storage:
    """A run of elements in the file, under its key; `dtype` is None for untyped bytes."""

    key: str
    dtype: DType | None
    count: int


@dataclass(frozen=True)
class StoredTensor:
    """A window into a storage: offset, size and stride in elements."""

    storage: Storage
    dtype: DType
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class Storages:
    """The storages of one file as flat arrays, each converted at most once, however many tensors view it."""

    def __init__(self, data: Mapping[str, memoryview]) -> None:
        self._data = data
        self._flat: dict[tuple[str, DType], Array] = {}

    def flat(self, where: str, key: str, dtype: DType) -> Array:
        """All elements of a storage, read-only.

        Raises:
            ModelFileError: the file does not have it, or it holds no such elements.
        """
        if (key, dtype) not in self._flat:
            data = self._data.get(key)
            if data is None:
                raise ModelFileError(where, f"needs storage {shown(key)}", "the file does not have it")
            count, rest = divmod(len(data), dtype.itemsize)
            if rest:
                raise ModelFileError(where, f"needs whole {dtype} elements", f"its storage has {len(data)} bytes")
            self._flat[key, dtype] = view_array(where, data, dtype, (count,))
        return self._flat[key, dtype]


def view_tensor(where: str, tensor: StoredTensor, storages: Storages) -> Array:
    """The tensor as a read-only array.

    Raises:
        ModelFileError: the window reaches out of its storage, runs backwards, or claims more elements than are stored.
    """
    flat = storages.flat(where, tensor.storage.key, tensor.dtype)
    shape = checked_shape(where, tensor.size, tensor.dtype.itemsize)
    _check_window(where, tensor, flat.size)
    if not math.prod(shape):
        return flat[:0].reshape(shape)
    # A dimension of one element has a stride that nobody uses; what the file says there is not even looked at.
    steps = [step if size > 1 else 1 for size, step in zip(shape, tensor.stride, strict=True)]
    strides = tuple(step * flat.itemsize for step in steps)
    return frozen(np.lib.stride_tricks.as_strided(flat[tensor.offset :], shape, strides, writeable=False))


def _check_window(where: str, tensor: StoredTensor, count: int) -> None:
    size, stride = tensor.size, tensor.stride
    if len(size) != len(stride) or any(step < 0 for step in stride) or tensor.offset < 0:
        raise ModelFileError(where, "needs an offset and strides of 0 or more", "found others")
    elements = math.prod(size)
    last = tensor.offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if elements > count or (elements and last >= count):
        found = f"the storage has {count} elements"
        raise ModelFileError(where, f"{list(size)} from element {tensor.offset} must lie in its storage", found)
