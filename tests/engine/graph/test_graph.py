from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alula.base.tensors import DType
from alula.engine.graph.check import check_graph
from alula.engine.graph.graph import Graph, GraphEditor, Rewrite
from alula.engine.graph.nodes import Node, Value


def _value(name: str) -> Value:
    return Value(name, DType.FLOAT32, (2, 2))


def _graph(*nodes: Node, outputs: tuple[str, ...] = ("y",)) -> Graph:
    names = ["x", *(name for node in nodes for name in node.outputs)]
    weights = np.ones((2, 2), np.float32)
    values = {name: _value(name) for name in [*names, "w"]}
    return Graph("model", nodes, (_value("x"),), outputs, {"w": weights}, values)


def _chain() -> Graph:
    return _graph(Node("Relu", ("x",), ("a",)), Node("Identity", ("a",), ("b",)), Node("Add", ("b", "b"), ("y",)))


def _edit(graph: Graph, at: str, rewrite: Rewrite) -> Graph:
    editor = GraphEditor(graph)
    producer = editor.producer_of(at)
    assert producer is not None
    editor.apply(producer, rewrite)
    edited = editor.freeze()
    check_graph(edited)
    return edited


def _lines(graph: Graph) -> list[str]:
    return [f"{' '.join(node.outputs)} = {node.op} {' '.join(node.inputs)}" for node in graph.nodes]


def test_graph_knows_who_makes_and_who_reads() -> None:
    """A node that reads a value twice counts as two readings."""
    graph = _chain()

    assert graph.producers["b"].op == "Identity"
    assert [node.op for node in graph.consumers["b"]] == ["Add", "Add"]
    assert "x" not in graph.producers


def test_unknown_value_has_an_unknown_shape() -> None:
    """Passes ask before shapes are inferred."""
    assert _chain().value("nobody") == Value("nobody", DType.FLOAT32, None)


def test_copy_with_no_values_has_no_values() -> None:
    """An empty table is a table, not a table left out."""
    assert not _chain().with_(values={}).values
    assert _chain().with_(nodes=()).values == _chain().values


def test_dropped_node_hands_its_readers_over() -> None:
    """`rename` reaches each reading of a node that reads the value twice."""
    graph = _chain()

    edited = _edit(graph, "b", Rewrite(drop=(graph.nodes[1],), rename={"b": "a"}))

    assert _lines(edited) == ["a = Relu x", "y = Add a a"]
    assert "b" not in edited.values


def test_new_nodes_take_the_place_of_the_node() -> None:
    """A replacement of several nodes stands in order where the old node stood."""
    graph = _chain()
    added = (Node("Neg", ("a",), ("n",)), Node("Abs", ("n",), ("b",)))

    edited = _edit(graph, "b", Rewrite(drop=(graph.nodes[1],), add=added, values=(_value("n"),)))

    assert _lines(edited) == ["a = Relu x", "n = Neg a", "b = Abs n", "y = Add b b"]
    assert edited.value("n") == _value("n")


def test_replacement_of_an_added_node_stands_before_its_readers() -> None:
    """The second rewrite at one place keeps the order: what is made stands before what reads it."""
    graph = _chain()
    editor = GraphEditor(graph)
    neg = Node("Neg", ("a",), ("n",))
    editor.apply(graph.nodes[1], Rewrite(drop=(graph.nodes[1],), add=(neg, Node("Abs", ("n",), ("b",)))))
    editor.apply(neg, Rewrite(drop=(neg,), add=(Node("Exp", ("a",), ("n",)),)))

    edited = editor.freeze()

    check_graph(edited)
    assert _lines(edited) == ["a = Relu x", "n = Exp a", "b = Abs n", "y = Add b b"]


@pytest.mark.parametrize("at", ["a", "b"])
def test_node_is_inserted_on_an_edge(at: str) -> None:
    """A conversion between two nodes, decided at either: it reads the old value, all others read the new one."""
    rewrite = Rewrite(add=(Node("Cast", ("a",), ("c",)),), rename={"a": "c"})

    edited = _edit(_chain(), at, rewrite)

    assert _lines(edited) == ["a = Relu x", "c = Cast a", "b = Identity c", "y = Add b b"]


