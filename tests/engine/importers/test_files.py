from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from alula.base.errors import ModelFileError
from alula.engine.importers.files import describe, map_file, shown


def test_views_keep_the_mapping_alive_after_the_file_is_gone(tmp_path: Path) -> None:
    """Whoever holds an array may read it, also when the file was removed meanwhile."""
    path = tmp_path / "w.bin"
    path.write_bytes(b"abcd" * 1000)
    view = np.frombuffer(map_file(path, "weights"), np.uint8)
    path.unlink()

    assert view[-4:].tobytes() == b"abcd"
    assert not view.flags.writeable


def test_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    """A name too long for the system is an error of the caller's path, not a crash."""
    with pytest.raises(ModelFileError, match="can be read"):
        map_file(tmp_path / ("x" * 300), "weights")


def test_mapping_leaves_no_descriptor_of_refused_files(tmp_path: Path) -> None:
    """A server that is handed a thousand bad files does not run out of descriptors."""
    (tmp_path / "empty").touch()
    before = len(list(Path("/proc/self/fd").iterdir()))

    for _ in range(20):
        with pytest.raises(ModelFileError):
            map_file(tmp_path / "empty", "weights")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xff\xd8\xff\xe0", "found a JPEG picture"),
        (b"\x1c\0\0\0TFL3", "found a TensorFlow Lite model"),
        (b"<html>", "found HTML or XML text"),
        (b"\x40\0\0\0\0\0\0\0{", "found a safetensors file"),
        (b"\x01\x02", "found 2 bytes that begin with 01 02"),
    ],
)
def test_description_says_what_the_bytes_are(data: bytes, said: str) -> None:
    """A user who handed over the wrong file reads which kind it is."""
    assert describe(memoryview(data)) == said


def test_long_and_strange_names_are_shown_short_and_escaped() -> None:
    """Names come from files of unknown origin and end up on terminals and in logs."""
    assert shown("conv1.weight") == "conv1.weight"
    assert shown("a\nb\x1b") == r"'a\nb\x1b'"
    assert len(shown("x" * 5000)) == 103
