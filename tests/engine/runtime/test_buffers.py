from __future__ import annotations

import array
import struct
from typing import Any

import numpy as np
import pytest

from alula.base.errors import InputError
from alula.base.tensors import BITS, DType, Tensor, TensorSpec
from alula.engine.graph.numpy_dtypes import numpy_dtype
from alula.engine.runtime.buffers import Bound, End, check_names
from alula.engine.runtime.memory import address_of


def end(dtype: DType = DType.FLOAT32, shape: tuple[int, ...] = (2, 3)) -> End:
    """An input of a model."""
    return End("input", TensorSpec("x", dtype, shape))


class Interface:
    """An object with numpy's array interface and no buffer."""

    def __init__(self, **fields: object) -> None:
        self.__array_interface__ = {"version": 3, **fields}


class Viewable:
    """An object that only knows how to become a numpy array."""

    def __array__(self) -> np.ndarray[Any, Any]:
        return np.ones((2, 3), np.float32)


@pytest.mark.parametrize("dtype", [d for d in DType if d not in BITS | {DType.STRING}], ids=str)
def test_numpy_arrays_of_every_dtype_fit_their_own_only(dtype: DType) -> None:
    """The buffer protocol spells one dtype in several ways; none may be mistaken for another."""
    data = np.zeros((2, 3), dtype.value)

    for other in set(DType) - {DType.STRING}:
        bits = other in BITS and dtype.value == f"uint{8 * other.itemsize}"
        if other is dtype or bits:
            assert end(other).bind(data).address == data.ctypes.data
        else:
            with pytest.raises(InputError):
                end(other).bind(data)


@pytest.mark.parametrize("dtype", sorted(BITS, key=str), ids=str)
def test_types_that_numpy_lacks_come_as_they_are_or_as_their_bits(dtype: DType) -> None:
    """ml_dtypes' arrays have no buffer, but an array interface; without ml_dtypes, bits travel as integers."""
    data = np.ones((2, 3), numpy_dtype(dtype))
    bits = data.view(f"u{dtype.itemsize}")

    for given in (data, bits):
        assert end(dtype).bind(given, writable=True).address == data.ctypes.data


def test_array_module_fits_by_dtype_and_shape() -> None:
    """A typed flat buffer tells its shape, so it must be the right one."""
    flat = array.array("f", range(6))

    assert end(shape=(6,)).bind(flat).nbytes == 24
    with pytest.raises(InputError, match=r"got float32 \[6\]"):
        end(shape=(2, 3)).bind(flat)


def test_uint8_arrays_are_not_taken_for_floats() -> None:
    """Flat bytes count by size, but pixels of the right byte count in rows are a mistake."""
    pixels = np.zeros((2, 12), np.uint8)

    with pytest.raises(InputError, match=r"got uint8 \[2, 12\]"):
        end().bind(pixels)
    assert end().bind(pixels.reshape(-1)).nbytes == 24


def test_column_major_arrays_are_refused() -> None:
    """Generated code reads rows."""
    with pytest.raises(InputError, match="strided"):
        end().bind(np.asfortranarray(np.zeros((2, 3), np.float32)))


def test_tensor_of_another_shape_is_refused() -> None:
    """A Tensor tells dtype and shape."""
    tensor = Tensor(bytes(24), DType.FLOAT32, (3, 2))

    with pytest.raises(InputError, match=r"got float32 \[3, 2\]"):
        end().bind(tensor)
    assert end(shape=(3, 2)).bind(tensor).address == address_of(tensor.view)


def test_scalars_and_empty_inputs_fit() -> None:
    """A scalar has one element and no dimension, an empty tensor has dimensions and no element."""
    assert end(shape=()).bind(np.float32(3)).nbytes == 4
    assert end(shape=()).bind(struct.pack("f", 3)).nbytes == 4
    assert end(shape=(0, 3)).bind(np.zeros((0, 3), np.float32)).memory().nbytes == 0
    assert end(shape=(0, 3)).bind(b"").nbytes == 0


def test_array_interface_is_enough() -> None:
    """Other libraries' arrays come in through numpy's array interface, without a copy."""
    data = np.zeros((2, 3), np.float32)
    place = (data.ctypes.data, False)

    bound = end().bind(Interface(shape=(2, 3), typestr="<f4", data=place, strides=(12, 4)))

    assert bound.address == data.ctypes.data
    assert end().bind(Viewable()).nbytes == 24


@pytest.mark.parametrize(
    "fields",
    [
        {"shape": (2, 3), "typestr": "<f8", "data": (64, False)},
        {"shape": (3, 2), "typestr": "<f4", "data": (64, False)},
        {"shape": (2, 3), "typestr": "<f4", "data": (64, False), "strides": (4, 8)},
        {"shape": (2, 3), "typestr": "<f4"},
        {"shape": (2, 3), "typestr": "<f4", "data": (64, True)},
        {},
    ],
)
def test_array_interface_that_does_not_fit_is_refused(fields: dict[str, object]) -> None:
    """Dtype, shape, strides, address and writability are all checked."""
    with pytest.raises(InputError):
        end().bind(Interface(**fields), writable=True)


def test_names_are_listed_all_at_once() -> None:
    """One message tells everything that is wrong."""
    ends = {"a": end(), "b": end()}

    with pytest.raises(InputError, match="unknown: q, r; missing: b"):
        check_names("input", {"a": 1, "q": 1, "r": 1}, ends, all_of_them=True)
    check_names("output", {}, ends, all_of_them=False)


def test_overlap_means_a_shared_byte() -> None:
    """Neighbours do not overlap, nor does an empty buffer overlap itself."""
    assert Bound(0, 8, None).overlaps(Bound(7, 1, None))
    assert not Bound(0, 8, None).overlaps(Bound(8, 8, None))
    assert not Bound(4, 0, None).overlaps(Bound(4, 0, None))
