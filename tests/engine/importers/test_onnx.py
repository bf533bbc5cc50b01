from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.models import LIGHT_MODELS, small_model

from alula.base.errors import GraphError, MissingError, ModelFileError, UnsupportedError
from alula.base.tensors import DType
from alula.engine.graph.dims import symbol
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import ValueType
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


def body_of(reads: str, makes: str = "inner") -> onnx.GraphProto:
    """A graph of one node that takes its input from outside."""
    output = helper.make_tensor_value_info(makes, TensorProto.FLOAT, None)
    return helper.make_graph([helper.make_node("Relu", [reads], [makes])], "body", [], [output])


def test_nested_graph_gets_what_it_reads_from_outside_as_inputs() -> None:
    """Passes need not look into nodes: each graph is self-contained, and the node reads what its graphs capture."""
    nodes = [
        helper.make_node("If", ["x"], ["z"], then_branch=body_of("y"), else_branch=body_of("w")),
        helper.make_node("Relu", ["x"], ["y"]),
    ]

    graph = read(small_model(nodes=nodes))

    holder = graph.nodes[1]
    assert [node.op for node in graph.nodes] == ["Relu", "If"]
    assert (holder.inputs, holder.attributes["captures"]) == (("x", "w", "y"), ("w", "y"))
    bodies = [holder.attributes[name] for name in ("then_branch", "else_branch")]
    assert [[value.name for value in body.inputs] for body in bodies if isinstance(body, Graph)] == [["y"], ["w"]]


def test_capture_reaches_through_graphs_inside_graphs() -> None:
    """What the innermost graph reads passes through every node around it."""
    middle = helper.make_graph(
        [helper.make_node("If", ["x"], ["m"], then_branch=body_of("w"), else_branch=body_of("local"))],
        "middle",
        [helper.make_tensor_value_info("local", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info("m", TensorProto.FLOAT, None)],
    )

    holder = read(node_with(body=middle)).nodes[0]

    inside = holder.attributes["body"]
    assert holder.attributes["captures"] == ("x", "w")
    assert isinstance(inside, Graph)
    assert [value.name for value in inside.inputs] == ["local", "x", "w"]
    assert inside.nodes[0].inputs == ("x", "local", "w")


def test_output_of_a_nested_graph_may_be_an_outer_value() -> None:
    """A branch that only hands a value on has no nodes."""
    body = helper.make_graph([], "body", [], [helper.make_tensor_value_info("w", TensorProto.FLOAT, None)])

    holder = read(node_with(body=body)).nodes[0]

    inside = holder.attributes["body"]
    assert isinstance(inside, Graph)
    assert ([value.name for value in inside.inputs], inside.outputs) == (["w"], ("w",))


def test_own_value_of_a_nested_graph_is_no_capture() -> None:
    """A name inside hides the same name outside."""
    assert "captures" not in read(node_with(body=add_body())).nodes[0].attributes


def add_body() -> onnx.GraphProto:
    """A graph with an input and a constant that have the names of outer values."""
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "inner")]
    weight = numpy_helper.from_array(np.ones(3, np.float32), "w")
    return helper.make_graph([helper.make_node("Add", ["x", "w"], ["inner"])], "body", [infos[0]], [infos[1]], [weight])


def test_nested_graph_that_captures_nothing_known_is_refused() -> None:
    """A captured value must be made before the node."""
    with pytest.raises(GraphError, match="nothing makes ghost"):
        read(node_with(body=body_of("ghost")))


def test_model_attribute_type_must_match_its_value() -> None:
    """An attribute that says int and holds a float would be read as zero."""
    model = node_with(value=1.5)
    model.graph.node[0].attribute[0].type = onnx.AttributeProto.INT

    with pytest.raises(ModelFileError, match=r"attribute value: its type says int, it holds f"):
        read(model)


