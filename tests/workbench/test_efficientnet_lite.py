from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image
from support.models import lite0_path, lite0_weights_path, photos

from alula.base.errors import ModelFileError
from alula.engine.graph.dims import symbol
from alula.engine.graph.nodes import Array
from alula.engine.importers.onnx import load_onnx
from alula.engine.importers.torch_pickle import load_torch
from alula.workbench.efficientnet_lite import LITE0, network

_RESIZE = 256  # int(1.143 * LITE0.size), the published test preprocessing


def pixels(path: Path) -> Array:
    """A photograph as the network wants it: bicubic, centre crop, RGB, (x - 127) / 128, channels first."""
    picture = Image.open(path).convert("RGB")
    scale = _RESIZE / min(picture.size)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BICUBIC)
    left, top = (picture.width - LITE0.size) // 2, (picture.height - LITE0.size) // 2
    crop = np.asarray(picture.crop((left, top, left + LITE0.size, top + LITE0.size)), np.float32)
    return ((crop - 127) / 128).transpose(2, 0, 1)[None]


def test_built_model_recognises_the_photographs() -> None:
    """Eighteen of twenty are right, as with the network that the weights were published for."""
    session = onnxruntime.InferenceSession(lite0_path())

    right = [int(session.run(None, {"images": pixels(path)})[0].argmax()) == label for path, label in photos()]

    assert sum(right) == 18


def test_built_model_is_valid_onnx_with_batch_normalisation_in_nodes() -> None:
    """The file is a real exporter's kind of file: the passes have their work to do."""
    path = lite0_path()
    onnx.checker.check_model(onnx.load(path), full_check=True)

    count = Counter(node.op for node in load_onnx(path).nodes)

    expected = {
        "Conv": 49,
        "BatchNormalization": 49,
        "Clip": 33,
        "Add": 9,
        "GlobalAveragePool": 1,
        "Flatten": 1,
        "Gemm": 1,
    }
    assert count == expected


def test_padding_is_asymmetric_on_stride_two() -> None:
    """TensorFlow's SAME: 3x3 at stride 2 on an even map pads only below and to the right."""
    graph = load_onnx(lite0_path())

    pads = {(n.ints("kernel_shape")[0], n.ints("strides")[0]): n.ints("pads") for n in graph.nodes if n.op == "Conv"}

    assert pads == {
        (1, 1): (0, 0, 0, 0),
        (3, 1): (1, 1, 1, 1),
        (5, 1): (2, 2, 2, 2),
        (3, 2): (0, 0, 1, 1),
        (5, 2): (1, 1, 2, 2),
    }


def test_batch_may_be_symbolic_and_a_missing_weight_is_named() -> None:
    """A batch given as text is a dimension of that name; a wrong state dict is refused."""
    weights = load_torch(lite0_weights_path())

    graph = network(LITE0, weights, "N")

    assert graph.inputs[0].shape == (symbol("N"), 3, LITE0.size, LITE0.size)
    with pytest.raises(ModelFileError, match=r"needs weight _fc\.bias"):
        network(LITE0, {name: array for name, array in weights.items() if name != "_fc.bias"})
