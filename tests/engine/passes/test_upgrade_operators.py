from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.pass_graphs import GraphBuilder

from alula.base.errors import LimitError, UnsupportedError
from alula.engine.graph.nodes import Node
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.operators.table import NEWEST_OPSET
from alula.engine.passes.upgrade_operators import upgrade_operators


def test_attributes_of_old_versions_become_constants() -> None:
    """Every pass behind this one knows only the newest form of an operator."""
    builder = GraphBuilder(shape=(2,), opset=9)
    builder.node("Clip", "x", min=0.0, max=6.0)

    graph = upgrade_operators(builder.build())

    (node,) = graph.nodes
    assert not node.attributes
    assert [graph.constants[name].item() for name in node.inputs[1:]] == [0.0, 6.0]
    assert graph.opsets[""] == NEWEST_OPSET
    result = evaluate_graph(graph, {"x": np.array([-1, 9], np.float32)})
    assert result[graph.outputs[0]].tolist() == [0.0, 6.0]


def test_upgrading_twice_is_upgrading_once() -> None:
    """An upgraded graph says that it is of the newest version: no rule for old nodes may hit it again."""
    builder = GraphBuilder(shape=(2, 3), opset=9)
    builder.node("Softmax", "x")
    once = upgrade_operators(builder.build())

    assert upgrade_operators(once).nodes == once.nodes


def test_all_that_cannot_be_run_stands_in_one_error() -> None:
    """Whoever brings a model should learn of every missing operator at once, not of one a try."""
    builder = GraphBuilder(opset=13)
    y = builder.node("Relu", "x")
    builder.node("Sinc", y)
    builder.node("Relu", y, colour=3)
    builder.node("HardSwish", y)
    graph = builder.build()
    foreign = Node("Attention", (y,), ("z",), name="head", domain="com.example")

    with pytest.raises(UnsupportedError) as caught:
        upgrade_operators(replace(graph, nodes=(*graph.nodes, foreign)))

    kinds = "1 Sinc, 1 Relu, 1 HardSwish, 1 Attention"
    assert caught.value.found == f"4 of 5 nodes cannot be run ({kinds})"
    lines = caught.value.detail.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "ai.onnx.Sinc version 13, node sinc1",
        "ai.onnx.Relu version 13, node relu2",
        "ai.onnx.HardSwish version 13, node hardswish3",
        "com.example.Attention version 0, node head",
    ]
    assert "it has colour" in lines[1]
    assert f"needs opset 14 to {NEWEST_OPSET}" in lines[2]
    assert caught.value.hint == "export the model again with opset 18 and standard operators"


def test_a_long_list_of_refused_nodes_is_cut() -> None:
    """An error fits on a screen."""
    builder = GraphBuilder()
    for _ in range(60):
        builder.node("Mystery", "x")

    with pytest.raises(UnsupportedError) as caught:
        upgrade_operators(builder.build())

    lines = caught.value.detail.splitlines()
    assert len(lines) == 51
    assert lines[-1] == "and 10 more"
    assert caught.value.found == "60 of 60 nodes cannot be run (60 Mystery)"


def test_an_opset_from_the_future_is_refused() -> None:
    """Definitions that nobody has read yet may differ in silence."""
    builder = GraphBuilder(opset=NEWEST_OPSET + 1)
    builder.node("Relu", "x")

    with pytest.raises(UnsupportedError, match=f"the model has {NEWEST_OPSET + 1}"):
        upgrade_operators(builder.build())


def test_a_domain_without_a_version_is_refused() -> None:
    """Without a version nobody knows which definition a node follows."""
    builder = GraphBuilder()
    builder.node("Relu", "x")

    with pytest.raises(UnsupportedError, match="names no version"):
        upgrade_operators(replace(builder.build(), opsets={}))


def test_more_nodes_than_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attack: a small file of millions of nodes that keeps the compiler busy for hours."""
    monkeypatch.setattr("alula.engine.passes.upgrade_operators.MOST_NODES", 2)
    builder = GraphBuilder()
    for _ in range(3):
        builder.node("Relu", "x")

    with pytest.raises(LimitError, match="needs at most 2 nodes, it has 3"):
        upgrade_operators(builder.build())
