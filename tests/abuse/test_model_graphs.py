from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import AttributeProto, TensorProto, helper, numpy_helper
from support.models import small_model

from alula.base.errors import AlulaError, GraphError, LimitError, ModelFileError, UnsupportedError
from alula.engine.graph.check import check_graph
from alula.engine.graph.graph import Graph
from alula.engine.importers.onnx import read_onnx
from alula.engine.importers.place import ImportLimits
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.passes.upgrade_operators import upgrade_operators

OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]


def read(model: onnx.ModelProto, limits: ImportLimits | None = None) -> Graph:
    """The model through alula's reader."""
    return read_onnx(model.SerializeToString(), None, "hostile.onnx", limits or ImportLimits())


def peak_memory(action: Callable[[], object]) -> int:
    """The most memory, in bytes, that Python and numpy held for `action`."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def refused_in_little_memory(model: onnx.ModelProto, kind: type[AlulaError], message: str, most: int) -> None:
    """The model is refused, and the reader never holds more than `most` bytes."""
    data = model.SerializeToString()

    def refused() -> None:
        with pytest.raises(kind, match=message) as caught:
            read_onnx(data, None, "hostile.onnx")
        assert len(str(caught.value)) < 1000

    assert peak_memory(refused) < most


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field; the onnx library writes no packed ones."""
    length = bytes(AttributeProto(i=len(content)).SerializeToString()[1:])  # a varint behind its tag
    return bytes([number << 3 | 2]) + length + content


def function(name: str, *calls: str) -> onnx.FunctionProto:
    """A function that calls others, one after the other, from `a` to `b`."""
    names = ["a", *(f"t{index}" for index in range(1, len(calls))), "b"]
    nodes = [
        helper.make_node(op, [names[index]], [names[index + 1]], domain="" if op == "Relu" else "own")
        for index, op in enumerate(calls)
    ]
    return helper.make_function("own", name, ["a"], ["b"], nodes, OPSETS)


def calling(name: str, functions: Sequence[onnx.FunctionProto], calls: int = 1, label: str = "") -> onnx.ModelProto:
    """A model that calls a function so many times."""
    names = ["x", *(f"v{index}" for index in range(1, calls)), "z"]
    model = small_model(
        nodes=[
            helper.make_node(name, [names[index]], [names[index + 1]], domain="own", name=label)
            for index in range(calls)
        ]
    )
    model.functions.extend(functions)
    model.opset_import.append(OPSETS[1])
    return model


@pytest.mark.parametrize("ring", [1, 2, 50])
def test_functions_that_call_themselves_are_refused(ring: int) -> None:
    """Attack: writing them out would never end."""
    functions = [function(f"F{index}", f"F{(index + 1) % ring}") for index in range(ring)]

    with pytest.raises((GraphError, LimitError), match=r"calls itself|call one another"):
        read(calling("F0", functions))


def test_functions_that_double_at_every_level_are_refused_before_they_grow() -> None:
    """Attack: fifteen small functions that come to more than a billion nodes."""
    functions = [function(f"F{level}", *[f"F{level + 1}"] * 4) for level in range(15)]
    model = calling("F0", [*functions, function("F15", "Relu")])

    refused_in_little_memory(model, LimitError, "when its functions are written out", 2_000_000)


def test_functions_without_nodes_count_too() -> None:
    """Attack: calls that come to nothing still take time."""
    functions = [function(f"F{level}", *[f"F{level + 1}"] * 40) for level in range(4)]
    empty = helper.make_function("own", "F4", ["a"], ["a"], [], OPSETS)

    with pytest.raises(LimitError, match="when its functions are written out"):
        read(calling("F0", [*functions, empty]))


def test_long_chain_of_functions_is_refused() -> None:
    """Attack: thousands of functions, each calling the next, to exhaust the stack."""
    functions = [function(f"F{index}", f"F{index + 1}") for index in range(5000)]

    for order in (functions, functions[::-1]):
        with pytest.raises(LimitError, match="call one another 16 deep"):
            read(calling("F0", [*order, function("F5000", "Relu")]))


def test_chain_that_was_measured_from_its_middle_is_still_too_long() -> None:
    """Attack: the lower half is called first, so that its depth is known when the upper half comes."""
    functions = [function(f"F{index}", f"F{index + 1}") for index in range(20)]
    model = calling("F10", [*functions, function("F20", "Relu")])
    model.graph.node.append(helper.make_node("F0", ["x"], ["other"], domain="own"))

    with pytest.raises(LimitError, match="call one another 16 deep"):
        read(model)


