from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.models import LIGHT_MODELS, small_model

from alula.base.errors import GraphError, MissingError, ModelFileError, UnsupportedError
from alula.base.tensors import DType
from alula.engine.graph.dims import symbol
from alula.engine.graph.graph import Graph
from alula.engine.importers.onnx import load_onnx, read_onnx


def read(model: onnx.ModelProto) -> Graph:
    """The model through alula's reader."""
    return read_onnx(model.SerializeToString(), None, "test.onnx")


def node_with(**attributes: Any) -> onnx.ModelProto:
    """A model of one node with these attributes, in a domain of its own."""
    return small_model(nodes=[helper.make_node("Any", ["x", "w"], ["z"], domain="test", **attributes)])


@pytest.mark.parametrize("path", LIGHT_MODELS, ids=lambda path: path.stem)
def test_light_model_reads_as_the_onnx_library_reads_it(path: Path) -> None:
    """Nodes, edges, attributes and weights of real architectures are those that the reference reader finds."""
    theirs = onnx.load(path).graph

    graph = load_onnx(path)

    assert [(n.op, n.inputs, n.outputs, n.name) for n in graph.nodes] == [
        (n.op_type, tuple(n.input), tuple(n.output), n.name) for n in theirs.node
    ]
    for node, other in zip(graph.nodes, theirs.node, strict=True):
        assert_attributes_equal(node.attributes, other)
    assert set(graph.constants) == {tensor.name for tensor in theirs.initializer}
    for tensor in theirs.initializer:
        np.testing.assert_array_equal(graph.constants[tensor.name], numpy_helper.to_array(tensor))


def assert_attributes_equal(ours: Any, theirs: onnx.NodeProto) -> None:
    """Every attribute has the value that the onnx library gives it."""
    assert set(ours) == {attribute.name for attribute in theirs.attribute}
    for attribute in theirs.attribute:
        value = helper.get_attribute_value(attribute)
        if isinstance(value, TensorProto):
            np.testing.assert_array_equal(ours[attribute.name], numpy_helper.to_array(value))
        elif isinstance(value, bytes):
            assert ours[attribute.name] == value.decode()
        else:
            assert ours[attribute.name] == (value if isinstance(value, (int, float)) else tuple(value))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (1.5, 1.5),
        (-7, -7),
        (0, 0),
        ("text", "text"),
        (b"\xff\x00", b"\xff\x00"),
        ([0.5, -2.0], (0.5, -2.0)),
        ([1, -(2**63), 2**63 - 1], (1, -(2**63), 2**63 - 1)),
        (["a", "b"], ("a", "b")),
    ],
)
def test_attribute_of_each_type_is_read(given: Any, expected: Any) -> None:
    """Attribute values keep their type and value."""
    graph = read(node_with(value=given))

    found = graph.nodes[0].attributes["value"]
    assert found == expected
    assert type(found) is type(expected)


def test_tensor_attribute_is_an_array() -> None:
    """Constants in nodes are arrays like initializers."""
    array = np.array([[1, 2]], np.int64)

    graph = read(node_with(value=numpy_helper.from_array(array)))

    np.testing.assert_array_equal(graph.nodes[0].attributes["value"], array)


def test_nested_graph_is_read_and_may_capture_outer_values() -> None:
    """The body of an If sees the values of the graph around it."""
    inner = helper.make_graph(
        [helper.make_node("Relu", ["y"], ["inner"])],
        "body",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)],
    )
    nodes = [
        helper.make_node("If", ["x"], ["z"], then_branch=inner, else_branch=inner),
        helper.make_node("Relu", ["x"], ["y"]),
    ]

    graph = read(small_model(nodes=nodes))

    body = graph.nodes[1].attributes["then_branch"]
    assert [node.op for node in graph.nodes] == ["Relu", "If"]
    assert isinstance(body, Graph)
    assert [node.op for node in body.nodes] == ["Relu"]


def test_nested_graph_that_captures_nothing_known_is_refused() -> None:
    """A captured value must be made before the node."""
    inner = helper.make_graph(
        [helper.make_node("Relu", ["ghost"], ["inner"])],
        "body",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)],
    )

    with pytest.raises(GraphError, match="nothing makes ghost"):
        read(node_with(body=inner))


def test_model_attribute_type_must_match_its_value() -> None:
    """An attribute that says int and holds a float would be read as zero."""
    model = node_with(value=1.5)
    model.graph.node[0].attribute[0].type = onnx.AttributeProto.INT

    with pytest.raises(ModelFileError, match=r"attribute value: its type says int, it holds f"):
        read(model)


@pytest.mark.parametrize("kind", ["tensors", "graphs", "sparse_tensor", "type_protos"])
def test_attribute_of_a_type_that_alula_lacks_is_refused(kind: str) -> None:
    """A value that would be dropped in silence is refused by name."""
    model = node_with(value=1)
    attribute = model.graph.node[0].attribute[0]
    attribute.ClearField("i")
    attribute.type = getattr(onnx.AttributeProto, kind.upper())

    with pytest.raises(UnsupportedError, match="attribute value"):
        read(model)


