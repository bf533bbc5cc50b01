from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession

from alula.base.errors import GraphError, ModelFileError, UnsupportedError
from alula.engine.graph.graph import Graph
from alula.engine.importers.onnx import read_onnx
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.passes.upgrade_operators import upgrade_operators

OPSET = 17
X = np.array([-2, 0.5, 3], np.float32)


def function(
    name: str, nodes: Sequence[onnx.NodeProto], inputs: str = "a", outputs: str = "b", **more: Any
) -> onnx.FunctionProto:
    """A function in the domain `own`; inputs and outputs are names with spaces between."""
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("own", 1)]
    return helper.make_function("own", name, inputs.split(), outputs.split(), nodes, opsets, **more)


def model(
    nodes: Sequence[onnx.NodeProto], functions: Sequence[onnx.FunctionProto], outputs: str = "y"
) -> onnx.ModelProto:
    """A model with input x and these functions."""
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3]) for name in ("x", *outputs.split())]
    graph = helper.make_graph(nodes, "main", infos[:1], infos[1:])
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, functions=functions, opset_imports=opsets, ir_version=10)


def call(name: str, inputs: str = "x", outputs: str = "y", **attributes: Any) -> onnx.NodeProto:
    """A call of a function in the domain `own`."""
    return helper.make_node(name, inputs.split(), outputs.split(), domain="own", **attributes)


def constant(name: str, **attributes: Any) -> onnx.NodeProto:
    """A Constant node."""
    return helper.make_node("Constant", [], [name], **attributes)


def referring(node: onnx.NodeProto, name: str, kind: Any, parameter: str) -> onnx.NodeProto:
    """The node with an attribute that takes a function's."""
    node.attribute.append(onnx.AttributeProto(name=name, type=kind, ref_attr_name=parameter))
    return node


def read(proto: onnx.ModelProto) -> Graph:
    """The model through alula's reader."""
    return read_onnx(proto.SerializeToString(), None, "test.onnx")


def assert_runs_like_the_original(proto: onnx.ModelProto) -> Graph:
    """The graph computes what onnxruntime computes with the functions; returns the graph."""
    expected = InferenceSession(proto.SerializeToString()).run(None, {"x": X})
    graph = read(proto)

    found = evaluate_graph(upgrade_operators(graph), {"x": X})

    for name, array in zip(graph.outputs, expected, strict=True):
        np.testing.assert_array_equal(found[name], array)
    return graph


def scale(default: float | None = None) -> onnx.FunctionProto:
    """b = a * alpha + a."""
    nodes = [
        referring(constant("alpha"), "value_float", onnx.AttributeProto.FLOAT, "alpha"),
        helper.make_node("Mul", ["a", "alpha"], ["t"]),
        helper.make_node("Add", ["t", "a"], ["b"]),
    ]
    if default is None:
        return function("Scale", nodes, attributes=["alpha"])
    return function("Scale", nodes, attribute_protos=[helper.make_attribute("alpha", default)])


def test_two_calls_get_values_and_attributes_of_their_own() -> None:
    """A body written out twice must not make a value twice."""
    nodes = [call("Scale", "x", "m", alpha=2.0), call("Scale", "m", "y", alpha=-0.5)]

    graph = assert_runs_like_the_original(model(nodes, [scale()]))

    assert [node.op for node in graph.nodes] == ["Constant", "Mul", "Add"] * 2
    assert [node.domain for node in graph.nodes] == [""] * 6


@pytest.mark.parametrize("given", [{}, {"alpha": 3.0}])
def test_attribute_that_a_call_leaves_out_has_its_default(given: dict[str, Any]) -> None:
    """Defaults stand in attribute_proto."""
    assert_runs_like_the_original(model([call("Scale", **given)], [scale(default=0.25)]))


def test_attribute_without_value_or_default_is_left_out() -> None:
    """The node inside then has its own default: LeakyRelu's alpha is 0.01."""
    leaky = referring(helper.make_node("LeakyRelu", ["a"], ["b"]), "alpha", onnx.AttributeProto.FLOAT, "alpha")
    graph = read(model([call("Leaky")], [function("Leaky", [leaky], attributes=["alpha"])]))

    assert dict(graph.nodes[0].attributes) == {}


def test_functions_call_functions() -> None:
    """Bodies are written out until only operators are left, whatever the order of functions in the file."""
    twice = function("Twice", [call("Scale", "a", "t", alpha=2.0), call("Scale", "t", "b", alpha=3.0)])

    graph = assert_runs_like_the_original(model([call("Twice")], [twice, scale()]))

    assert len(graph.nodes) == 6


def test_left_out_inputs_and_outputs_of_a_call_stay_left_out() -> None:
    """An optional input of a function is one of the operators that it feeds."""
    clip = function(
        "Cut", [helper.make_node("Clip", ["a", "low", "high"], ["b"]), call_less("a", "c")], "a low high", "b c"
    )
    low = constant("l", value=numpy_helper.from_array(np.array(0, np.float32)))
    proto = model([low, helper.make_node("Cut", ["x", "l"], ["y"], domain="own")], [clip])

    graph = read(proto)

    clipped = evaluate_graph(upgrade_operators(graph), {"x": X})["y"]
    assert graph.nodes[1].inputs == ("x", "l", "")
    np.testing.assert_array_equal(clipped, np.maximum(X, 0))