def test_long_names_are_not_multiplied_by_calls() -> None:
    """Attack: a name of a megabyte for each of thousands of calls, joined to every name inside."""
    model = calling("F", [function("F", *["Relu"] * 10)], calls=500, label="n" * 100_000)

    assert peak_memory(lambda: read(model)) < 150_000_000  # the file itself has 50 MB of names


def branch(nodes: int) -> onnx.GraphProto:
    """A graph of a chain of nodes that starts at the outer value x."""
    names = ["x", *(f"i{index}" for index in range(nodes))]
    chain = [helper.make_node("Relu", [names[index]], [names[index + 1]]) for index in range(nodes)]
    return helper.make_graph(chain, "b", [], [onnx.ValueInfoProto(name=names[-1])])


def test_nodes_of_all_graphs_and_functions_count_together() -> None:
    """Attack: a model that hides its size in branches, and one that hides it in functions."""
    holder = helper.make_node("If", ["x"], ["z"], then_branch=branch(30), else_branch=branch(30))
    hidden = calling("F", [function("F", *["Relu"] * 30), function("G", *["Relu"] * 30)])

    assert read(small_model(nodes=[holder]), ImportLimits(nodes=61)).nodes
    with pytest.raises(LimitError):
        read(small_model(nodes=[holder]), ImportLimits(nodes=60))
    assert read(hidden, ImportLimits(nodes=61)).nodes
    with pytest.raises(LimitError):
        read(hidden, ImportLimits(nodes=60))


def test_nesting_has_the_limit_that_the_user_sets() -> None:
    """Attack: branches inside branches; the setting says how many are believed."""
    body = branch(1)
    for _ in range(4):
        node = helper.make_node("If", ["x"], ["i0"], then_branch=body, else_branch=body)
        body = helper.make_graph([node], "b", [], [onnx.ValueInfoProto(name="i0")])
    model = small_model(nodes=[helper.make_node("If", ["x"], ["z"], then_branch=body, else_branch=body)])

    assert read(model, ImportLimits(nesting=5)).nodes
    with pytest.raises(LimitError, match="nested 4 deep"):
        read(model, ImportLimits(nesting=4))


def test_branch_that_reads_what_its_own_node_makes_is_a_cycle() -> None:
    """Attack: a value that needs itself, through a graph inside."""
    body = helper.make_graph([helper.make_node("Relu", ["z"], ["i"])], "b", [], [onnx.ValueInfoProto(name="i")])

    with pytest.raises(GraphError, match="cycle"):
        read(small_model(nodes=[helper.make_node("If", ["x"], ["z"], then_branch=body, else_branch=body)]))


def test_model_that_claims_captures_itself_is_refused() -> None:
    """Attack: inputs of the node that its graphs would take for other values."""
    node = helper.make_node("If", ["x"], ["z"], then_branch=branch(1), else_branch=branch(1), captures=["x", "y"])

    with pytest.raises(GraphError, match="cannot have an attribute captures"):
        read(small_model(nodes=[node]))


def test_call_with_a_graph_that_reads_values_around_it_is_refused() -> None:
    """Attack: a function that runs a graph with values of another place."""
    attribute = AttributeProto(name="then_branch", type=AttributeProto.GRAPH, ref_attr_name="body")
    holder = helper.make_node("If", ["a"], ["b"], else_branch=branch(0))
    holder.attribute.append(attribute)
    f = helper.make_function("own", "F", ["a"], ["b"], [holder], OPSETS, attributes=["body"])
    model = calling("F", [f])
    model.graph.node[0].attribute.append(helper.make_attribute("body", branch(2)))

    with pytest.raises(UnsupportedError, match="no graph that reads values around it"):
        read(model)


def test_types_nested_without_end_are_refused() -> None:
    """Attack: sequences of sequences, to exhaust the stack."""
    kind = helper.make_tensor_type_proto(TensorProto.FLOAT, [1])
    for _ in range(20):
        kind = helper.make_sequence_type_proto(kind)

    with pytest.raises(LimitError, match="types may be nested"):
        read(small_model(inputs=[helper.make_value_info("x", kind)]))


# A value of each attribute type, by the number of the type.
CONTENTS: dict[int, dict[str, Any]] = {
    AttributeProto.FLOAT: {"f": 1.0},
    AttributeProto.INT: {"i": 1},
    AttributeProto.STRING: {"s": b"a"},
    AttributeProto.TENSOR: {"t": numpy_helper.from_array(np.ones(1, np.float32))},
    AttributeProto.GRAPH: {"g": branch(1)},
    AttributeProto.FLOATS: {"floats": [1.0]},
    AttributeProto.INTS: {"ints": [1]},
    AttributeProto.STRINGS: {"strings": [b"a"]},
    AttributeProto.TYPE_PROTO: {"tp": helper.make_tensor_type_proto(TensorProto.FLOAT, [1])},
}