def test_weights_are_read_only_views_of_the_file() -> None:
    """Reading copies no weight, and nobody can write into the mapped file."""
    data = small_model().SerializeToString()

    weight = read_onnx(data, None, "test.onnx").constants["w"]

    base = np.frombuffer(data, np.uint8)
    assert np.shares_memory(weight, base)
    assert not weight.flags.writeable


def test_initializer_among_the_inputs_is_a_constant() -> None:
    """Older exporters list weights as inputs too; callers do not hand them in."""
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3]) for name in ("x", "w")]

    graph = read(small_model(inputs=info))

    assert [value.name for value in graph.inputs] == ["x"]


@pytest.mark.parametrize(("dim", "expected"), [("N", "N"), ("?", "x_0"), (None, "x_0"), (-1, "x_0"), (0, 0), (5, 5)])
def test_dimensions_are_numbers_or_symbols(dim: Any, expected: Any) -> None:
    """Named dimensions keep their name; -1, `?` and nothing become a fresh symbol."""
    graph = read(small_model(inputs=[helper.make_tensor_value_info("x", TensorProto.FLOAT, [dim, 3])]))

    assert graph.inputs[0].shape == (symbol(expected) if isinstance(expected, str) else expected, 3)


def test_input_without_type_is_refused() -> None:
    """An input's dtype and shape cannot be guessed."""
    with pytest.raises(ModelFileError, match="input x"):
        read(small_model(inputs=[onnx.ValueInfoProto(name="x")]))


def test_input_that_is_no_tensor_is_refused() -> None:
    """Sequences, maps and optionals are no tensors."""
    info = helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, [1])

    with pytest.raises(UnsupportedError, match="found sequence"):
        read(small_model(inputs=[info]))


def test_nodes_out_of_order_are_sorted() -> None:
    """Every node comes after the nodes it reads; the others keep their order."""
    nodes = list(small_model().graph.node)

    graph = read(small_model(nodes=nodes[::-1]))

    assert [node.name for node in graph.nodes] == ["gemm", "half_constant", "add"]


def test_cycle_is_refused_by_the_names_of_its_nodes() -> None:
    """The message says which nodes wait for each other."""
    nodes = [
        helper.make_node("Add", ["x", "c"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["b"], name="second"),
        helper.make_node("Relu", ["b"], ["c"], name="third"),
        helper.make_node("Relu", ["c"], ["z"], name="after"),
    ]

    with pytest.raises(GraphError, match="first -> second -> third -> first"):
        read(small_model(nodes=nodes))


def test_value_that_nothing_makes_is_refused() -> None:
    """Every input of a node is made somewhere."""
    with pytest.raises(GraphError, match="nothing makes it"):
        read(small_model(nodes=[helper.make_node("Add", ["x", "ghost"], ["z"])]))


def test_opsets_and_metadata_are_kept() -> None:
    """ONNX's own domain is the empty string, however the file writes it."""
    model = small_model()
    model.opset_import[0].domain = "ai.onnx"
    helper.set_model_props(model, {"character": "a\nb"})

    graph = read(model)

    assert (dict(graph.opsets), dict(graph.metadata), graph.name) == ({"": 17}, {"character": "a\nb"}, "test.onnx")


def test_model_without_opset_is_refused() -> None:
    """Without a version nobody knows what its operators mean."""
    model = small_model()
    del model.opset_import[:]

    with pytest.raises(ModelFileError, match="versions of its operator sets"):
        read(model)


def test_functions_and_sparse_initializers_are_refused() -> None:
    """What cannot run is refused at once, not dropped."""
    with_function = small_model()
    with_function.functions.add(name="f")
    sparse = small_model()
    sparse.graph.sparse_initializer.add()

    with pytest.raises(UnsupportedError, match="functions"):
        read(with_function)
    with pytest.raises(UnsupportedError, match="sparse"):
        read(sparse)


def test_values_hold_inputs_outputs_and_constants_but_no_claims_about_others() -> None:
    """Shapes between nodes are inferred, never believed: memory is laid out by them."""
    model = small_model()
    model.graph.value_info.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1]))

    graph = read(model)

    assert set(graph.values) == {"x", "w", "z"}
    assert graph.values["w"].dtype is DType.FLOAT32


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "PNG picture"),
        (b'{"model": 1}', "JSON"),
        (b"PK\x03\x04" + bytes(50), "zip archive"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"\xa5\x17random bytes of no kind", "a5 17"),
    ],
)
def test_other_file_is_refused_with_what_was_found(tmp_path: Path, content: bytes, found: str) -> None:
    """The message says what the file is instead."""
    path = tmp_path / "model.onnx"
    path.write_bytes(content)

    with pytest.raises(ModelFileError, match=found):
        load_onnx(path)


def test_missing_file_and_directory_are_told_apart(tmp_path: Path) -> None:
    """A wrong path is missing; a directory is no model."""
    with pytest.raises(MissingError):
        load_onnx(tmp_path / "nothing.onnx")
    with pytest.raises(ModelFileError, match="a directory"):
        load_onnx(tmp_path)
