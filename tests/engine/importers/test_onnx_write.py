from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from support.models import LIGHT_MODELS, light_input, light_outputs, small_model

from alula.base.errors import UnsupportedError
from alula.engine.graph.formula import Formula
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Node
from alula.engine.importers.onnx import load_onnx, read_onnx
from alula.engine.importers.onnx_write import onnx_bytes, write_onnx


def assert_equal_graphs(ours: Graph, theirs: Graph) -> None:
    """Same nodes, attributes, ends and constants."""
    assert (ours.inputs, ours.outputs, dict(ours.opsets)) == (theirs.inputs, theirs.outputs, dict(theirs.opsets))
    assert dict(ours.values) == dict(theirs.values)
    for node, other in zip(ours.nodes, theirs.nodes, strict=True):
        assert replace(node, attributes={}) == replace(other, attributes={})
        assert set(node.attributes) == set(other.attributes)
        for name, value in node.attributes.items():
            np.testing.assert_array_equal(value, other.attributes[name])
    assert set(ours.constants) == set(theirs.constants)
    for name, array in ours.constants.items():
        np.testing.assert_array_equal(array, theirs.constants[name], strict=True)


@pytest.mark.parametrize("path", [LIGHT_MODELS[0], LIGHT_MODELS[-1]], ids=lambda path: path.stem)
def test_written_model_is_valid_and_reads_back_equal(path: Path, tmp_path: Path) -> None:
    """A round trip changes nothing, and the onnx library's checker accepts the file."""
    graph = load_onnx(path)

    write_onnx(graph, tmp_path / path.name, graph.opsets[""])

    onnx.checker.check_model(onnx.load(tmp_path / path.name))
    assert_equal_graphs(load_onnx(tmp_path / path.name), graph)


def test_written_model_answers_as_the_original(tmp_path: Path) -> None:
    """Another runtime computes the expected outputs from the file that alula wrote."""
    path = next(path for path in LIGHT_MODELS if "squeezenet" in path.name)
    graph = load_onnx(path)
    write_onnx(graph, tmp_path / "model.onnx", graph.opsets[""])
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")

    answers = session.run(None, {graph.inputs[0].name: light_input((1, 3, 224, 224))})

    for answer, expected in zip(answers, light_outputs(path), strict=True):
        np.testing.assert_allclose(answer, expected, rtol=1e-3, atol=1e-7)  # the onnx library's own tolerance


def test_every_kind_of_attribute_survives_a_round_trip() -> None:
    """Writer and reader agree on all attribute types, symbolic dimensions and own domains."""
    body = helper.make_graph([helper.make_node("Relu", ["x"], ["i"])], "b", [], [onnx.ValueInfoProto(name="i")])
    values: dict[str, Any] = {"f": 1.5, "i": -3, "s": "text", "b": b"\xff", "fs": [0.5], "is": [1, -2], "ss": ["a"]}
    tensor = numpy_helper.from_array(np.array(7, np.int64))
    node = helper.make_node("Any", ["x", "", "w"], ["z", ""], domain="test", t=tensor, g=body, **values)
    graph = read_onnx(small_model(nodes=[node]).SerializeToString())

    again = read_onnx(onnx_bytes(graph, 17))

    assert again.opsets == {"": 17, "test": 1}
    inner = again.nodes[0].attributes["g"]
    assert isinstance(inner, Graph)
    assert inner.nodes[0].inputs == ("x",)
    plain = [replace(g, opsets={}, nodes=(drop_graph(g),)) for g in (again, graph)]
    assert_equal_graphs(*plain)


def drop_graph(graph: Graph) -> Node:
    """The first node without its nested graph, which numpy cannot compare."""
    node = graph.nodes[0]
    return replace(node, attributes={name: value for name, value in node.attributes.items() if name != "g"})


def test_attribute_without_an_onnx_form_is_refused(tmp_path: Path) -> None:
    """Formulas are alula's own; half a file would be worse than none."""
    graph = read_onnx(small_model().SerializeToString())
    node = graph.nodes[0].with_attributes(formula=Formula(1))

    with pytest.raises(UnsupportedError, match="attribute formula holds a Formula"):
        write_onnx(graph.with_(nodes=[node]), tmp_path / "model.onnx", 17)
    assert list(tmp_path.iterdir()) == []