@pytest.mark.parametrize("claimed", CONTENTS, ids=AttributeProto.AttributeType.Name)
@pytest.mark.parametrize("held", CONTENTS, ids=AttributeProto.AttributeType.Name)
def test_attribute_of_another_type_than_it_claims_is_refused(claimed: Any, held: int) -> None:
    """Attack: a number read as text, a graph read as a tensor."""
    model = small_model(nodes=[helper.make_node("Any", ["x"], ["z"], domain="own")])
    model.graph.node[0].attribute.append(AttributeProto(name="value", type=claimed, **CONTENTS[held]))

    if claimed == held:
        assert "value" in read(model).nodes[0].attributes
    else:
        with pytest.raises(ModelFileError, match="attribute value"):
            read(model)


@pytest.mark.parametrize(("number", "kind", "size"), [(8, AttributeProto.INTS, 1), (7, AttributeProto.FLOATS, 4)])
def test_packed_numbers_of_attributes_have_the_limit_of_fields(number: int, kind: Any, size: int) -> None:
    """Attack: a list of a byte a number in the file, of forty bytes a number in memory."""
    attribute = AttributeProto(name="v", type=kind).SerializeToString() + field(number, bytes(5_000_000 * size))
    node = helper.make_node("Any", ["x"], ["u"], domain="own").SerializeToString() + field(5, attribute)
    model = small_model()
    graph = model.graph.SerializeToString() + field(1, node)
    model.ClearField("graph")
    data = model.SerializeToString() + field(7, graph)

    def refused() -> None:
        with pytest.raises(LimitError, match="at most 4000000 fields"):
            read_onnx(data, None, "hostile.onnx")

    assert peak_memory(refused) < 200_000_000


def test_known_operators_refuse_attributes_of_another_type() -> None:
    """Attack: a node whose attribute is what its operator never expects."""
    for value in ("text", 1.5, [1.5], ["a"], numpy_helper.from_array(np.ones(2, np.float32)), branch(1)):
        node = helper.make_node("Concat", ["x", "x"], ["z"], axis=value)

        with pytest.raises(AlulaError):
            run(small_model(nodes=[node]))


def run(model: onnx.ModelProto) -> dict[str, Any]:
    """What the references compute with ones."""
    graph = upgrade_operators(read(model))
    return evaluate_graph(graph, {"x": np.ones((2, 3), np.float32)})


@pytest.mark.parametrize(
    ("op", "inputs"),
    [
        ("Add", ["x", "w"]),
        ("MatMul", ["x", "w"]),
        ("Reshape", ["x", "w"]),
        ("Conv", ["w", "x"]),
        ("Gather", ["x", "w"]),
    ],
)
def test_text_where_numbers_are_expected_is_refused(op: str, inputs: list[str]) -> None:
    """Attack: a weight of strings, on which Python's operators do other things than arithmetic."""
    words = TensorProto(name="w", data_type=TensorProto.STRING, dims=[3], string_data=[b"a", b"b", b"c"])

    with pytest.raises(AlulaError):
        run(small_model(nodes=[helper.make_node(op, inputs, ["z"])], initializers=[words]))


def sparse(dims: list[int], indices: Any, values: Any = (1.0, 2.0)) -> onnx.ModelProto:
    """A model with a sparse initializer."""
    model = small_model()
    del model.graph.initializer[:]
    tensors = [numpy_helper.from_array(np.asarray(values, np.float32), "w"), numpy_helper.from_array(indices, "i")]
    model.graph.sparse_initializer.append(onnx.SparseTensorProto(values=tensors[0], indices=tensors[1], dims=dims))
    return model