def test_lists_of_tensors_and_graphs_are_tuples() -> None:
    """Attributes may hold several of what they may hold one of."""
    arrays: list[np.ndarray[Any, Any]] = [np.array([1, 2], np.int64), np.array(0.5, np.float32)]

    graph = read(node_with(tensors=[numpy_helper.from_array(array) for array in arrays], graphs=[body_of("w")] * 2))

    attributes = graph.nodes[0].attributes
    for found, array in zip(cast("tuple[Any, ...]", attributes["tensors"]), arrays, strict=True):
        np.testing.assert_array_equal(found, array, strict=True)
    assert [type(item) for item in cast("tuple[Any, ...]", attributes["graphs"])] == [Graph, Graph]
    assert attributes["captures"] == ("w",)


def test_type_attribute_tells_kind_dtype_and_shape() -> None:
    """Optional names the type of what is absent."""
    tensor = helper.make_tensor_type_proto(TensorProto.INT64, [2, "n"])
    kind = helper.make_optional_type_proto(helper.make_sequence_type_proto(tensor))

    found = read(node_with(value=kind)).nodes[0].attributes["value"]

    held = ValueType("tensor", DType.INT64, (2, symbol("n")))
    assert found == ValueType("optional", of=ValueType("sequence", of=held))
    assert str(found) == "optional of sequence of tensor int64"


def sparse_tensor(dims: list[int], indices: Any, values: list[float]) -> onnx.SparseTensorProto:
    """A sparse tensor of float32 under the name w."""
    return helper.make_sparse_tensor(
        numpy_helper.from_array(np.array(values, np.float32), "w"),
        numpy_helper.from_array(np.array(indices, np.int64), "indices"),
        dims,
    )


@pytest.mark.parametrize("indices", [[1, 5], [[0, 1], [1, 2]]], ids=["flat", "coordinates"])
def test_sparse_tensors_are_written_out(indices: Any) -> None:
    """Initializers and attributes may list the elements that are not zero, in two forms."""
    model = node_with(value=sparse_tensor([2, 3], indices, [1.5, -2]))
    del model.graph.initializer[:]
    model.graph.sparse_initializer.append(sparse_tensor([2, 3], indices, [1.5, -2]))

    graph = read(model)

    expected = np.array([[0, 1.5, 0], [0, 0, -2]], np.float32)
    np.testing.assert_array_equal(graph.constants["w"], expected, strict=True)
    np.testing.assert_array_equal(cast("Any", graph.nodes[0].attributes["value"]), expected, strict=True)


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


def test_tensor_of_unknown_rank_is_read() -> None:
    """Its shape comes with the data."""
    graph = read(small_model(inputs=[helper.make_tensor_value_info("x", TensorProto.FLOAT, None)]))

    assert (graph.inputs[0].shape, graph.inputs[0].dtype) == (None, DType.FLOAT32)


def test_sequences_and_optionals_are_read_without_a_shape() -> None:
    """They have none as a whole; the dtype is that of the tensors in them."""
    tensor = helper.make_tensor_type_proto(TensorProto.INT64, [1])
    sequence = helper.make_sequence_type_proto(tensor)
    infos = [
        helper.make_value_info("x", sequence),
        helper.make_value_info("w", helper.make_optional_type_proto(sequence)),
    ]
    model = small_model(inputs=infos, nodes=[helper.make_node("Any", ["x", "w"], ["z"], domain="test")])
    del model.graph.initializer[:]

    graph = read(model)

    assert [(v.kind, v.dtype, v.shape) for v in graph.inputs] == [
        ("sequence", DType.INT64, None),
        ("optional", DType.INT64, None),
    ]


def test_map_is_refused() -> None:
    """Maps belong to operators of classical machine learning."""
    held = helper.make_tensor_type_proto(TensorProto.FLOAT, [1])

    with pytest.raises(UnsupportedError, match="found a map"):
        read(small_model(inputs=[helper.make_value_info("x", helper.make_map_type_proto(TensorProto.INT64, held))]))


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