def call_less(reads: str, makes: str) -> onnx.NodeProto:
    """A node whose result a call may not want."""
    return helper.make_node("Neg", [reads], [makes])


def test_input_handed_through_and_value_given_twice_are_copies() -> None:
    """Outputs of a call are values of their own."""
    body = [helper.make_node("Neg", ["a"], ["b"])]

    graph = read(model([call("F", "x", "p q r")], [function("F", body, "a", "a b b")], "p q r"))

    found = evaluate_graph(upgrade_operators(graph), {"x": X})
    assert [node.op for node in graph.nodes] == ["Neg", "Identity", "Identity"]
    assert [found[name].tolist() for name in "pqr"] == [X.tolist(), (-X).tolist(), (-X).tolist()]


def test_function_inside_a_nested_graph_and_nested_graph_inside_a_function() -> None:
    """Calls in branches are written out, and branches in functions take values and attributes of the call."""
    output = helper.make_tensor_value_info("r", TensorProto.FLOAT, None)
    inner = referring(constant("k"), "value_float", onnx.AttributeProto.FLOAT, "alpha")
    branch = helper.make_graph([inner, helper.make_node("Mul", ["a", "k"], ["r"])], "then", [], [output])
    other = helper.make_graph([call("Scale", "a", "r", alpha=1.0)], "else", [], [output])
    nodes = [
        helper.make_node("ReduceSum", ["a"], ["sum"], keepdims=0),
        constant("zero", value=numpy_helper.from_array(np.array(0, np.float32))),
        helper.make_node("Greater", ["sum", "zero"], ["c"]),
        helper.make_node("If", ["c"], ["b"], then_branch=branch, else_branch=other),
    ]
    choose = function("Choose", nodes, attributes=["alpha"])

    graph = assert_runs_like_the_original(model([call("Choose", alpha=4.0)], [choose, scale()]))

    holder = graph.nodes[-1]
    assert holder.inputs[1:] == ("x",)
    assert holder.attributes["captures"] == ("a",)


def test_overloads_are_told_apart() -> None:
    """From IR version 10 on, functions of one name may differ."""
    plus, minus = (
        function("F", [call_less("a", "b")], overload="minus"),
        function("F", [helper.make_node("Abs", ["a"], ["b"])]),
    )

    graph = assert_runs_like_the_original(
        model([call("F", "x", "m", overload="minus"), call("F", "m", "y")], [minus, plus])
    )

    assert [node.op for node in graph.nodes] == ["Neg", "Abs"]


def test_function_goes_before_an_operator_of_its_name() -> None:
    """The model says what it means by the name."""
    relu = helper.make_function("", "Relu", ["a"], ["b"], [call_less("a", "b")], [helper.make_opsetid("", OPSET)])

    graph = read(model([helper.make_node("Relu", ["x"], ["y"])], [relu]))

    assert [node.op for node in graph.nodes] == ["Neg"]


def test_domain_that_only_a_function_uses_brings_its_version() -> None:
    """The model need not import what it does not use itself."""
    far = helper.make_node("Far", ["a"], ["b"], domain="far")
    uses = helper.make_function("own", "F", ["a"], ["b"], [far], [helper.make_opsetid("far", 3)])

    assert read(model([call("F")], [uses])).opsets["far"] == 3


def test_function_for_another_operator_set_is_refused() -> None:
    """A node would be read in another version than its function means."""
    old = helper.make_function("own", "F", ["a"], ["b"], [call_less("a", "b")], [helper.make_opsetid("", OPSET - 1)])

    with pytest.raises(UnsupportedError, match=r"function own\.F: needs the operator sets of the model"):
        read(model([call("F")], [old]))
    assert read(model([call_less("x", "y")], [old])).nodes  # nobody calls it


@pytest.mark.parametrize(
    ("node", "body", "message"),
    [
        pytest.param(call("F", "x x"), [call_less("a", "b")], "at most 1 inputs", id="too many inputs"),
        pytest.param(call("F", "x", "y z"), [call_less("a", "b")], "at most 1 inputs and 1", id="too many outputs"),
        pytest.param(call("F"), [call_less("x", "b")], "value x made in it", id="reads the model's values"),
        pytest.param(call("F"), [call_less("a", "c")], "output b made", id="output that nothing makes"),
        pytest.param(call("F"), [call_less("a", "b"), call_less("a", "b")], "made once", id="value made twice"),
        pytest.param(call("F"), [call_less("a", "a"), call_less("a", "b")], "cycle", id="input made again"),
        pytest.param(call("F", overload="v2"), [call_less("a", "b")], "needs the overload v2", id="no such overload"),
    ],
)
def test_call_that_does_not_fit_its_function_is_refused(node: onnx.NodeProto, body: Any, message: str) -> None:
    """A function sees its inputs only, and makes its outputs."""
    with pytest.raises(GraphError, match=message):
        read(model([node], [function("F", body)]))


def test_two_functions_of_one_key_are_refused() -> None:
    """Nobody knows which one is meant."""
    with pytest.raises(ModelFileError, match=r"function own\.Scale twice"):
        read(model([call("Scale", alpha=1.0)], [scale(), scale()]))


def test_attribute_reference_outside_a_function_is_refused() -> None:
    """There is no call that could give the value."""
    node = referring(helper.make_node("LeakyRelu", ["x"], ["y"]), "alpha", onnx.AttributeProto.FLOAT, "alpha")

    with pytest.raises(UnsupportedError, match="refers to a function's attribute"):
        read(model([node], []))
