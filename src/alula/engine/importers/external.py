"""External tensor data: files beside a model, confined to the model's folder.

In: the location, offset and length that a model claims. Out: views of files mapped read-only.
"""

from __future__ import annotations

import os
from pathlib import Path

from alula.base.errors import LimitError, MissingError, ModelFileError
from alula.engine.importers.files import map_handle, shown

_MOST_FILES = 256
_MOST_PARTS = 32
_MOST_CLAIMS = 4  # tensors may share bytes, but some dtypes are converted, which takes memory each time
_HINT = "keep the data as a plain file of its own inside the model's folder"


class ExternalFiles:
    """The files beside one model, each mapped once.

    Args:
        folder: the model's folder; None for a model that did not come from a file.
        model: the model's name, for messages.
    """

    def __init__(self, folder: Path | None, model: str) -> None:
        self._folder = folder
        self._model = model
        self._mapped: dict[str, memoryview] = {}
        self._claimed = 0

    @property
    def used(self) -> tuple[str, ...]:
        """The locations of all files that tensors were found in."""
        return tuple(sorted(self._mapped))

    def view(self, location: str, offset: int, size: int) -> memoryview:
        """`size` bytes at `offset` of the file at `location`.

        Raises:
            ModelFileError: the location leads out of the folder, is a link, or the bytes are not all there.
            MissingError: no such file.
            LimitError: the model names too many files.
        """
        data = self._mapped.get(location)
        if data is None:
            if len(self._mapped) >= _MOST_FILES:
                raise LimitError(self._model, f"at most {_MOST_FILES} external files", "the model names more")
            data = self._mapped[location] = self._open(location)
        if offset + size > len(data):
            found = f"the file has {len(data)}"
            raise ModelFileError(self._where(location), f"needs {size} bytes at {offset}", found)
        self._claimed += size
        if self._claimed > _MOST_CLAIMS * sum(map(len, self._mapped.values())):
            found = f"tensors claim every byte {_MOST_CLAIMS} times over"
            raise LimitError(self._where(location), "needs tensors that lie apart", found)
        return data[offset : offset + size]

    def _where(self, location: str) -> str:
        return f"{self._model}, external data {shown(location)}"

    def _open(self, location: str) -> memoryview:
        where = self._where(location)
        if self._folder is None:
            raise ModelFileError(where, "needs the model's folder", "the model was read from memory")
        parts = _safe_parts(where, location)
        try:
            handle = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise MissingError(where, f"needs folder {self._folder}", error.strerror or "it cannot be opened") from None
        try:
            for part in parts[:-1]:
                handle = _step(where, handle, part, os.O_DIRECTORY)
            handle = _step(where, handle, parts[-1], os.O_NONBLOCK)
            if os.fstat(handle).st_nlink > 1:
                raise ModelFileError(where, "needs a file of its own", "it has several names (hard links)", _HINT)
            return map_handle(handle, where, "tensor data")
        finally:
            os.close(handle)


def _safe_parts(where: str, location: str) -> list[str]:
    parts = [part for part in location.split("/") if part != "."]
    bad = location.startswith("/") or "\\" in location or "\0" in location or ".." in parts or "" in parts
    if bad or not parts or len(parts) > _MOST_PARTS:
        raise ModelFileError(where, "needs a path inside the model's folder", "it leads elsewhere", _HINT)
    return parts


def _step(where: str, folder: int, part: str, flag: int) -> int:
    """Open `part` inside the open `folder`, never through a link; closes `folder`."""
    try:
        handle = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flag, dir_fd=folder)
    except FileNotFoundError:
        raise MissingError(where, "the model keeps tensors there", "no such file", _HINT) from None
    except OSError as error:
        raise ModelFileError(
            where, "needs a plain file, no link", error.strerror or "it cannot be opened", _HINT
        ) from None
    os.close(folder)
    return handle
