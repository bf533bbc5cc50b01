from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from alula.base.errors import LimitError, ModelFileError, UnsupportedError
from alula.engine.importers.safetensors import load_safetensors


def saved(path: Path, header: Any, body: bytes) -> Path:
    """A file with this header."""
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    return path


def entry(dtype: str, shape: list[Any], start: int, end: int) -> dict[str, Any]:
    """One tensor's entry."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def test_tensors_are_read_as_views(tmp_path: Path) -> None:
    """Dtype, shape and place of each tensor are those of the header; metadata is no tensor."""
    body = np.arange(6, dtype=np.float32).tobytes() + np.array([-1, 2], np.int64).tobytes()
    header = {"__metadata__": {"a": "b"}, "w": entry("F32", [2, 3], 0, 24), "i": entry("I64", [2], 24, 40)}

    arrays = load_safetensors(saved(tmp_path / "w.safetensors", header, body))

    assert list(arrays) == ["w", "i"]
    np.testing.assert_array_equal(arrays["w"], np.arange(6, dtype=np.float32).reshape(2, 3), strict=True)
    np.testing.assert_array_equal(arrays["i"], np.array([-1, 2]), strict=True)
    assert not arrays["w"].flags.writeable
    assert not arrays["w"].flags.owndata


def test_bfloat16_keeps_its_type(tmp_path: Path) -> None:
    """ml_dtypes has the type that numpy lacks; nothing is widened."""
    path = saved(tmp_path / "w", {"w": entry("BF16", [1], 0, 2)}, b"\xc0\x3f")

    np.testing.assert_array_equal(load_safetensors(path)["w"], np.array([1.5], ml_dtypes.bfloat16), strict=True)


@pytest.mark.parametrize(
    "header",
    [
        pytest.param({"w": entry("F32", [2], 0, 12)}, id="bytes do not fit the shape"),
        pytest.param({"w": entry("F32", [4], 4, 20)}, id="end beyond the file"),
        pytest.param({"w": entry("F32", [2], -8, 0)}, id="before the body"),
        pytest.param({"w": entry("F32", [-2], 0, 8)}, id="negative dimension"),
        pytest.param({"w": entry("F32", [2.0, 2], 0, 16)}, id="fractional dimension"),
        pytest.param({"w": entry("F32", [2**62, 0], 0, 0)}, id="shape beyond memory"),
        pytest.param({"a": entry("F32", [2], 0, 8), "b": entry("F32", [3], 4, 16)}, id="shared bytes"),
        pytest.param({"w": entry("F32", [2], 0, 8)}, id="bytes that belong to nobody"),
        pytest.param({"w": {"dtype": "F32"}}, id="entry without place"),
        pytest.param({"w": [1, 2]}, id="entry that is no object"),
        pytest.param([1], id="header that is no object"),
    ],
)
def test_header_that_contradicts_the_file_is_refused(tmp_path: Path, header: Any) -> None:
    """A tensor lies in the file, has bytes of its own, and as many as its shape needs."""
    with pytest.raises(ModelFileError):
        load_safetensors(saved(tmp_path / "w.safetensors", header, bytes(16)))


def test_unknown_dtype_is_refused_by_name(tmp_path: Path) -> None:
    """The message names tensor and dtype."""
    path = saved(tmp_path / "w.safetensors", {"w": entry("F4", [1], 0, 1)}, b"\0")

    with pytest.raises(UnsupportedError, match=r"tensor w: .* F4"):
        load_safetensors(path)


@pytest.mark.parametrize("claim", [1 << 20, 1 << 63])
def test_header_longer_than_the_file_is_refused(tmp_path: Path, claim: int) -> None:
    """Attack: a length that makes the reader allocate."""
    path = tmp_path / "w.safetensors"
    path.write_bytes(claim.to_bytes(8, "little") + b"{}")

    with pytest.raises((ModelFileError, LimitError)):
        load_safetensors(path)


@pytest.mark.parametrize("header", [b"[" * 100_000, b'{"a":1,"a":2}', b"\xff\xfe", b"{"])
def test_header_that_is_no_json_is_refused(tmp_path: Path, header: bytes) -> None:
    """Attack: deep nesting, double names and broken text."""
    path = tmp_path / "w.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)

    with pytest.raises(ModelFileError):
        load_safetensors(path)
