"""Opening model and weight files: mapped read-only, never read whole, and named for what they are.

In: paths. Out: memoryviews over a mapping; errors that say what was found instead.
"""

from __future__ import annotations

import mmap
import os
import stat
from pathlib import Path

from alula.base.errors import MissingError, ModelFileError
from alula.base.plan_format import MAGIC

_LONGEST_SHOWN = 100

# What people hand over by mistake, by its first bytes (offset, magic).
_MAGICS = (
    (0, MAGIC, "a compiled plan"),
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"GIF8", "a GIF picture"),
    (0, b"RIFF", "a RIFF file (WebP, WAV or AVI)"),
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"GGUF", "a GGUF file"),
    (0, b"\x7fELF", "an ELF program"),
    (4, b"TFL3", "a TensorFlow Lite model"),
    (0, b"\x80\x02", "a pickle stream"),
    (0, b"\x80\x03", "a pickle stream"),
    (0, b"\x80\x04", "a pickle stream"),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
    (4, b"\0\0\0\0{", "a safetensors file"),
    (0, b"{", "JSON text"),
    (0, b"[", "JSON text"),
    (0, b"<", "HTML or XML text"),
)


def map_file(path: Path, what: str) -> memoryview:
    """Map a regular file read-only; views of the result keep the mapping alive.

    Args:
        path: the file.
        what: what the caller needs, for messages: `an ONNX model`.

    Raises:
        MissingError: nothing is there.
        ModelFileError: it is a directory, a pipe or device, empty, or not readable.
    """
    try:
        # O_NONBLOCK: opening a pipe must not wait for a writer; it is refused by its type below.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise MissingError(str(path), f"needs {what}", "no such file", "check the path") from None
    except (OSError, ValueError) as error:
        raise ModelFileError(shown(str(path)), f"needs {what} that can be read", str(error)) from None
    try:
        return map_handle(handle, str(path), what)
    finally:
        os.close(handle)


def map_handle(handle: int, name: str, what: str) -> memoryview:
    """Map an open file read-only; the handle stays the caller's.

    Raises:
        ModelFileError: it is no regular file, or it is empty.
    """
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        found = "a directory" if stat.S_ISDIR(status.st_mode) else "a pipe, socket or device"
        raise ModelFileError(name, f"needs {what}", f"found {found}")
    if not status.st_size:
        raise ModelFileError(name, f"needs {what}", "the file is empty")
    return memoryview(mmap.mmap(handle, status.st_size, access=mmap.ACCESS_READ))


def sniff(data: memoryview) -> str:
    """What the first bytes look like, for a message: `a PNG picture`; empty when they are nothing known."""
    head = bytes(data[:64])
    for offset, magic, what in _MAGICS:
        if head.startswith(magic, offset):
            return what
    return ""


def describe(data: memoryview) -> str:
    """What a refused file holds: its kind when known, else its size and first bytes."""
    start = bytes(data[:8]).hex(" ")
    return f"found {sniff(data) or f'{len(data)} bytes that begin with {start}'}"


def shown(name: str) -> str:
    """A name from a file, fit for a message: control characters escaped, the middle of long ones left out."""
    text = name if name.isprintable() else ascii(name)
    if len(text) <= _LONGEST_SHOWN:
        return text
    half = _LONGEST_SHOWN // 2
    return f"{text[:half]}...{text[-half:]}"
