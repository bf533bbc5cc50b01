"""Networks that onnxruntime's tools quantised, whole, against onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from support.planned import planned, results_of
from support.quantised_nets import PICTURE, TOKENS, quantised, samples

from alula.engine.graph.nodes import Array
from alula.engine.importers.onnx import load_onnx
from alula.engine.plan.records import HostStep

_FORMS = [
    (net, form, kind, channels)
    for net in ("conv", "transformer")
    for form, kind, channels in (
        ("QDQ", "QUInt8", "together"),
        ("QDQ", "QInt8", "apart"),
        ("QOperator", "QUInt8", "together"),
        ("QOperator", "QInt8", "apart"),
        ("dynamic", "QUInt8", "together"),
        ("dynamic", "QInt8", "together"),
    )
]


def _judged(path: Path, inputs: list[Array]) -> list[Array]:
    """As the file says, without onnxruntime's own rewriting of quantised networks."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    return [np.asarray(session.run(None, {"x": x})[0]) for x in inputs]


@pytest.mark.filterwarnings("ignore")  # onnxruntime's tools ask for a step before them, and use what numpy withdraws
@pytest.mark.parametrize(("net", "form", "kind", "channels"), _FORMS)
def test_quantised_networks_run_natively_and_agree(
    net: str,
    form: str,
    kind: str,
    channels: str,
    tmp_path: Path,
) -> None:
    """All steps run in generated code; labels are onnxruntime's, and results within two steps of 8 bits."""
    path = quantised(tmp_path, net, form, kind, per_channel=channels == "apart")
    inputs = samples(PICTURE if net == "conv" else TOKENS, 6)[4:]
    wanted = _judged(path, inputs)

    plan = planned(load_onnx(path))
    found = [next(iter(results_of(plan, tmp_path, {"x": x}).values())) for x in inputs]

    assert [step.label for step in plan.steps if isinstance(step, HostStep)] == []
    for got, want in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(got.argmax(-1), want.argmax(-1))
        np.testing.assert_allclose(got, want, atol=2 * np.ptp(want) / 255)
