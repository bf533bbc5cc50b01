from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from alula.base.errors import InputError
from alula.base.session import OpenOptions
from alula.base.settings import Settings, read_settings
from alula.base.tensors import DType, Tensor
from alula.engine.sessions.opener import open_model

PROVIDERS = ("native", "reference")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A cache of its own."""
    return read_settings({"ALULA_CACHE": str(tmp_path / "cache"), "ALULA_JOBS": "1", "ALULA_THREADS": "1"})


def saved(folder: Path, nodes: list[onnx.NodeProto], ends: list[onnx.ValueInfoProto], outputs: int = 1) -> Path:
    """A model of some nodes; the last `outputs` ends are its outputs."""
    graph = helper.make_graph(nodes, "values", ends[:-outputs], ends[-outputs:])
    path = folder / "values.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def sequences(folder: Path) -> Path:
    """A sequence s and a tensor x: s with x behind it, and how long that is."""
    nodes = [helper.make_node("SequenceInsert", ["s", "x"], ["t"]), helper.make_node("SequenceLength", ["t"], ["n"])]
    ends = [
        helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, None),
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N"]),
        helper.make_tensor_sequence_value_info("t", TensorProto.FLOAT, None),
        helper.make_tensor_value_info("n", TensorProto.INT64, []),
    ]
    return saved(folder, nodes, ends, 2)


def strings(folder: Path) -> Path:
    """Strings picked by numbers."""
    ends = [
        helper.make_tensor_value_info("words", TensorProto.STRING, ["N"]),
        helper.make_tensor_value_info("which", TensorProto.INT64, ["K"]),
        helper.make_tensor_value_info("y", TensorProto.STRING, ["K"]),
    ]
    return saved(folder, [helper.make_node("Gather", ["words", "which"], ["y"])], ends)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_sequences_come_and_go_as_lists_of_arrays(provider: Any, settings: Settings, tmp_path: Path) -> None:
    """A list has no buffer: sessions hand it on as it is, and tensors beside it as ever."""
    x = np.array([1, 2], np.float32)
    session = open_model(sequences(tmp_path), OpenOptions(provider=provider), settings)

    found: Any = session.run({"s": [x * 2, x[:1]], "x": x})

    assert [array.tolist() for array in found["t"]] == [[2, 4], [1], [1, 2]]
    assert isinstance(found["n"], Tensor)
    assert found["n"].tolist() == 3
    assert session.inputs[0].shape == ("...",)
    session.close()


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("dtype", [object, str])
def test_strings_come_and_go_as_arrays_of_objects(
    provider: Any, dtype: type, settings: Settings, tmp_path: Path
) -> None:
    """In any script; numpy's own strings are taken too."""
    words: np.ndarray[Any, Any] = np.array(["alula", "крыло", "翼"], dtype)
    session = open_model(strings(tmp_path), OpenOptions(provider=provider), settings)

    found: Any = session.run({"words": words, "which": np.array([2, 0, 1, 2])})["y"]

    assert (found.dtype.kind, found.tolist()) == ("O", ["翼", "alula", "крыло", "翼"])
    session.close()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_values_without_bytes_go_into_no_buffer(provider: Any, settings: Settings, tmp_path: Path) -> None:
    """Nothing is written where nobody could read it."""
    session = open_model(strings(tmp_path), OpenOptions(provider=provider), settings)
    feeds = {"words": np.array(["a"], object), "which": np.array([0])}

    with pytest.raises(InputError, match="output y: needs no buffer"):
        session.run(feeds, {"y": bytearray(8)})
    session.close()


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("words", [b"alula", np.zeros(3, np.float32), np.array([["a"]], object), 7])
def test_what_is_no_vector_of_strings_is_refused(
    provider: Any, words: object, settings: Settings, tmp_path: Path
) -> None:
    """By the name of the input."""
    session = open_model(strings(tmp_path), OpenOptions(provider=provider), settings)

    with pytest.raises(InputError, match="input words"):
        session.run({"words": words, "which": np.array([0])})
    session.close()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_tensors_of_another_session_are_taken_as_they_are(provider: Any, settings: Settings, tmp_path: Path) -> None:
    """Also for models that run in stages."""
    x = np.array([5], np.float32)
    session = open_model(sequences(tmp_path), OpenOptions(provider=provider), settings)

    found: Any = session.run({"s": [], "x": Tensor(x, DType.FLOAT32, (1,))})

    assert [array.tolist() for array in found["t"]] == [[5]]
    session.close()
