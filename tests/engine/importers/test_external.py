from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from support.models import external_model, small_model

from alula.base.errors import MissingError, ModelFileError
from alula.engine.importers.onnx import load_onnx, read_onnx

WEIGHT = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_external_data_written_by_the_onnx_library_is_read(tmp_path: Path) -> None:
    """Files that the reference tools split are read like whole ones, as views."""
    path = tmp_path / "model.onnx"
    onnx.save(small_model(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)

    weight = load_onnx(path).constants["w"]

    np.testing.assert_array_equal(weight, WEIGHT, strict=True)
    assert not weight.flags.writeable
    assert not weight.flags.owndata


def test_location_in_a_folder_below_with_an_offset_is_read(tmp_path: Path) -> None:
    """The location is a path below the model's folder; the offset counts from the file's start."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "w.bin").write_bytes(bytes(16) + WEIGHT.tobytes())
    path = external_model(tmp_path, {"location": "./data/w.bin", "offset": "16", "length": "24"})

    np.testing.assert_array_equal(load_onnx(path).constants["w"], WEIGHT)


def test_missing_data_file_is_reported_as_missing(tmp_path: Path) -> None:
    """A model that was copied without its data is told from a damaged one."""
    with pytest.raises(MissingError, match=r"w\.bin"):
        load_onnx(external_model(tmp_path, {"location": "w.bin"}))


def test_model_from_memory_has_no_folder_to_look_in(tmp_path: Path) -> None:
    """Without a folder nothing outside is opened, not even below the working directory."""
    data = external_model(tmp_path, {"location": "w.bin"}).read_bytes()

    with pytest.raises(ModelFileError, match="read from memory"):
        read_onnx(data)


def test_folder_that_is_gone_is_missing(tmp_path: Path) -> None:
    """A folder that the caller names must be there."""
    data = external_model(tmp_path, {"location": "w.bin"}).read_bytes()

    with pytest.raises(MissingError, match="gone"):
        read_onnx(data, tmp_path / "gone")
