"""Branches, loops and sequences that are known before the run become plain nodes; others stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from support.pass_graphs import assert_same_results, kinds
from support.problem import floats, ints, number, reals

from alula.base.tensors import DType
from alula.engine.graph.check import check_graph
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Array, Attribute, Node, Value
from alula.engine.operators.table import NEWEST_OPSET
from alula.engine.passes.fold_constants import fold_constants
from alula.engine.passes.inline_branches import inline_branches
from alula.engine.passes.order import optimise
from alula.engine.passes.resolve_sequences import resolve_sequences
from alula.engine.passes.unroll_loops import unroll_loops

_F, _I, _B = DType.FLOAT32, DType.INT64, DType.BOOL
_X = Value("x", _F, (3, 4))
_TRUE = np.asarray([True])


def _graph(nodes: Sequence[Node], outputs: Sequence[str], *more: Value, **constants: Array) -> Graph:
    inputs = (_X, *more)
    values = {value.name: value for value in inputs}
    return fold_constants(Graph("model", tuple(nodes), inputs, tuple(outputs), constants, values, {"": NEWEST_OPSET}))


def _body(nodes: Sequence[Node], inputs: Sequence[str], outputs: Sequence[str], **constants: Array) -> Graph:
    values = tuple(Value(name, _F, None) for name in inputs)
    return Graph("body", tuple(nodes), values, tuple(outputs), constants, {value.name: value for value in values})


def _node(op: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Attribute) -> Node:
    return Node(op, tuple(inputs), tuple(outputs), attributes)


def _feeds(**more: Array) -> Mapping[str, Array]:
    return {"x": reals(3, 4), **more}


_RELU = _body([_node("Relu", ["a"], ["r"])], ["a"], ["r"])
_NEG = _body([_node("Neg", ["a"], ["n"])], ["a"], ["n"])


def _if(condition: str, then: Graph, other: Graph, output: str = "y") -> Node:
    attributes: dict[str, Any] = {"then_branch": then, "else_branch": other, "captures": ("a",)}
    return Node("If", (condition, "x"), (output,), attributes)


@pytest.mark.parametrize(("condition", "wanted"), [(True, ["Relu"]), (False, ["Neg"])])
def test_a_known_condition_leaves_its_branch(condition: bool, wanted: list[str]) -> None:  # noqa: FBT001
    """The model's output keeps its name; nothing of the other branch is left."""
    before = _graph([_if("c", _RELU, _NEG)], ["y"], c=np.asarray([condition]))

    after = inline_branches(before)

    check_graph(after, "inline_branches")
    assert kinds(after) == wanted
    assert after.values["y"].shape == (3, 4)
    assert_same_results(after, before, _feeds())


def test_a_condition_of_the_run_stays() -> None:
    """Both branches are needed."""
    before = _graph([_if("c", _RELU, _NEG)], ["y"], Value("c", _B, (1,)))

    assert inline_branches(before) is before


def test_a_branch_that_hands_its_capture_through_leaves_an_identity_for_an_output() -> None:
    """The model's output is made by a node, even where it is the model's input."""
    before = _graph([_if("c", _body([], ["a"], ["a"]), _NEG)], ["y"], c=_TRUE)

    after = inline_branches(before)

    check_graph(after, "inline_branches")
    assert kinds(after) == ["Identity"]
    assert_same_results(after, before, _feeds())


def test_branches_inside_branches_are_inlined() -> None:
    """Names of the inner graphs may repeat: each copy gets names of its own."""
    inner = Node("If", ("k", "a"), ("r",), {"then_branch": _RELU, "else_branch": _NEG, "captures": ("a",)})
    outer = _body([_node("Abs", ["a"], ["b"]), inner], ["a"], ["r"], k=_TRUE)
    both = [_if("c", outer, _NEG, "s"), _if("c", outer, _NEG, "t"), _node("Add", ["s", "t"], ["y"])]
    before = _graph(both, ["y"], c=_TRUE)

    after = inline_branches(before)

    check_graph(after, "inline_branches")
    assert kinds(after) == ["Abs", "Relu", "Abs", "Relu", "Add"]
    assert_same_results(after, before, _feeds())


