from __future__ import annotations

import ctypes
import os

import numpy as np
import pytest

from alula.base.errors import LimitError
from alula.base.tensors import DType, Tensor
from alula.engine.runtime.memory import Arena, address_of


def test_address_is_where_the_bytes_are() -> None:
    """Read-only and writable buffers alike; nothing is copied."""
    array = np.arange(4, dtype=np.uint8)

    for data in (array, array.tobytes(), memoryview(bytearray(b"\0\1\2\3")), Tensor(array, DType.UINT8, (4,))):
        assert ctypes.string_at(address_of(data), 4) == b"\0\1\2\3"


def test_address_leaves_no_hold_on_the_buffer() -> None:
    """A bytearray can be resized afterwards: inputs are never kept."""
    data = bytearray(8)
    address_of(data)

    data.extend(b"more")

    assert len(data) == 12


def test_strided_buffers_have_no_address() -> None:
    """Generated code would read the gaps."""
    with pytest.raises((BufferError, ValueError)):
        address_of(np.zeros(8)[::2])


def test_arena_is_aligned_and_zeroed() -> None:
    """Kernels may use aligned vectors at offsets that are multiples of 64, and barriers begin at zero."""
    arena = Arena(100, 70, 3)

    assert arena.base % 64 == arena.scratch % 64 == arena.barrier % 64 == 0
    assert arena.scratch == arena.base + 128
    assert arena.barrier == arena.scratch + 3 * 128
    assert not any(arena.view)


def test_child_process_writes_to_a_copy() -> None:
    """A forked server worker must not overwrite its parent's intermediates."""
    arena = Arena(64, 0, 1)
    child = os.fork()
    if not child:
        arena.view[0] = 1
        os._exit(0)
    os.waitpid(child, 0)

    assert arena.view[0] == 0


def test_memory_that_the_system_does_not_have_is_a_limit() -> None:
    """A plan's claim is no reason for a traceback."""
    with pytest.raises(LimitError, match="arena"):
        Arena(1 << 62, 0, 1)
