from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.classifier import Classifier
from support.commands import Command

FIGURES = {
    "engine",
    "median",
    "best",
    "p95",
    "throughput",
    "runs",
    "ratio",
    "load_seconds",
    "open_seconds",
    "first_seconds",
    "peak_bytes",
    "difference",
}


def test_engines_stand_side_by_side_and_agree(alula: Command, files: Classifier, tmp_path: Path) -> None:
    """One run measures all of them; the record says machine, versions and commit."""
    record = tmp_path / "records" / "one.json"
    words = ("--against", "onnxruntime", "--seconds", "0.2", "--record", record, "--json")

    result = alula("bench", files.model, *words).json

    ours, theirs = result["engines"]
    assert (ours["engine"], theirs["engine"]) == ("alula", "onnxruntime")
    assert ours.keys() == theirs.keys() == FIGURES
    assert (ours["ratio"], ours["difference"]) == (1.0, 0.0)
    assert theirs["difference"] < 1e-5
    assert theirs["ratio"] == pytest.approx(theirs["median"] / ours["median"])
    assert result.keys() >= {"model", "threads", "cpu", "cores", "target", "python", "versions", "commit", "date"}
    assert json.loads(record.read_text()) == result


def test_plan_is_measured_alone_or_against_engines_that_read_its_model(alula: Command, files: Classifier) -> None:
    """Others cannot read a plan: they need the file that it was made of."""
    plan = files.model.with_suffix(".alula")
    alula("compile", files.model)

    alone = alula("bench", plan, "--seconds", "0.1")
    refused = alula("bench", plan, "--against", "onnxruntime")
    both = alula("bench", plan, "--model", files.model, "--against", "onnxruntime", "--seconds", "0.1")

    assert alone.out.splitlines()[2].startswith("alula ")
    assert refused.code == 2
    assert "try: alula bench PLAN --model FILE.onnx" in refused.err
    assert both.out.splitlines()[3].startswith("onnxruntime ")


def test_unknown_names_are_answered_with_the_known_ones(alula: Command, files: Classifier) -> None:
    """Models and engines alike."""
    model = alula("bench", "lite00")
    engine = alula("bench", files.model, "--against", "tensorflow")

    assert (model.code, engine.code) == (2, 2)
    assert "try: one of lite0, lite1, lite2, alexnet, " in model.err
    assert "needs names of onnxruntime, openvino, got 'tensorflow'" in engine.err
