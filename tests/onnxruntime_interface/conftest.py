from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper, numpy_helper
from support.small_models import floats, save

LIBRARIES = ("onnxruntime", "alula.onnxruntime")


@pytest.fixture(params=LIBRARIES)
def ort(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """ONNX Runtime, and what stands in its place: every test of this folder holds both to the same."""
    monkeypatch.setenv("ALULA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ALULA_JOBS", "1")
    monkeypatch.setenv("ALULA_THREADS", "1")
    return importlib.import_module(request.param)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """`sum` = x + (1, -2, 3) and `positive` = relu(sum), for x of [N, 3]; `positive` comes first."""
    nodes = [helper.make_node("Add", ["x", "w"], ["sum"]), helper.make_node("Relu", ["sum"], ["positive"])]
    weights = numpy_helper.from_array(np.array([1, -2, 3], np.float32), "w")
    return save(
        tmp_path / "m.onnx", nodes, [floats("x", "N", 3)], [floats("positive", "N", 3), floats("sum", "N", 3)], weights
    )


@pytest.fixture
def session(ort: Any, model: Path) -> Any:
    """The model, opened."""
    return ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