def test_constants_come_and_go_with_their_readers() -> None:
    """A folded weight replaces the old one; what nobody reads is not kept."""
    graph = _graph(Node("MatMul", ("x", "w"), ("y",)))
    folded = np.zeros((2, 2), np.float32)
    rewrite = Rewrite(drop=graph.nodes, add=(Node("MatMul", ("x", "v"), ("y",)),), constants={"v": folded})

    edited = _edit(graph, "y", rewrite)

    assert list(edited.constants) == ["v"]
    assert edited.constants["v"] is folded


def test_output_keeps_its_name_when_its_node_goes() -> None:
    """The names of a model's outputs belong to its users: the value in their place takes their name."""
    graph = _graph(Node("Relu", ("x",), ("a",)), Node("Neg", ("a",), ("b",)), Node("Identity", ("a",), ("y",)))

    edited = _edit(graph, "y", Rewrite(drop=(graph.nodes[2],), rename={"y": "a"}))

    assert edited.outputs == ("y",)
    assert _lines(edited) == ["y = Relu x", "b = Neg y"]
    assert edited.values["y"] == _value("y")


def test_output_keeps_its_name_when_a_node_is_put_behind_it() -> None:
    """The old maker of the output gets a new name for its value."""
    graph = _graph(Node("Relu", ("x",), ("y",)))

    edited = _edit(graph, "y", Rewrite(add=(Node("Cast", ("y",), ("c",)),), rename={"y": "c"}))

    assert edited.outputs == ("y",)
    assert _lines(edited) == ["y.1 = Relu x", "y = Cast y.1"]


@pytest.mark.parametrize("source", ["x", "w", "a"])
def test_output_that_cannot_take_a_name_over_is_a_copy(source: str) -> None:
    """An input, a constant or another output keeps its own name; an Identity makes the second one."""
    graph = _graph(Node("Relu", ("x",), ("a",)), Node("Identity", (source,), ("y",)), outputs=("a", "y"))

    edited = _edit(graph, "y", Rewrite(drop=(graph.nodes[1],), rename={"y": source}))

    assert edited.outputs == ("a", "y")
    assert _lines(edited) == ["a = Relu x", f"y = Identity {source}"]


def test_uses_count_readings_and_outputs() -> None:
    """A value that is read once and handed to the caller may not be fused away."""
    graph = _graph(Node("Relu", ("x",), ("a",)), Node("Add", ("a", "a"), ("y",)), outputs=("a", "y"))
    editor = GraphEditor(graph)

    assert (editor.uses_of("a"), editor.uses_of("y"), editor.uses_of("w")) == (3, 1, 0)


def test_editor_visits_nodes_as_they_are_when_their_turn_comes() -> None:
    """A node that a rewrite at an earlier place has removed or changed is never seen in its old form."""
    graph = _chain()
    editor = GraphEditor(graph)
    seen = []
    for node in editor:
        seen.append((node.op, node.inputs))
        if node.op == "Relu":
            editor.apply(node, Rewrite(drop=(graph.nodes[1],), rename={"b": "a"}))

    assert seen == [("Relu", ("x",)), ("Add", ("a", "a"))]


def test_editor_tells_what_it_holds() -> None:
    """A pass may look at nodes that an earlier rewrite took away."""
    graph = _chain()
    editor = GraphEditor(graph)
    editor.apply(graph.nodes[1], Rewrite(drop=(graph.nodes[1],), rename={"b": "a"}))

    assert not editor.holds(graph.nodes[1])
    assert editor.holds(graph.nodes[0])
    assert editor.producer_of("b") is None
    assert [node.inputs for node in editor.consumers_of("a")] == [("a", "a")] * 2


