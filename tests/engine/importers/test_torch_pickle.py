from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from support.models import lite0_weights_path
from support.torch_files import (
    EMPTY_DICT,
    EMPTY_TUPLE,
    FALSE,
    REDUCE,
    group,
    legacy_file,
    mapping,
    name,
    number,
    numbers,
    storage,
    tensor,
    text,
    zip_file,
)

from alula.base.errors import MissingError, ModelFileError
from alula.engine.importers.torch_pickle import load_torch

ELEMENTS = np.arange(12, dtype=np.float32)
STORED = storage("FloatStorage", "0", 12)
WHOLE = tensor(STORED, 0, (3, 4), (4, 1))
TURNED = tensor(STORED, 1, (4, 2), (1, 4))


def saved(path: Path, form: str, root: bytes) -> Path:
    """A file in this form whose storage 0 holds ELEMENTS."""
    if form == "zip":
        return zip_file(path, root, {"0": ELEMENTS.tobytes()})
    return legacy_file(path, root, {"0": (12, ELEMENTS.tobytes())})


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_tensors_are_windows_into_their_storage(tmp_path: Path, form: str) -> None:
    """Offset, size and stride are honoured, and two tensors may share a storage."""
    arrays = load_torch(saved(tmp_path / "w.pth", form, mapping({"whole": WHOLE, "turned": TURNED})))

    np.testing.assert_array_equal(arrays["whole"], ELEMENTS.reshape(3, 4), strict=True)
    np.testing.assert_array_equal(arrays["turned"], ELEMENTS.reshape(3, 4)[:2].T + 1, strict=True)
    assert np.shares_memory(arrays["whole"], arrays["turned"])
    assert not arrays["whole"].flags.writeable


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_weights_are_taken_out_of_a_checkpoint(tmp_path: Path, form: str) -> None:
    """An optimizer's state and an epoch are no weights."""
    root = mapping({"epoch": number(3), "optimizer": mapping({"m": TURNED}), "state_dict": mapping({"fc.w": WHOLE})})

    assert list(load_torch(saved(tmp_path / "w.pth", form, root))) == ["fc.w"]


def test_nested_dicts_and_lists_are_flattened_with_dots(tmp_path: Path) -> None:
    """Every tensor has one name."""
    root = mapping({"encoder": mapping({"w": WHOLE, "rest": group(TURNED, number(1))}), "text": text("no tensor")})

    assert list(load_torch(saved(tmp_path / "w.pth", "zip", root))) == ["encoder.w", "encoder.rest.0"]


def test_parameter_ordered_dict_and_its_metadata_are_understood(tmp_path: Path) -> None:
    """What `state_dict()` writes besides tensors: an OrderedDict with `_metadata`, and Parameters."""
    empty = name("collections", "OrderedDict") + EMPTY_TUPLE + REDUCE
    parameter = name("torch._utils", "_rebuild_parameter") + group(WHOLE, FALSE, empty) + REDUCE
    metadata = mapping({"_metadata": empty})
    root = empty + b"(" + text("w") + parameter + b"u" + metadata + b"b"

    np.testing.assert_array_equal(load_torch(saved(tmp_path / "w.pth", "zip", root))["w"], ELEMENTS.reshape(3, 4))


def test_tensor_over_untyped_bytes_carries_its_own_dtype(tmp_path: Path) -> None:
    """The third form of tensors names a dtype; its storage is untyped."""
    stored = group(text("storage"), name("torch.storage", "UntypedStorage"), text("0"), text("cpu"), number(8)) + b"Q"
    arguments = group(stored, number(1), numbers([3]), numbers([1]), FALSE, EMPTY_DICT, name("torch", "uint16"))
    root = mapping({"w": name("torch._utils", "_rebuild_tensor_v3") + arguments + REDUCE})
    path = zip_file(tmp_path / "w.pth", root, {"0": np.array([1, 2, 3, 4], np.uint16).tobytes()})

    np.testing.assert_array_equal(load_torch(path)["w"], np.array([2, 3, 4], np.uint16), strict=True)


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [("DoubleStorage", "float64"), ("HalfStorage", "float16"), ("LongStorage", "int64"), ("BoolStorage", "bool")],
)
def test_storage_types_give_their_dtypes(tmp_path: Path, kind: str, dtype: str) -> None:
    """The element type stands in the storage's type."""
    elements = np.array([1, 0, 1]).astype(dtype)
    root = mapping({"w": tensor(storage(kind, "0", 3), 0, (3,), (1,))})
    path = legacy_file(tmp_path / "w.pth", root, {"0": (3, elements.tobytes())})

    np.testing.assert_array_equal(load_torch(path)["w"], elements, strict=True)


def test_bfloat16_keeps_its_type(tmp_path: Path) -> None:
    """ml_dtypes has the type that numpy lacks; nothing is widened."""
    root = mapping({"w": tensor(storage("BFloat16Storage", "0", 2), 0, (2,), (1,))})
    path = zip_file(tmp_path / "w.pth", root, {"0": np.array([0x3FC0, 0xC000], np.uint16).tobytes()})

    np.testing.assert_array_equal(load_torch(path)["w"], np.array([1.5, -2], ml_dtypes.bfloat16), strict=True)


def test_scalar_and_empty_tensors_keep_their_shape(tmp_path: Path) -> None:
    """`num_batches_tracked` is a scalar; an empty tensor needs no storage elements."""
    root = mapping({"scalar": tensor(STORED, 5, (), ()), "empty": tensor(STORED, 0, (0, 4), (4, 1))})

    arrays = load_torch(saved(tmp_path / "w.pth", "zip", root))

    assert (arrays["scalar"].shape, float(arrays["scalar"]), arrays["empty"].shape) == ((), 5.0, (0, 4))


def test_other_and_missing_files_are_told_apart(tmp_path: Path) -> None:
    """The message says what the file is instead."""
    (tmp_path / "w.pth").write_bytes(b"GGUF" + bytes(60))

    with pytest.raises(ModelFileError, match="GGUF"):
        load_torch(tmp_path / "w.pth")
    with pytest.raises(MissingError):
        load_torch(tmp_path / "none.pth")


def test_published_weights_in_the_legacy_form_are_read() -> None:
    """A real file of 2020: names, shapes and a channels-last stem."""
    arrays = load_torch(lite0_weights_path())

    trained = [array for key, array in arrays.items() if "running" not in key and "tracked" not in key]
    assert arrays["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert sum(array.size for array in trained) == 4_652_008  # Tan and Le's 4.65 million
