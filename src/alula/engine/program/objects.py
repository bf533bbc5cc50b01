"""Compiled kernels kept on disk: equal text for an equal target is equal code, whatever model it comes from.

In: IR text and a Target. Out: the bytes of an object, or None. Files are named by a digest of all that the code depends
on and begin with a digest of their own content; a damaged one counts as none.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import os
import secrets
from pathlib import Path

from alula.engine.kernels.target import Target

_DIGEST_BYTES = hashlib.sha256().digest_size


class ObjectStore:
    """A folder of objects; several processes may use it at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, text: str, target: Target) -> bytes | None:
        """The object of a module; None where it is not kept."""
        path = self._path(text, target)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        digest, content = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
        if hashlib.sha256(content).digest() != digest:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # the least recently used go first
        return content

    def put(self, text: str, target: Target, content: bytes) -> None:
        """Keep an object; a folder that cannot be written to keeps nothing."""
        path = self._path(text, target)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(hashlib.sha256(content).digest() + content)
            temporary.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def _path(self, text: str, target: Target) -> Path:
        digest = hashlib.sha256(f"{target!r} {_compiler()}\n{text}".encode()).hexdigest()
        return self._folder / f"{digest[:40]}.o"


@functools.cache
def _compiler() -> str:
    """What turns text into code besides the target: LLVM's version, and the file that says how LLVM is called."""
    source = Path(__file__).with_name("compile.py").read_bytes()
    return f"{importlib.metadata.version('llvmlite')} {hashlib.sha256(source).hexdigest()}"