@pytest.mark.parametrize(
    ("dims", "indices"),
    [
        pytest.param([2, 3], np.array([0, 6]), id="beyond the end"),
        pytest.param([2, 3], np.array([-1, 2]), id="negative"),
        pytest.param([2, 3], np.array([4, 1]), id="unsorted"),
        pytest.param([2, 3], np.array([1, 1]), id="twice"),
        pytest.param([2, 3], np.array([[0, 1], [0, 3]]), id="coordinate beyond its axis"),
        pytest.param([2, 3], np.array([[0, 1], [-1, 2]]), id="negative coordinate"),
        pytest.param([2, 3], np.array([[1, 0], [0, 1]]), id="unsorted coordinates"),
        pytest.param([2, 3], np.array([[0], [1]]), id="too few coordinates"),
        pytest.param([2, 3], np.array([0, 1, 2]), id="more indices than values"),
        pytest.param([2, 3], np.array([0, 1], np.int32), id="indices of another dtype"),
        pytest.param([2, 3], np.array([0.0, 1.0], np.float32), id="indices that are no integers"),
        pytest.param([-2, 3], np.array([0, 1]), id="negative dims"),
        pytest.param([0, 3], np.array([0, 1]), id="no elements"),
        pytest.param([2**40, 2**40], np.array([0, 1]), id="dims that overflow"),
    ],
)
def test_sparse_tensor_whose_indices_do_not_fit_is_refused(dims: list[int], indices: Any) -> None:
    """Attack: writing outside the dense tensor."""
    with pytest.raises(ModelFileError):
        read(sparse(dims, indices))


def test_sparse_tensor_of_terabytes_is_refused_before_memory_is_taken() -> None:
    """Attack: two numbers in the file, an array as large as a disk."""
    refused_in_little_memory(sparse([2**20, 2**20], np.array([0, 1])), LimitError, "when written out", 1_000_000)


def test_many_sparse_tensors_count_together() -> None:
    """Attack: each is below the limit, all of them are not."""
    model = sparse([2**10], np.array([0, 1]))
    first = model.graph.sparse_initializer[0]
    for index in range(20):
        model.graph.sparse_initializer.append(first)
        model.graph.sparse_initializer[-1].values.name = f"w{index}"

    assert read(model, ImportLimits(dense=21 << 12)).constants
    with pytest.raises(LimitError, match="when written out"):
        read(model, ImportLimits(dense=20 << 12))


def everything() -> bytes:
    """A model with functions, branches, sparse and packed tensors, strings, sequences and types."""
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, ["n"]))
    nodes = [
        helper.make_node("F", ["x"], ["y"], domain="own", alpha=1.0),
        helper.make_node("If", ["y"], ["z"], then_branch=branch(2), else_branch=branch(1)),
        helper.make_node("Any", ["s", "w", "p", "t"], ["u"], domain="own", tp=kind, graphs=[branch(1)]),
    ]
    leaky = helper.make_node("LeakyRelu", ["a"], ["b"])
    leaky.attribute.append(AttributeProto(name="alpha", type=AttributeProto.FLOAT, ref_attr_name="alpha"))
    model = sparse([2, 3], np.array([[0, 1], [1, 1]]))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.input.append(helper.make_value_info("s", kind))
    words = TensorProto(name="t", data_type=TensorProto.STRING, dims=[2], string_data=[b"a", b"bc"])
    model.graph.initializer.extend([helper.make_tensor("p", TensorProto.INT4, [3], [1, 2, 3]), words])
    defaults = [helper.make_attribute("beta", 1)]
    model.functions.append(
        helper.make_function("own", "F", ["a"], ["b"], [leaky], OPSETS, ["alpha"], attribute_protos=defaults)
    )
    model.opset_import.append(OPSETS[1])
    return bytes(model.SerializeToString())


MODEL = everything()


def read_or_refuse(data: bytes) -> None:
    """A checked graph, or one of alula's errors: nothing else may come out."""
    try:
        graph = read_onnx(data, None, "hostile.onnx")
    except AlulaError:
        return
    check_graph(graph)


def test_model_with_everything_is_read() -> None:
    """The attacks below start from a model that is sound."""
    assert [node.op for node in read_onnx(MODEL).nodes] == ["LeakyRelu", "If", "Any"]


def test_rich_model_cut_off_anywhere_is_an_error_or_a_graph() -> None:
    """Attack: every prefix of a valid file."""
    for size in range(len(MODEL)):
        read_or_refuse(MODEL[:size])


@settings(max_examples=1500)
@given(st.lists(st.tuples(st.integers(0, len(MODEL) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_rich_model_with_changed_bytes_is_an_error_or_a_graph(changes: list[tuple[int, int]]) -> None:
    """Attack: a valid file with a few bytes changed, names and counts among them."""
    data = bytearray(MODEL)
    for place, byte in changes:
        data[place] = byte

    read_or_refuse(bytes(data))


def test_every_byte_may_take_telling_values() -> None:
    """Attack: each byte in turn as zero, as the largest, and with its highest bit turned."""
    for place in range(len(MODEL)):
        for byte in (0, 0x7F, 0xFF, MODEL[place] ^ 0x80, MODEL[place] ^ 1):
            read_or_refuse(MODEL[:place] + bytes([byte]) + MODEL[place + 1 :])
