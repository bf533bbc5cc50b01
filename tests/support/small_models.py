"""Models of a few nodes, written by the onnx package, for tests that read them back through two engines.

In: nodes and ends. Out: a model file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper


def save(path: Path, nodes: list[onnx.NodeProto], inputs: list[Any], outputs: list[Any], *constants: Any) -> Path:
    """A model file with a few words about itself."""
    graph = helper.make_graph(nodes, "adder", inputs, outputs, list(constants))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="tests")
    model.domain, model.doc_string, model.model_version = "org.example", "adds", 7
    model.metadata_props.add(key="labels", value="cat,dog")
    onnx.save(model, path)
    return path


def floats(name: str, *shape: int | str | None) -> onnx.ValueInfoProto:
    """An end of float32."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
