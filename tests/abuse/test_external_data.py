from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from onnx import TensorProto
from support.models import external_model, small_model

from alula.base.errors import AlulaError, LimitError, ModelFileError
from alula.engine.importers.onnx import load_onnx

SECRET = bytes(range(24))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder with a secret beside it, outside."""
    (tmp_path / "secret.bin").write_bytes(SECRET)
    (tmp_path / "model").mkdir()
    return tmp_path / "model"


@pytest.mark.parametrize(
    "location",
    ["../secret.bin", "a/../../secret.bin", "./../secret.bin", "..", "", ".", "a//b", "a\\b", "a\0b", "/etc/passwd"],
)
def test_location_that_leads_out_of_the_folder_is_refused(folder: Path, location: str) -> None:
    """Attack: a model that reads other people's files."""
    with pytest.raises(ModelFileError, match="inside the model's folder"):
        load_onnx(external_model(folder, {"location": location}))


def test_absolute_location_is_refused(folder: Path) -> None:
    """Attack: the secret by its full path."""
    with pytest.raises(ModelFileError, match="inside the model's folder"):
        load_onnx(external_model(folder, {"location": str(folder.parent / "secret.bin")}))


def test_link_to_a_file_outside_is_refused(folder: Path) -> None:
    """Attack: an archive unpacked beside the model brought a link."""
    (folder / "w.bin").symlink_to(folder.parent / "secret.bin")

    with pytest.raises(ModelFileError, match="no link"):
        load_onnx(external_model(folder, {"location": "w.bin"}))


def test_link_to_a_folder_outside_is_refused(folder: Path) -> None:
    """Attack: the link is a folder in the middle of the path."""
    (folder / "data").symlink_to(folder.parent, target_is_directory=True)

    with pytest.raises(ModelFileError, match="no link"):
        load_onnx(external_model(folder, {"location": "data/secret.bin"}))


def test_hard_link_is_refused(folder: Path) -> None:
    """Attack: a second name for a file outside looks like a plain file."""
    os.link(folder.parent / "secret.bin", folder / "w.bin")

    with pytest.raises(ModelFileError, match="hard links"):
        load_onnx(external_model(folder, {"location": "w.bin"}))


def test_pipe_and_folder_are_refused_without_waiting(folder: Path) -> None:
    """Attack: reading a pipe that nobody writes to would hang."""
    os.mkfifo(folder / "pipe")
    (folder / "data").mkdir()

    for location in ("pipe", "data"):
        with pytest.raises(ModelFileError):
            load_onnx(external_model(folder, {"location": location}))


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"offset": "1"}, id="end beyond the file"),
        pytest.param({"offset": str(2**63)}, id="offset of 2^63"),
        pytest.param({"offset": "-8"}, id="negative offset"),
        pytest.param({"offset": "0x0"}, id="offset that is no number"),
        pytest.param({"offset": "\u0661"}, id="offset in other digits"),
        pytest.param({"offset": "9" * 5000}, id="endless offset"),
        pytest.param({"length": "16"}, id="length shorter than the tensor"),
        pytest.param({"length": "1000"}, id="length longer than the tensor"),
    ],
)
def test_place_that_does_not_fit_file_or_tensor_is_refused(folder: Path, claims: dict[str, str]) -> None:
    """Attack: reading outside the file, or another number of bytes than dtype and shape need."""
    (folder / "w.bin").write_bytes(SECRET)

    with pytest.raises(ModelFileError):
        load_onnx(external_model(folder, {"location": "w.bin", **claims}))


@pytest.mark.parametrize("dims", [[2**40, 2**20], [2**62], [-2, -3]], ids=str)
def test_dims_that_the_file_cannot_hold_are_refused(folder: Path, dims: list[int]) -> None:
    """Attack: a shape of exabytes over a file of a few bytes."""
    (folder / "w.bin").write_bytes(SECRET)

    with pytest.raises(ModelFileError):
        load_onnx(external_model(folder, {"location": "w.bin"}, dims))


