from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from support.models import LIGHT_MODELS, light_input, light_outputs, small_model

from alula.base.errors import UnsupportedError
from alula.base.tensors import BITS, DType
from alula.engine.graph.dims import symbol
from alula.engine.graph.formula import Formula
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Node, Value, ValueType
from alula.engine.graph.numpy_dtypes import numpy_dtype
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


def test_branches_that_read_outer_values_survive_a_round_trip() -> None:
    """In a file graphs inside nodes read outer values by name; a pass may have renamed these."""
    output = onnx.ValueInfoProto(name="i")
    inner = helper.make_graph([helper.make_node("Neg", ["w"], ["i"])], "inner", [], [output])
    nodes = [helper.make_node("If", ["x"], ["i"], then_branch=inner, else_branch=inner)]
    outer = helper.make_graph(nodes, "outer", [], [output])
    holder = helper.make_node("If", ["x"], ["z"], then_branch=outer, else_branch=inner)
    graph = read_onnx(small_model(nodes=[helper.make_node("Relu", ["x"], ["fresh"]), holder]).SerializeToString())
    renamed = replace(graph.nodes[1], inputs=tuple("fresh" if name == "w" else name for name in graph.nodes[1].inputs))

    again = read_onnx(onnx_bytes(graph.with_(nodes=[graph.nodes[0], renamed]), 17)).nodes[1]

    middle = again.attributes["then_branch"]
    assert isinstance(middle, Graph)
    assert again.inputs == ("x", "fresh", "x")
    assert sorted(value.name for value in middle.inputs) == ["fresh", "x"]
    assert middle.nodes[0].inputs[-1] == "fresh"


def test_branch_with_a_value_of_the_name_that_it_would_read_is_refused() -> None:
    """Written down, the branch would read its own value."""
    output = onnx.ValueInfoProto(name="i")
    inner = helper.make_graph([helper.make_node("Neg", ["w"], ["i"])], "inner", [], [output])
    node = read_onnx(
        small_model(
            nodes=[helper.make_node("If", ["x"], ["z"], then_branch=inner, else_branch=inner)]
        ).SerializeToString()
    ).nodes[0]
    graph = read_onnx(small_model().SerializeToString())

    with pytest.raises(UnsupportedError, match="name of one that it reads from outside"):
        onnx_bytes(graph.with_(nodes=[replace(node, inputs=("x", "i"))]), 17)


@pytest.mark.parametrize("dtype", list(DType), ids=str)
def test_arrays_of_every_dtype_survive_a_round_trip(dtype: DType) -> None:
    """Packed types, half floats and text included; three elements do not fill a byte."""
    values = np.array(["a", "", "\u00e9"], object) if dtype is DType.STRING else np.array([1, 0, 1])
    bits = values.astype(f"u{dtype.itemsize}") if dtype in BITS else values
    array = bits.view(numpy_dtype(dtype)) if dtype in BITS else bits.astype(numpy_dtype(dtype))
    graph = read_onnx(small_model().SerializeToString())
    node = graph.nodes[0].with_attributes(table=array, several=(array, array))

    again = read_onnx(onnx_bytes(graph.with_(nodes=[node, *graph.nodes[1:]]), 17)).nodes[0].attributes

    np.testing.assert_array_equal(cast("Any", again["table"]), array, strict=True)
    np.testing.assert_array_equal(cast("Any", again["several"])[1], array, strict=True)


def test_ends_that_are_no_tensors_survive_a_round_trip() -> None:
    """Sequences and optionals, and types among the attributes."""
    kind = ValueType("optional", of=ValueType("sequence", of=ValueType("tensor", DType.INT64, (2, symbol("n")))))
    inputs = (Value("s", DType.FLOAT16, None, kind="sequence"), Value("x", DType.INT8, None))
    node = Node("Any", ("s", "x"), ("y",), {"type": kind}, domain="test")
    values = {value.name: value for value in (*inputs, Value("y", DType.BOOL, (3,)))}

    again = read_onnx(onnx_bytes(Graph("ends", (node,), inputs, ("y",), {}, values), 17))

    assert (again.inputs, again.nodes[0].attributes["type"]) == (inputs, kind)
