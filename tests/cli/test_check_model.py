from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper
from support.commands import Command
from support.halves import halved, small_mobilenet
from support.models import small_model
from support.staged import saved_model

from alula.base.tensors import DType


def written(folder: Path, model: onnx.ModelProto) -> str:
    """A model as a file."""
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return str(path)


def mixed(folder: Path) -> str:
    """Relu, then NonZero, whose size depends on data, then a cast; the picture has symbolic sizes."""
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], name="relu"),
        helper.make_node("NonZero", ["r"], ["places"], name="places"),
        helper.make_node("Cast", ["places"], ["y"], name="cast", to=TensorProto.FLOAT),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, "H", "W"])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, "count"])]
    return written(folder, small_model(nodes=nodes, inputs=inputs, outputs=outputs, initializers=[]))


def test_a_model_of_kernels_is_native_throughout(alula: Command, tmp_path: Path) -> None:
    """Every node has a row, with the version at which its operator last changed."""
    found = alula("check-model", written(tmp_path, small_model()), "--json")

    answer = json.loads(found.out)
    assert found.code == 0
    assert answer["runs"] is True
    assert [(node["op"], node["version"], node["how"]) for node in answer["nodes"]] == [
        ("Constant", 13, "native"), ("Gemm", 13, "native"), ("Add", 14, "native"),
    ]  # fmt: skip


def test_a_network_in_float16_is_native_throughout(alula: Command, tmp_path: Path) -> None:
    """Rule: what a person is told is what the compiler does, which computes in float32."""
    path = saved_model(tmp_path, halved(small_mobilenet().build(), DType.FLOAT16))

    answer = json.loads(alula("check-model", str(path), "--json").out)

    assert answer["runs"] is True
    assert {node["how"] for node in answer["nodes"]} == {"native"}


def test_sizes_that_depend_on_data_are_told_with_all_that_waits_for_them(alula: Command, tmp_path: Path) -> None:
    """What a plan cannot hold is named, with the reason; so is what stands behind it."""
    found = alula("check-model", mixed(tmp_path))

    assert found.code == 0
    assert "shapes taken: x=1x3x64x64" in found.out
    assert "reference: places (NonZero version 13, float32): the size of places depends on data" in found.out
    assert "reference: cast (Cast version 13, int64): waits for a size that depends on data" in found.out
    assert "3 nodes, 1 native, 2 reference" in found.out


@pytest.mark.parametrize("words", [(), ("--all",)])
def test_all_that_cannot_run_is_told_at_once(alula: Command, tmp_path: Path, words: tuple[str, ...]) -> None:
    """Rule: operator, version, dtype and node of every one, and what depends on it; exit code 1."""
    nodes = [
        helper.make_node("Quux", ["x"], ["a"], name="first", domain="com.example"),
        helper.make_node("Relu", ["a"], ["b"], name="behind"),
        helper.make_node("Wobble", ["x"], ["c"], name="second"),
        helper.make_node("Add", ["b", "c"], ["z"], name="sum"),
        helper.make_node("Relu", ["x"], ["unread"], name="free"),
    ]
    model = small_model(nodes=nodes, initializers=[])
    model.opset_import.add(domain="com.example", version=1)

    found = alula("check-model", written(tmp_path, model), *words)

    assert found.code == 1
    assert "not at all: first (Quux version 1, float32): alula has no such operator" in found.out
    assert "not at all: second (Wobble version 17, float32): alula has no such operator" in found.out
    assert "unknown: behind (Relu version 14" in found.out
    assert "5 nodes, 1 native, 2 not at all, 2 unknown" in found.out
    assert ("native: free" in found.out) == ("--all" in words)


def test_nodes_in_branches_are_told_too(alula: Command, tmp_path: Path) -> None:
    """A branch that can never run must not hide until it is taken."""
    inner = helper.make_node("Wobble", ["x"], ["t"], name="inner")
    output = helper.make_tensor_value_info("t", TensorProto.FLOAT, None)
    branch = helper.make_graph([inner], "branch", [], [output])
    flag = helper.make_tensor_value_info("flag", TensorProto.BOOL, [])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    z = helper.make_tensor_value_info("z", TensorProto.FLOAT, [2])
    choice = helper.make_node("If", ["flag"], ["z"], name="choice", then_branch=branch, else_branch=branch)
    model = small_model(nodes=[choice], inputs=[flag, x], outputs=[z], initializers=[])

    found = alula("check-model", written(tmp_path, model))

    assert found.code == 1
    assert "not at all: inner (Wobble version 17, float32): alula has no such operator" in found.out


def test_what_holds_a_node_that_cannot_run_cannot_run_itself(alula: Command, tmp_path: Path) -> None:
    """Rule: the verdict on a node with graphs is that of the worst inside, and reaches all that reads it."""
    result = [helper.make_tensor_value_info("r", TensorProto.FLOAT, [2])]
    branches = [
        helper.make_graph([helper.make_node(op, ["x"], ["r"], name=name)], name, [], result)
        for op, name in (("Quux", "bad"), ("Relu", "good"))
    ]
    nodes = [
        helper.make_node("If", ["c"], ["a"], name="choice", then_branch=branches[0], else_branch=branches[1]),
        helper.make_node("Relu", ["a"], ["z"], name="behind"),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])]
    inputs.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))
    outputs = [helper.make_tensor_value_info("z", TensorProto.FLOAT, [2])]
    model = small_model(nodes=nodes, inputs=inputs, outputs=outputs, initializers=[])

    found = alula("check-model", written(tmp_path, model), "--json")

    answer = json.loads(found.out)
    assert found.code == 1
    assert {node["node"]: node["how"] for node in answer["nodes"]} == {
        "choice": "not at all", "bad": "not at all", "good": "reference", "behind": "unknown",
    }  # fmt: skip