def test_empty_data_file_is_refused(folder: Path) -> None:
    """Attack: nothing can be mapped of an empty file."""
    (folder / "w.bin").write_bytes(b"")

    with pytest.raises(AlulaError):
        load_onnx(external_model(folder, {"location": "w.bin"}))


def test_bytes_claimed_again_and_again_are_refused(folder: Path) -> None:
    """Attack: many packed tensors over the same bytes, each of which would be unpacked in memory."""
    (folder / "w.bin").write_bytes(bytes(1 << 16))
    tensors = [
        TensorProto(name=f"w{i}", data_type=TensorProto.INT4, dims=[1 << 17], data_location=TensorProto.EXTERNAL)
        for i in range(50)
    ]
    for tensor in tensors:
        tensor.external_data.add(key="location", value="w.bin")
    (folder / "model.onnx").write_bytes(small_model(initializers=tensors).SerializeToString())

    with pytest.raises(LimitError, match="lie apart"):
        load_onnx(folder / "model.onnx")


def test_more_data_files_than_any_model_has_are_refused(folder: Path) -> None:
    """Attack: every file takes a mapping and a descriptor."""
    tensors = [
        TensorProto(name=f"w{i}", data_type=TensorProto.UINT8, dims=[1], data_location=TensorProto.EXTERNAL)
        for i in range(300)
    ]
    for index, tensor in enumerate(tensors):
        (folder / f"{index}.bin").write_bytes(b"\0")
        tensor.external_data.add(key="location", value=f"{index}.bin")
    (folder / "model.onnx").write_bytes(small_model(initializers=tensors).SerializeToString())

    with pytest.raises(LimitError, match="at most 256 external files"):
        load_onnx(folder / "model.onnx")


@pytest.mark.parametrize("size", [0, 1, 3, 4])
def test_packed_tensor_over_another_number_of_bytes_is_refused(folder: Path, size: int) -> None:
    """Attack: three elements of four bits need two bytes, no more and no less."""
    (folder / "w.bin").write_bytes(bytes(16))
    tensor = TensorProto(name="w", data_type=TensorProto.INT4, dims=[3], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "w.bin"), ("length", str(size))):
        tensor.external_data.add(key=key, value=value)
    (folder / "model.onnx").write_bytes(small_model(initializers=[tensor]).SerializeToString())

    with pytest.raises(ModelFileError, match="needs 2 bytes of external data"):
        load_onnx(folder / "model.onnx")


def test_strings_outside_the_model_are_refused(folder: Path) -> None:
    """Attack: text has no size, so any bytes of the file would do."""
    (folder / "w.bin").write_bytes(SECRET)
    tensor = TensorProto(name="w", data_type=TensorProto.STRING, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="w.bin")
    (folder / "model.onnx").write_bytes(small_model(initializers=[tensor]).SerializeToString())

    with pytest.raises(ModelFileError, match="needs its strings in string_data"):
        load_onnx(folder / "model.onnx")


def test_sparse_tensor_keeps_its_parts_in_the_folder_too(folder: Path) -> None:
    """Attack: the way out leads through the indices of a sparse tensor."""
    model = small_model()
    del model.graph.initializer[:]
    values = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], raw_data=bytes(4))
    indices = TensorProto(data_type=TensorProto.INT64, dims=[1], data_location=TensorProto.EXTERNAL)
    indices.external_data.add(key="location", value="../secret.bin")
    model.graph.sparse_initializer.add(values=values, indices=indices, dims=[2, 3])
    (folder / "model.onnx").write_bytes(model.SerializeToString())

    with pytest.raises(ModelFileError, match="inside the model's folder"):
        load_onnx(folder / "model.onnx")


def test_device_is_refused_without_reading_it(folder: Path) -> None:
    """Attack: a file that never ends, where the user may make one."""
    try:
        os.mknod(folder / "zero", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only the super-user makes devices")

    with pytest.raises(ModelFileError, match="a pipe, socket or device"):
        load_onnx(external_model(folder, {"location": "zero"}))
