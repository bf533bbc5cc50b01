"""EfficientNet-Lite1 and Lite2 in their own terms: labels of photographs."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from support.models import lite_path, photos

import alula
from alula.imaging.declaration import parse_preprocessing
from alula.imaging.decode import decode
from alula.workbench.efficientnet_lite import LITE1, LITE2, Variant

DECLARATION = Path(__file__).parents[2] / "examples" / "lite0.preprocess.toml"
# The published networks themselves are right on 18 of the 20.
RIGHT = 18


@pytest.mark.parametrize("variant", [LITE1, LITE2], ids=lambda variant: variant.name)
def test_larger_networks_see_in_photographs_what_onnxruntime_sees(
    variant: Variant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every logit within 1e-4, the same first label on all, the true label on as many as the network can."""
    monkeypatch.setenv("ALULA_CACHE", str(tmp_path))
    text = DECLARATION.read_text(encoding="utf-8").replace("256", str(int(1.143 * variant.size)))
    rule = parse_preprocessing(text.replace("224", str(variant.size)))
    session = onnxruntime.InferenceSession(lite_path(variant), providers=["CPUExecutionProvider"])
    right = 0

    with closing(alula.open(lite_path(variant), alula.OpenOptions(threads=1))) as model:
        for path, label in photos():
            tensor = rule.empty()
            rule.run(decode(path.read_bytes()), tensor)
            found = np.array(np.asarray(model.run({"images": tensor})["logits"]))
            wanted = session.run(None, {"images": tensor})[0]
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)
            assert int(found.argmax()) == int(wanted.argmax())
            right += int(found.argmax()) == label

    assert right >= RIGHT
