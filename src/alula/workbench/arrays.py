"""Inputs from files: `NAME=FILE.npy` on the command line.

In: words. Out: arrays by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from alula.base.errors import MissingError, RequestError
from alula.engine.graph.nodes import Array


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
        try:
            arrays[name] = np.load(path, allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise RequestError(f"input {name}", f"needs {file} to be a .npy file", str(error)) from error
    return arrays
