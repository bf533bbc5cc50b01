"""Inputs from files: `NAME=FILE.npy` on the command line.

In: words. Out: arrays by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from alula.base.errors import MissingError, RequestError
from alula.engine.graph.nodes import Array

# numpy.lib.format, "Format Version 1.0".
_MAGIC = b"\x93NUMPY"


def read_arrays(words: Sequence[str], only_input: str = "") -> Mapping[str, Array]:
    """Arrays by input name; a word without a name is for `only_input`.

    Raises:
        RequestError: a word has another form, or the file is no .npy file.
        MissingError: there is no such file.
    """
    arrays = {}
    for word in words:
        name, separator, file = word.partition("=")
        if not separator:
            name, file = only_input, word
        if not name:
            raise RequestError(f"input {word!r}", "the form NAME=FILE.npy", "it names no input")
        path = Path(file)
        if not path.is_file():
            raise MissingError(f"input {name}", f"needs the file {file}", "there is none")
        arrays[name] = _read(name, path)
    return arrays


def _read(name: str, path: Path) -> Array:
    """The array of a .npy file, mapped: a header that claims more than the file holds takes no memory."""
    needed = f"needs {path} to be a .npy file of numbers"
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise RequestError(f"input {name}", needed, "it begins otherwise")
    try:
        return np.array(np.lib.format.open_memmap(path, mode="r"))
    except (ValueError, EOFError, OSError, OverflowError) as error:
        raise RequestError(f"input {name}", needed, str(error)) from error
