"""Networks as PyTorch writes them, by both of its exporters, with random weights."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import alula
from alula.engine.graph.nodes import Array
from alula.engine.sessions.compiler import CompileOptions
from alula.workbench.check import check_model

torch = pytest.importorskip("torch", reason="PyTorch is not installed: scripts/environment --with export")
pytest.importorskip("onnxscript", reason="onnxscript is not installed: scripts/environment --with export")

from support.torch_modules import convolutional, sequential  # noqa: E402  they need torch

NETWORKS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "resnet18": (convolutional.ResNet18, (1, 3, 64, 64)),
    "mobilenet_v2": (lambda: convolutional.MobileNet(2), (1, 3, 64, 64)),
    "mobilenet_v3": (lambda: convolutional.MobileNet(3), (2, 3, 64, 64)),
    "convnext": (convolutional.ConvNeXt, (1, 3, 32, 32)),
    "unet": (convolutional.UNet, (1, 3, 32, 48)),
    "detector": (convolutional.DetectorHead, (1, 3, 64, 64)),
    "vit": (sequential.ViT, (2, 3, 32, 32)),
    "swin": (sequential.Swin, (1, 3, 32, 32)),
    "recogniser": (sequential.Recogniser, (1, 1, 32, 64)),
}


def exported(name: str, folder: Path, *, dynamo: bool) -> tuple[Path, Array]:
    """A network as a file, and an input."""
    make, shape = NETWORKS[name]
    torch.manual_seed(7)
    network, x = make().eval(), torch.randn(shape)
    path = folder / f"{name}.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both exporters warn of themselves
        torch.onnx.export(
            network, (x,), path, dynamo=dynamo, input_names=["x"], output_names=["y"], verbose=False,
            external_data=False, opset_version=18 if dynamo else 17,
        )  # fmt: skip
    return path, x.numpy()


@pytest.mark.parametrize("dynamo", [False, True], ids=["torchscript", "dynamo"])
@pytest.mark.parametrize("name", NETWORKS)
def test_exported_network_answers_as_with_onnxruntime(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, dynamo: bool
) -> None:
    """The same numbers, and no step that differs from its reference."""
    monkeypatch.setenv("ALULA_CACHE", str(tmp_path / "cache"))
    path, x = exported(name, tmp_path, dynamo=dynamo)
    wanted = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]

    with closing(alula.open(path, alula.OpenOptions(threads=1))) as session:
        found = np.array(np.asarray(session.run({"x": x})["y"]))

    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5 * float(np.abs(wanted).max()))
    report = check_model(path, CompileOptions(jobs=1), {"x": x})
    assert report.first_wrong is None, report.first_wrong


@pytest.mark.parametrize("name", ["mobilenet_v3", "unet", "recogniser"])
def test_exported_network_takes_any_size(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Symbolic batch, height and width, specialised when they come."""
    monkeypatch.setenv("ALULA_CACHE", str(tmp_path / "cache"))
    make, shape = NETWORKS[name]
    torch.manual_seed(7)
    path = tmp_path / "model.onnx"
    axes = {"x": {0: "N", 3: "W"}, "y": {0: "N"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            make().eval(), (torch.randn(shape),), path, dynamo=False, input_names=["x"], output_names=["y"],
            dynamic_axes=axes, opset_version=17,
        )  # fmt: skip
    theirs = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    with closing(alula.open(path, alula.OpenOptions(threads=1))) as session:
        for batch, width in ((1, 64), (3, 96), (1, 64)):
            x = np.random.default_rng(width).standard_normal((batch, *shape[1:3], width)).astype(np.float32)
            found = np.array(np.asarray(session.run({"x": x})["y"]))
            wanted = theirs.run(None, {"x": x})[0]
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5 * float(np.abs(wanted).max()))
