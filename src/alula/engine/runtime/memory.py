"""Memory as generated code sees it: addresses of buffers, and the private memory of one session.

In: objects with a buffer, sizes. Out: addresses, an `Arena`.
"""

from __future__ import annotations

import ctypes
import mmap
from typing import Any

from alula.base.errors import LimitError
from alula.base.plan_format import BARRIER_BYTES, rounded_up
from alula.base.tensors import Tensor

_C_CONTIGUOUS = 0


class _PyBuffer(ctypes.Structure):
    """The C API's `Py_buffer` (Python/C API reference, Buffer Protocol)."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.py_object),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


_get_buffer = ctypes.pythonapi.PyObject_GetBuffer
_get_buffer.argtypes = (ctypes.py_object, ctypes.POINTER(_PyBuffer), ctypes.c_int)
_get_buffer.restype = ctypes.c_int
_release_buffer = ctypes.pythonapi.PyBuffer_Release
_release_buffer.argtypes = (ctypes.POINTER(_PyBuffer),)
_release_buffer.restype = None


def address_of(data: Any) -> int:  # noqa: ANN401  any buffer
    """The address of a contiguous buffer's first byte, writable or not.

    It stays good only while the caller holds the object in a way that forbids moving it, such as a memoryview of it.

    Args:
        data: anything with the buffer protocol, or a `Tensor`.

    Raises:
        BufferError: the buffer is not contiguous in row-major order.
        TypeError: there is no buffer.
    """
    record = _PyBuffer()
    _get_buffer(data.view if isinstance(data, Tensor) else data, record, _C_CONTIGUOUS)
    address = record.buf
    _release_buffer(record)
    return address or 0


class Arena:
    """The private memory of one session: intermediates, then each worker's scratch, then the barrier block.

    Owned by one session. It lives as long as the session, a view of it, or a worker that is about to leave it does;
    a child process gets a copy of its own.

    Attributes:
        view: all bytes.
        base: address of the intermediates, on a page border.
        scratch: address of worker 0's scratch.
        barrier: address of the barrier block.
    """

    def __init__(self, arena_bytes: int, scratch_bytes: int, workers: int) -> None:
        """Reserve memory, zeroed; pages are taken when they are first touched.

        Raises:
            LimitError: the system has no such stretch of memory.
        """
        scratch = rounded_up(arena_bytes)
        barrier = scratch + rounded_up(scratch_bytes) * workers
        self.size = barrier + BARRIER_BYTES
        try:
            # Private, not Python's default: a shared one would be written by a forked child and its parent at once.
            memory = mmap.mmap(-1, self.size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except (OSError, OverflowError, ValueError) as error:
            raise LimitError("arena", f"{self.size} bytes of memory", f"the system says: {error}") from error
        self.view = memoryview(memory)
        self.base = address_of(memory)
        self.scratch = self.base + scratch
        self.barrier = self.base + barrier