def test_equal_nodes_are_told_apart() -> None:
    """Two nodes with the same array attribute are two nodes: comparing arrays has no single answer."""
    kernel = np.ones((2, 2), np.float32)
    twins = tuple(Node("Constant", (), (name,), {"value": kernel}) for name in ("p", "q"))
    graph = _graph(*twins, Node("Add", ("p", "q"), ("y",)))

    edited = _edit(graph, "q", Rewrite(drop=(twins[1],), rename={"q": "p"}))

    assert _lines(edited) == ["p = Constant ", "y = Add p p"]


def test_fresh_names_meet_no_other() -> None:
    """A new value never takes the name of an old one, whatever the file called it."""
    editor = GraphEditor(_graph(Node("Relu", ("x",), ("x.1",)), Node("Neg", ("x.1",), ("y",))))

    assert editor.fresh("x") == "x.2"
    assert editor.fresh("x") == "x.3"


def test_editing_leaves_the_graph_alone() -> None:
    """A graph is frozen: a pass that fails half way has changed nothing."""
    graph = _chain()
    before = _lines(graph)

    _edit(graph, "b", Rewrite(drop=(graph.nodes[1],), rename={"b": "a"}))

    assert _lines(graph) == before
    assert "b" in graph.values


# A node of a random graph: its operator, and two numbers that choose its inputs among the values before it.
RECIPES = st.lists(
    st.tuples(st.sampled_from(["Identity", "Neg", "Add"]), st.integers(0, 99), st.integers(0, 99)),
    min_size=1,
    max_size=12,
)


def _random_graph(recipes: list[tuple[str, int, int]], outputs: set[int]) -> Graph:
    names = ["x", "w"]
    nodes: list[Node] = []
    for op, *choices in recipes:
        arity = 2 if op == "Add" else 1
        inputs = tuple(names[choice % len(names)] for choice in choices[:arity])
        names.append(f"v{len(nodes)}")
        nodes.append(Node(op, inputs, (names[-1],)))
    chosen = [names[2 + index % len(nodes)] for index in sorted(outputs)]
    return _graph(*nodes, outputs=tuple(dict.fromkeys(chosen)))


def _results(graph: Graph) -> dict[str, int]:
    values = {"x": 3, "w": 1000}
    for node in graph.nodes:
        numbers = [values[name] for name in node.inputs]
        values[node.output] = {"Neg": -numbers[0], "Add": sum(numbers)}.get(node.op, numbers[0])
    return {name: values[name] for name in graph.outputs}


@given(RECIPES, st.sets(st.integers(0, 11), min_size=1, max_size=4))
def test_dropping_every_identity_keeps_names_and_results(
    recipes: list[tuple[str, int, int]], outputs: set[int]
) -> None:
    """Whatever the graph, a rewrite keeps the outputs, their names and their order, and leaves a sound graph."""
    graph = _random_graph(recipes, outputs)
    editor = GraphEditor(graph)
    for node in editor:
        if node.op == "Identity":
            editor.apply(node, Rewrite(drop=(node,), rename={node.output: node.inputs[0]}))

    edited = editor.freeze()

    check_graph(edited)
    assert edited.outputs == graph.outputs
    assert _results(edited) == _results(graph)
    assert sum(node.op == "Identity" for node in edited.nodes) <= len(graph.outputs)


@given(RECIPES, st.sets(st.integers(0, 11), min_size=1, max_size=4))
def test_inserting_behind_every_node_keeps_names_and_results(
    recipes: list[tuple[str, int, int]], outputs: set[int]
) -> None:
    """A conversion behind each node is read by all who read the node, and by no one else."""
    graph = _random_graph(recipes, outputs)
    editor = GraphEditor(graph)
    for node in editor:
        name = editor.fresh(node.output)
        editor.apply(node, Rewrite(add=(Node("Identity", (node.output,), (name,)),), rename={node.output: name}))

    edited = editor.freeze()

    check_graph(edited)
    assert edited.outputs == graph.outputs
    assert _results(edited) == _results(graph)
    assert len(edited.nodes) == 2 * len(graph.nodes)
