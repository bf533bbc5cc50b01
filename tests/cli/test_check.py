from __future__ import annotations

from support.classifier import Classifier
from support.commands import Command


def test_good_model_agrees_at_every_step(alula: Command, files: Classifier) -> None:
    """Exit code 0, the worst steps, and ONNX Runtime's opinion."""
    shown = alula("check", files.model)

    assert (shown.code, shown.err) == (0, "")
    *_, compared, other, verdict = shown.out.splitlines()
    assert compared.endswith("values compared with the numpy reference")
    assert other.startswith("onnxruntime: largest difference of the outputs ")
    assert verdict == "all steps agree"


def test_result_in_json_has_every_step(alula: Command, files: Classifier) -> None:
    """Programs see error and allowance of each; inputs may be given."""
    result = alula("check", files.model, f"x={files.array}", "--json").json

    assert result["agrees"] is True
    assert result["onnxruntime"] < 1e-5
    assert {"conv", "pool", "logits"} <= {step["label"] for step in result["steps"]}
    assert all(step["agrees"] and step["error"] <= step["allowed"] for step in result["steps"])
