from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, cast

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from alula.base.session import OpenOptions, Session
from alula.base.settings import read_settings
from alula.engine.runtime.session import open_plan
from alula.engine.sessions.compiler import CompileOptions, compile_graph, import_model
from alula.engine.sessions.host import run_host_step
from alula.engine.sessions.opener import open_model

PROVIDERS = ("native", "reference")


def saved(
    folder: Path,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    output: onnx.ValueInfoProto,
    weights: list[TensorProto] | None = None,
) -> Path:
    """A model file."""
    graph = helper.make_graph(nodes, "main", inputs, [output], weights or [])
    path = folder / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]), path)
    return path


def opened(path: Path, provider: str) -> contextlib.closing[Session]:
    """A session whose plans are kept beside the model."""
    session = open_model(
        path, OpenOptions(provider=cast("Any", provider)), read_settings({"ALULA_CACHE": str(path.parent / "cache")})
    )
    return contextlib.closing(session)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "int4"])
def test_inputs_of_types_that_numpy_lacks_come_as_arrays_or_as_bits(tmp_path: Path, provider: str, name: str) -> None:
    """ml_dtypes' arrays fit, and so do unsigned integers of their size for callers without it."""
    number = {"bfloat16": TensorProto.BFLOAT16, "float8_e4m3fn": TensorProto.FLOAT8E4M3FN, "int4": TensorProto.INT4}
    x = np.array([1, -2, 3], getattr(ml_dtypes, name))
    path = saved(
        tmp_path,
        [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)],
        [helper.make_tensor_value_info("x", number[name], [3])],
        helper.make_tensor_value_info("y", TensorProto.FLOAT, [3]),
    )

    with opened(path, provider) as session:
        for given in (x, x.view(f"u{x.itemsize}")):
            assert session.run({"x": given})["y"].tolist() == [1, -2, 3]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_outputs_of_types_that_numpy_lacks_show_their_numbers(tmp_path: Path, provider: str) -> None:
    """A tensor of int4 holds bits, and lists numbers."""
    path = saved(
        tmp_path,
        [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.INT4)],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])],
        helper.make_tensor_value_info("y", TensorProto.INT4, [3]),
    )

    with opened(path, provider) as session:
        found = session.run({"x": np.array([1, -2, 7], np.float32)})["y"]
        assert (str(found.dtype), found.tolist()) == ("int4", [1, -2, 7])


def test_branches_run_inside_a_plan(tmp_path: Path) -> None:
    """A plan file holds the graphs of its host steps, with what they capture."""
    path = saved(
        tmp_path,
        [
            helper.make_node("Relu", ["x"], ["h"]),
            helper.make_node("If", ["c"], ["y"], then_branch=branch("Add"), else_branch=branch("Mul")),
        ],
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [2]),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
        ],
        helper.make_tensor_value_info("y", TensorProto.FLOAT, [2]),
        [numpy_helper.from_array(np.array([3, 4], np.float32), "w")],
    )
    compile_graph(import_model(path), tmp_path / "model.alula", CompileOptions())

    with open_plan(tmp_path / "model.alula", threads=1, verify="all", host=run_host_step) as session:
        found: list[Any] = [
            session.run({"x": np.array([1, -2], np.float32), "c": np.array(condition)})["y"].tolist()
            for condition in (True, False)
        ]
    assert found == [[4, 4], [3, 0]]


def branch(op: str) -> onnx.GraphProto:
    """A graph of one node over two values from outside."""
    output = helper.make_tensor_value_info("r", TensorProto.FLOAT, [2])
    return helper.make_graph([helper.make_node(op, ["h", "w"], ["r"])], "branch", [], [output])
