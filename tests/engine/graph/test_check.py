from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from alula.base.errors import GraphError
from alula.base.tensors import DType
from alula.engine.graph.check import check_graph
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Node, Value

X = Value("x", DType.FLOAT32, (2,))
W = Value("w", DType.FLOAT32, (2,))
RELU, ADD = Node("Relu", ("x",), ("a",)), Node("Add", ("a", "w"), ("y",), name="last")
SOUND = Graph("m", (RELU, ADD), (X,), ("y",), {"w": np.ones(2, np.float32)}, {"x": X, "w": W})


def test_sound_graph_passes() -> None:
    """The checker has nothing to say about a graph that keeps the rules; left-out inputs are no rule."""
    check_graph(SOUND)
    check_graph(replace(SOUND, nodes=(RELU, Node("Clip", ("a", "", "w"), ("y", "")))))


BREAKS: list[tuple[Callable[[Graph], Graph], str]] = [
    (lambda g: replace(g, nodes=(ADD, RELU)), r"last \(Add\): needs input a made before it, it is made later"),
    (lambda g: replace(g, nodes=(ADD,)), "input a made before it, nothing makes it"),
    (lambda g: replace(g, nodes=(RELU, RELU, ADD)), "output a to be new, the value is made twice"),
    (lambda g: replace(g, nodes=(*g.nodes, Node("Split", ("x",), ("p", "p")))), "output p to be new"),
    (lambda g: replace(g, nodes=(RELU, ADD, Node("Relu", ("y",), ("w",)))), "output w to be new"),
    (lambda g: replace(g, nodes=(*g.nodes, Node("Print", ("y",), ("",)))), "at least one output"),
    (lambda g: replace(g, outputs=("y", "z")), "output z: needs a value that some node makes"),
    (lambda g: replace(g, inputs=(X, X)), "distinct names"),
    (lambda g: replace(g, inputs=(X, W)), "input w: needs a name of its own"),
    (lambda g: replace(g, constants={"w": np.ones(3, np.float32)}), r"constant w: needs float32 \[3\]"),
    (lambda g: replace(g, constants={"w": np.ones(2, np.int8)}), r"constant w: needs int8 \[2\]"),
    (lambda g: replace(g, values={"x": W}), "value x: needs a record of its own name"),
]


@pytest.mark.parametrize(("damage", "message"), BREAKS)
def test_broken_rule_is_named(damage: Callable[[Graph], Graph], message: str) -> None:
    """Each rule of a graph has its message, which names the place."""
    with pytest.raises(GraphError, match=message):
        check_graph(damage(SOUND))


def test_message_names_the_model_and_the_pass_that_has_run() -> None:
    """Whoever wrote the pass learns that it was this one."""
    with pytest.raises(GraphError, match=r"\n  model m, after pass fold_constants"):
        check_graph(replace(SOUND, outputs=("z",)), after="fold_constants")


def holder(captures: tuple[str, ...], reads: str = "b") -> Node:
    """A node that holds a graph of one input and one node."""
    body = Graph("body", (Node("Relu", (reads,), ("c",)),), (Value("b", DType.FLOAT32, None),), ("c",), {}, {})
    return Node("If", ("x", *captures), ("y",), {"then_branch": body, "captures": captures})


def test_graph_inside_a_node_keeps_the_rules_too() -> None:
    """A self-contained graph reads what it makes, and nothing else."""
    x = Value("x", DType.FLOAT32, None)

    check_graph(Graph("outer", (replace(holder(("b",)), inputs=("x", "x")),), (x,), ("y",), {}, {}))
    with pytest.raises(GraphError, match=r"y \(If\), graph inside, c \(Relu\): needs input ghost"):
        check_graph(Graph("outer", (holder((), "ghost"),), (x,), ("y",), {}, {}))


def test_captures_name_inputs_of_node_and_graphs() -> None:
    """Each name stands for one of the node's last inputs and for an input of a graph inside."""
    x = Value("x", DType.FLOAT32, None)

    for captures in (("b", "b"), ("nobody",), ("b", "nobody")):
        node = replace(holder(captures), inputs=("x",) * 3)
        with pytest.raises(GraphError, match="graphs capture"):
            check_graph(Graph("outer", (node,), (x,), ("y",), {}, {}))
