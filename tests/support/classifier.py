"""A tiny image classifier as files: what commands, bundles and the benchmark are tested on.

In: a folder. Out: a model, its preprocessing, labels, a picture and an array in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from support.pictures import plain, png

SIDE = 8
LABELS = ("red", "green", "blue")
PREPROCESSING = """\
[resize]
size = [8, 8]
[normalise]
scale = 255
[output]
scores = "logits"
"""


@dataclass(frozen=True)
class Classifier:
    """Files of one classifier; `picture` is plain green."""

    model: Path
    preprocess: Path
    labels: Path
    picture: Path
    array: Path


def write_classifier(folder: Path, batch: int | str = 1) -> Classifier:
    """Write all files; preprocessing and labels do not stand where the model's would be looked for."""
    files = Classifier(
        folder / "colours.onnx", folder / "how.toml", folder / "names.txt", folder / "green.png", folder / "x.npy"
    )
    files.model.write_bytes(classifier_model(batch).SerializeToString())
    files.preprocess.write_text(PREPROCESSING)
    files.labels.write_text("\n".join(LABELS) + "\n")
    files.picture.write_bytes(png(plain(0, 255, 0)))
    np.save(files.array, np.linspace(0, 1, 3 * SIDE * SIDE, dtype=np.float32).reshape(1, 3, SIDE, SIDE))
    return files


def classifier_model(batch: int | str = 1) -> onnx.ModelProto:
    """x [batch, 3, 8, 8] -> logits [batch, 3]: a 1x1 convolution that scales each colour by 4, then the mean."""
    weight = (4 * np.eye(3, dtype=np.float32)).reshape(3, 3, 1, 1)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["logits"], name="flat"),
    ]
    return model_of(nodes, {"w": weight}, {"x": [batch, 3, SIDE, SIDE], "logits": [batch, 3]})


def model_of(
    nodes: list[onnx.NodeProto],
    constants: dict[str, np.ndarray[Any, Any]],
    ends: Mapping[str, list[Any]],
    opset: int = 17,
) -> onnx.ModelProto:
    """A float32 model with one input and one output, in the order of `ends`."""
    first, last = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in ends.items())
    weights = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "made", [first], [last], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