def _loop(condition: str = "", going: str = "c", trips: str = "n") -> Node:
    nodes = [
        _node("Cast", ["i"], ["f"], to=1), _node("Mul", ["s", "a"], ["p"]), _node("Add", ["p", "f"], ["next"]),
        _node("ReduceSum", ["next"], ["total"], keepdims=0),
    ]  # fmt: skip
    if going == "ended":
        nodes.append(_node("Less", ["f", "f"], ["ended"]))
    body = _body(nodes, ["i", "c", "s", "a"], [going, "next", "total"])
    return Node("Loop", (trips, condition, "x", "by"), ("last", "totals"), {"body": body, "captures": ("a",)})


def test_a_loop_of_few_trips_becomes_copies_of_its_body() -> None:
    """States go from copy to copy, captures to all of them, and what trips give is joined."""
    before = _graph([_loop()], ["last", "totals"], n=number(3, np.int64), by=floats(0.5))

    after = unroll_loops(before)

    check_graph(after, "unroll_loops")
    assert kinds(after).count("Mul") == 3
    assert "Loop" not in kinds(after)
    assert after.values["totals"].shape == (3,)
    assert_same_results(after, before, _feeds())


def test_a_condition_that_stays_true_ends_nothing() -> None:
    """Exporters hand a constant condition in and through."""
    before = _graph([_loop("t")], ["last", "totals"], n=number(2, np.int64), by=floats(0.5), t=_TRUE)

    after = unroll_loops(before)

    assert "Loop" not in kinds(after)
    assert_same_results(after, before, _feeds())


@pytest.mark.parametrize(
    ("node", "trips"),
    [(_loop("t", "ended"), 3), (_loop(), 0), (_loop(), 5000), (_loop("f"), 3), (_loop(trips=""), 3)],
    ids=["ends by its body", "no trip", "too many", "never starts", "endless"],
)
def test_other_loops_stay(node: Node, trips: int) -> None:
    """What the condition says is not known before the run, or the copies would be a large program."""
    constants: dict[str, Array] = {"n": number(trips, np.int64), "by": floats(0.5), "t": _TRUE, "f": ~_TRUE}
    before = _graph([node], ["last", "totals"], **constants)

    assert unroll_loops(before) is before


def test_loops_inside_loops_are_unrolled() -> None:
    """The inner loop's trips may be the outer's number."""
    add = _body([_node("Add", ["s", "one"], ["next"])], ["j", "d", "s"], ["d", "next"], one=floats(1))
    inner = Node("Loop", ("i", "", "s"), ("sum",), {"body": add})
    outer = _body([inner], ["i", "c", "s"], ["c", "sum"])
    before = _graph([Node("Loop", ("n", "", "x"), ("y",), {"body": outer})], ["y"], n=number(4, np.int64))

    after = unroll_loops(before)

    check_graph(after, "unroll_loops")
    assert kinds(after).count("Add") == 1 + 2 + 3
    assert_same_results(after, before, _feeds())


def _scan(**attributes: Any) -> Node:
    nodes = [_node("Add", ["s", "e"], ["next"]), _node("Neg", ["next"], ["negated"])]
    body = _body(nodes, ["s", "e"], ["next", "negated"])
    return Node("Scan", ("start", "x"), ("last", "stack"), {"body": body, "num_scan_inputs": 1, **attributes})


@pytest.mark.parametrize(
    ("attributes", "size"),
    [
        ({}, 4),
        ({"scan_input_axes": (1,), "scan_output_axes": (-1,)}, 3),
        ({"scan_input_axes": (-1,), "scan_input_directions": (1,), "scan_output_directions": (1,)}, 3),
    ],
)
def test_a_scan_over_a_static_axis_becomes_copies_of_its_body(attributes: dict[str, Any], size: int) -> None:
    """Axes and directions of inputs and outputs are kept."""
    start = np.zeros(size, np.float32)
    before = _graph([_scan(**attributes)], ["last", "stack"], start=start)

    after = unroll_loops(before)

    check_graph(after, "unroll_loops")
    assert kinds(after).count("Add") == 7 - size
    assert_same_results(after, before, _feeds())


