from __future__ import annotations

import math
import struct
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alula.base.errors import InputError
from alula.base.tensors import BITS, DType, Tensor, TensorSpec

SHORTER = {DType.FLOAT4E2M1: 16, DType.INT4: 16, DType.UINT4: 16, DType.INT2: 4, DType.UINT2: 4}
NUMPY_TYPES = [dtype for dtype in DType if dtype not in BITS | {DType.STRING}]


@pytest.mark.parametrize("dtype", NUMPY_TYPES)
def test_dtype_agrees_with_the_numpy_type_of_its_name(dtype: DType) -> None:
    """Name, size and buffer format of an element type are numpy's."""
    theirs = np.dtype(dtype.value)

    assert (dtype.itemsize, str(dtype)) == (theirs.itemsize, theirs.name)
    assert struct.calcsize(f"={dtype.format}") == theirs.itemsize


def test_spec_prints_as_users_write_it() -> None:
    """Symbolic dimensions show by name."""
    assert str(TensorSpec("x", DType.UINT8, ("N", 3, 224, 224))) == "x uint8 [N, 3, 224, 224]"


@pytest.mark.parametrize("dtype", NUMPY_TYPES)
@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (0,), (2, 0, 3)])
def test_numpy_reads_a_tensor_without_a_copy(dtype: DType, shape: tuple[int, ...]) -> None:
    """`numpy.asarray(tensor)` shares memory and keeps dtype and shape, for scalars and empty tensors too."""
    memory = bytearray(math.prod(shape) * dtype.itemsize)

    array = np.asarray(Tensor(memory, dtype, shape))

    assert (array.dtype.name, array.shape) == (dtype.value, shape)
    memory[:1] = b"\x01"[: len(memory)]
    assert array.tobytes() == bytes(memory)


@given(
    st.sampled_from(NUMPY_TYPES),
    st.lists(st.integers(0, 4), max_size=4).map(tuple),
)
def test_numbers_are_those_that_numpy_reads(dtype: DType, shape: tuple[int, ...]) -> None:
    """`tolist` nests like the shape and decodes every element type."""
    array = np.arange(math.prod(shape)).reshape(shape).astype(dtype.value)

    tensor = Tensor(array, dtype, shape)

    assert tensor.tolist() == array.tolist()
    assert (tensor.size, tensor.nbytes, tensor.tobytes()) == (array.size, array.nbytes, array.tobytes())


def test_bfloat16_decodes_to_its_values() -> None:
    """A bfloat16 is the upper half of a float32."""
    halves = struct.pack("<4H", 0x3F80, 0xC000, 0x4049, 0x0000)

    assert Tensor(halves, DType.BFLOAT16, (2, 2)).tolist() == [[1.0, -2.0], [3.140625, 0.0]]


@pytest.mark.parametrize("dtype", sorted(BITS - {DType.BFLOAT16}, key=str), ids=str)
def test_short_numbers_decode_as_ml_dtypes_decodes_them(dtype: DType) -> None:
    """Every byte of every type of 8 bits and less, signs of zeros included."""
    count = SHORTER.get(dtype, 256)
    array = np.arange(count, dtype=np.uint8).view(getattr(ml_dtypes, dtype.value))

    numbers = np.array(Tensor(array.view(np.uint8), dtype, (count,)).tolist(), np.float64)

    expected = array.astype(np.float64)
    np.testing.assert_array_equal(numbers, expected)
    np.testing.assert_array_equal(np.signbit(numbers[expected == 0]), np.signbit(expected[expected == 0]))


def test_memory_is_a_shaped_view() -> None:
    """Writing into the view writes into the caller's memory."""
    owner = bytearray(24)

    Tensor(owner, DType.FLOAT32, (2, 3)).memory[1, 2] = 0.5

    assert struct.unpack("<6f", owner)[5] == 0.5


@pytest.mark.parametrize("dtype", [dtype for dtype in DType if dtype is not DType.STRING])
@pytest.mark.parametrize("shape", [(), (0, 2), (2, 2)])
def test_memory_exists_for_every_type(dtype: DType, shape: tuple[int, ...]) -> None:
    """Half precision, scalars and empties, which memoryview does not know, still have a view."""
    tensor = Tensor(bytes(math.prod(shape) * dtype.itemsize), dtype, shape)

    assert tensor.memory.nbytes == tensor.nbytes


def test_read_only_memory_stays_read_only() -> None:
    """A view of bytes cannot be written through numpy."""
    array = np.asarray(Tensor(bytes(8), DType.FLOAT32, (2,)))

    assert not array.flags.writeable


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (bytes(20), "the buffer has 20"),
        ([1, 2, 3], "got list"),
        (np.zeros((3, 2), np.float32).T, "got strides"),
    ],
)
def test_wrong_buffer_is_refused(data: Any, found: str) -> None:
    """A tensor never reads beyond a buffer, and never guesses at strides."""
    with pytest.raises(InputError, match=found):
        Tensor(data, DType.FLOAT32, (2, 3))
