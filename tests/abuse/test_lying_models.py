from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from alula.base.errors import UnsupportedError
from alula.engine.graph.graph import Graph
from alula.engine.importers.onnx import read_onnx
from alula.engine.kernels.target import target_named
from alula.engine.passes.driver import PassOptions
from alula.engine.passes.order import optimise
from alula.engine.plan.planner import make_plan
from alula.engine.plan.records import HostStep, Plan


def model_of(
    nodes: Sequence[onnx.NodeProto], inputs: dict[str, Sequence[int]], output: Sequence[int], domain: str = ""
) -> onnx.ModelProto:
    """A model whose file says that its output `y` has a shape; inputs that are called after numbers are int64."""
    ends = [
        helper.make_tensor_value_info(name, TensorProto.INT64 if name == "sizes" else TensorProto.FLOAT, shape)
        for name, shape in inputs.items()
    ]
    made = [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)]
    graph = helper.make_graph(nodes, "lying", ends, made)
    opsets = [helper.make_opsetid("", 22), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def plan_of(model: onnx.ModelProto) -> Plan:
    """The plan that the model would be compiled from."""
    graph, _ = optimise(read_onnx(model.SerializeToString()), PassOptions(check=True))
    return make_plan(graph, target_named("x86-64-v3"))


def read(model: onnx.ModelProto) -> Graph:
    """The model through alula's reader."""
    return read_onnx(model.SerializeToString(), None, "hostile.onnx")


@pytest.mark.parametrize("op", ["Reshape", "Expand", "CenterCropPad", "Unsqueeze", "Squeeze", "Tile"])
def test_results_whose_size_only_the_file_tells_are_left_to_references(op: str) -> None:
    """Attack: six elements that the file calls a million; a view of them would be read far behind their end."""
    node = helper.make_node(op, ["x", "sizes"], ["y"])

    plan = plan_of(model_of([node], {"x": [2, 3], "sizes": [2]}, [1000, 1000]))

    assert isinstance(plan.steps[0], HostStep)


def test_results_behind_them_are_not_laid_out() -> None:
    """Attack: six elements and a million behind a step whose size nobody knows."""
    views = [helper.make_node("Reshape", ["x", "sizes"], ["t"]), helper.make_node("Relu", ["t"], ["y"])]
    model = model_of(views, {"x": [2, 3], "sizes": [2]}, [1000, 1000])

    with pytest.raises(UnsupportedError, match="needs values of known sizes"):
        plan_of(model)


@pytest.mark.parametrize("op", ["Copy", "Elementwise", "FusedConv", "Pack", "Unheard"])
def test_operators_of_the_inner_domain_are_refused_in_files(op: str) -> None:
    """Attack: what only passes write is not checked for strangers."""
    node = helper.make_node(op, ["x"], ["y"], domain="alula", block=16)

    with pytest.raises(UnsupportedError, match="domain alula is alula's own"):
        read(model_of([node], {"x": [3]}, [3], "alula"))


def test_operators_of_the_inner_domain_are_refused_inside_branches_and_functions() -> None:
    """Attack: hidden where the graph is not the model's own."""
    inner = helper.make_node("Copy", ["x"], ["b"], domain="alula")
    branch = helper.make_graph([inner], "branch", [], [onnx.ValueInfoProto(name="b")])
    holder = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    opsets = [helper.make_opsetid("", 22), helper.make_opsetid("alula", 1)]
    calling = model_of([helper.make_node("F", ["x"], ["y"], domain="own")], {"x": [3]}, [3], "own")
    calling.functions.append(helper.make_function("own", "F", ["x"], ["b"], [inner], opsets))

    for model in (model_of([holder], {"x": [3], "c": []}, [3], "alula"), calling):
        with pytest.raises(UnsupportedError, match="domain alula is alula's own"):
            read(model)


@pytest.mark.parametrize(("op", "name"), [("Softmax", "coerced"), ("GroupNormalization", "by_group")])
def test_attributes_that_only_upgrades_write_are_refused_in_files(op: str, name: str) -> None:
    """Attack: they choose forms of operators that the model's version does not have."""
    node = helper.make_node(op, ["x"], ["y"])
    node.attribute.append(helper.make_attribute(name, 1))

    with pytest.raises(UnsupportedError, match=f"{name} is alula's own"):
        read(model_of([node], {"x": [3, 4]}, [3, 4]))


def test_version_of_the_inner_domain_is_not_the_files_to_say() -> None:
    """Attack: version 0 of alula's own operators, so that what passes write is refused as unknown."""
    model = model_of([helper.make_node("Relu", ["x"], ["y"])], {"x": [3]}, [3], "alula")

    assert "alula" not in read(model).opsets


def test_output_that_contradicts_what_follows_is_known_as_what_follows() -> None:
    """Attack: an output that the file calls larger than its inputs make it."""
    model = model_of([helper.make_node("Relu", ["x"], ["y"])], {"x": [3]}, [1000])
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(3, np.float32), "w"))

    assert plan_of(model).outputs[0].shape == (3,)