def test_elements_of_a_known_sequence_are_read_directly() -> None:
    """Through insertions, removals and identities, with positions counted from either end."""
    nodes = [
        _node("Relu", ["x"], ["a"]), _node("Neg", ["x"], ["b"]), _node("Abs", ["x"], ["c"]),
        _node("SequenceConstruct", ["a", "b"], ["s"]), _node("SequenceInsert", ["s", "c", "zero"], ["t"]),
        _node("SequenceErase", ["t"], ["u"]), _node("Identity", ["u"], ["v"]),
        _node("SequenceAt", ["v", "last"], ["y"]), _node("SequenceAt", ["v", "zero"], ["z"]),
        _node("SequenceLength", ["v"], ["n"]),
    ]  # fmt: skip
    before = _graph(nodes, ["y", "z", "n"], zero=ints(0)[0], last=ints(-1)[0])

    after = resolve_sequences(before)

    check_graph(after, "resolve_sequences")
    assert kinds(after) == ["Identity", "Relu", "Abs"]
    assert_same_results(after, before, _feeds())


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("new_axis", [0, 1])
def test_cutting_and_joining_become_plain_nodes(keepdims: int, new_axis: int) -> None:
    """Split gives the parts, Concat joins them, along an old or a new axis."""
    nodes = [
        _node("SplitToSequence", ["x"], ["s"], axis=1, keepdims=keepdims),
        _node("ConcatFromSequence", ["s"], ["y"], axis=-1, new_axis=new_axis),
    ]
    before = _graph(nodes, ["y"])

    after = resolve_sequences(before)

    check_graph(after, "resolve_sequences")
    assert not {kind for kind in kinds(after) if "Sequence" in kind}
    assert_same_results(after, before, _feeds())


def test_parts_of_listed_sizes_keep_their_axis() -> None:
    """`keepdims` is without meaning where sizes are given."""
    nodes = [
        _node("SplitToSequence", ["x", "sizes"], ["s"], axis=1, keepdims=0),
        _node("SequenceAt", ["s", "one"], ["y"]),
    ]
    before = _graph(nodes, ["y"], sizes=ints(1, 3), one=ints(1)[0])

    after = resolve_sequences(before)

    assert kinds(after) == ["Split"]
    assert_same_results(after, before, _feeds())


def test_a_sequence_built_in_a_loop_is_resolved_behind_it() -> None:
    """What exporters write for a list that grows: the passes work together in their order."""
    body = _body(
        [_node("Cast", ["i"], ["f"], to=1), _node("Add", ["a", "f"], ["e"]),
         _node("SequenceInsert", ["s", "e"], ["t"])],
        ["i", "c", "s", "a"], ["c", "t"],
    )  # fmt: skip
    nodes = [
        _node("SequenceEmpty", [], ["s"]),
        Node("Loop", ("n", "", "s", "x"), ("t",), {"body": body, "captures": ("a",)}),
        _node("ConcatFromSequence", ["t"], ["y"], axis=0),
    ]
    before = _graph(nodes, ["y"], n=number(3, np.int64))

    after, _ = optimise(before)

    assert {node.op for node in after.nodes} == {"Elementwise", "Concat"}
    assert after.values["y"].shape == (9, 4)
    assert_same_results(after, before, _feeds())


def test_a_map_over_known_elements_becomes_copies_of_its_body() -> None:
    """Tensors are the same for each element."""
    body = _body([_node("Mul", ["e", "t"], ["p"])], ["e", "t"], ["p"])
    nodes = [
        _node("SplitToSequence", ["x"], ["s"]),
        Node("SequenceMap", ("s", "by"), ("m",), {"body": body}),
        _node("ConcatFromSequence", ["m"], ["y"], axis=0),
    ]
    before = _graph(nodes, ["y"], by=floats(2))

    after = resolve_sequences(before)

    assert kinds(after) == ["Split", "Mul", "Mul", "Mul", "Concat"]
    assert_same_results(after, before, _feeds())


def test_what_is_not_known_of_a_sequence_stays() -> None:
    """A position of the run, a position outside, a sequence that the caller hands in."""
    position = Value("p", _I, ())
    construct = _node("SequenceConstruct", ["x", "x"], ["s"])
    unknown = _graph([construct, _node("SequenceAt", ["s", "p"], ["y"])], ["y"], position)
    outside = _graph([construct, _node("SequenceAt", ["s", "two"], ["y"])], ["y"], two=ints(2)[0])
    given = _graph([_node("SequenceAt", ["s", "two"], ["y"])], ["y"], Value("s", _F, None), two=ints(2)[0])

    assert [resolve_sequences(graph) is graph for graph in (unknown, outside, given)] == [True] * 3
