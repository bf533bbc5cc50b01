"""Operators that hold graphs: what they give, what they capture, how they end, what is known of their results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from support.problem import bools, floats, ints, number, reals

from alula.base.errors import AlulaError, LimitError, ShapeError
from alula.base.tensors import DType
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Array, Node, Value
from alula.engine.operators.evaluate import evaluate, evaluate_graph
from alula.engine.operators.infer import infer_node
from alula.engine.operators.nested import Limits
from alula.engine.operators.record import Known
from alula.engine.passes.upgrade_operators import upgrade_operators

_F, _I, _B = DType.FLOAT32, DType.INT64, DType.BOOL


def body(nodes: Sequence[Node], inputs: Sequence[Value], outputs: Sequence[str], **constants: Array) -> Graph:
    """A graph to put into a node."""
    return Graph(
        "body", tuple(nodes), tuple(inputs), tuple(outputs), constants, {value.name: value for value in inputs}
    )


def _run(node: Node, *inputs: Any, limits: Limits | None = None) -> list[Any]:
    """The node as a model of its own: every input fed, every output returned."""
    fed = {name: given for name, given in zip(node.inputs, inputs, strict=True) if name}
    values = tuple(Value(name, _F, None) for name in fed)
    graph = upgrade_operators(
        Graph("model", (node,), values, node.outputs, {}, {value.name: value for value in values}, {"": 21})
    )
    results = evaluate_graph(graph, fed, limits=limits)
    return [results[name] for name in node.outputs]


_SQUARE = body([Node("Mul", ("a", "a"), ("square",))], [Value("a", _F, None)], ["square"])
_SHIFT = body([Node("Add", ("a", "one"), ("more",))], [Value("a", _F, None)], ["more"], one=floats(1))


def _if(then: Graph, other: Graph) -> Node:
    attributes: dict[str, Any] = {"then_branch": then, "else_branch": other, "captures": ("a",)}
    return Node("If", ("condition", "x"), ("y",), attributes)


@pytest.mark.parametrize(("condition", "wanted"), [(True, 9.0), (False, 4.0)])
def test_a_condition_chooses_the_graph_that_is_run(condition: bool, wanted: float) -> None:  # noqa: FBT001
    """Both graphs read the captured value under its inner name; only one of them gives the result."""
    (y,) = _run(_if(_SQUARE, _SHIFT), np.asarray([condition]), floats(3))

    assert y.tolist() == [wanted]


def test_the_branch_that_is_not_taken_is_not_run() -> None:
    """Its shapes may not even fit: exporters guard such code with a condition."""
    broken = body([Node("Reshape", ("a", "shape"), ("y",))], [Value("a", _F, None)], ["y"], shape=ints(7))

    (y,) = _run(_if(_SQUARE, broken), bools(1) | True, floats(3))

    assert y.tolist() == [9]


def test_a_condition_of_many_elements_is_refused() -> None:
    """ONNX, If: the condition has a single element."""
    with pytest.raises(ShapeError, match="one element, it has 2"):
        _run(_if(_SQUARE, _SHIFT), np.asarray([True, False]), floats(3))


def test_graphs_inside_nodes_are_upgraded_with_the_model() -> None:
    """The model names one operator set for all depths: a Clip of version 6 may stand inside an If of version 1."""
    clip = body([Node("Clip", ("a",), ("y",), {"min": 0.0, "max": 2.0})], [Value("a", _F, None)], ["y"])
    inputs = (Value("condition", _B, (1,)), Value("x", _F, (3,)))
    graph = Graph("old", (_if(clip, clip),), inputs, ("y",), {}, {}, {"": 6})

    results = evaluate_graph(upgrade_operators(graph), {"condition": bools(1), "x": floats(-1, 1, 3)})

    assert results["y"].tolist() == [0, 1, 2]


def test_what_cannot_be_run_inside_a_node_is_refused_with_the_rest() -> None:
    """One message names all that is missing, at any depth."""
    unknown = body([Node("Frobnicate", ("a",), ("y",))], [Value("a", _F, None)], ["y"])

    with pytest.raises(AlulaError, match="Frobnicate"):
        _run(_if(unknown, _SQUARE), bools(1), floats(3))


def _counting(*, condition: str = "going") -> Graph:
    """Adds the captured step to a sum; gives the trip's number and the sum."""
    nodes = [
        Node("Add", ("sum", "step"), ("next",)),
        Node("Less", ("next", "most"), ("small",)),
        Node("Identity", ("going",), ("same",)),
        Node("Identity", ("trip",), ("number",)),
    ]
    inputs = [Value("trip", _I, ()), Value("going", _B, ()), Value("sum", _F, (1,)), Value("step", _F, None)]
    outputs = ["small" if condition == "small" else "same", "next", "number", "next"]
    return body(nodes, inputs, outputs, most=floats(5))


def _loop(graph: Graph, *, trips: str = "trips", condition: str = "condition") -> Node:
    outputs = ("sum", "numbers", "sums")
    return Node("Loop", (trips, condition, "start", "by"), outputs, {"body": graph, "captures": ("step",)}, "counter")


def test_a_loop_makes_its_trips_and_stacks_what_each_gives() -> None:
    """States go from trip to trip; other outputs are stacked along a new first axis."""
    total, numbers, sums = _run(_loop(_counting(), condition=""), ints(3)[0], None, floats(1), floats(2))

    assert (total.tolist(), numbers.tolist(), sums.tolist()) == ([7], [0, 1, 2], [[3], [5], [7]])
    assert numbers.dtype == np.int64


def test_a_loop_without_trips_ends_by_its_condition() -> None:
    """The condition that a trip gives is asked before the next."""
    total, numbers, _ = _run(_loop(_counting(condition="small"), trips=""), None, bools(1) | True, floats(1), floats(2))

    assert (total.tolist(), numbers.tolist()) == ([5], [0, 1])


def test_a_condition_that_is_not_an_input_ends_nothing() -> None:
    """ONNX, Loop: with a trip count alone, what the body says of the condition is ignored."""
    _, numbers, _ = _run(_loop(_counting(condition="small"), condition=""), ints(4)[0], None, floats(1), floats(2))

    assert numbers.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(("trips", "condition"), [(0, True), (-1, True), (5, False)])
def test_a_loop_of_no_trip_gives_its_states_and_empty_stacks(trips: int, condition: bool) -> None:  # noqa: FBT001
    """Dtypes of the stacks come from the file; there is no trip to learn them from."""
    total, numbers, sums = _run(
        _loop(_counting()), number(trips, np.int64), np.asarray(condition), floats(1), floats(2)
    )

    assert (total.tolist(), numbers.shape[0], sums.shape[0]) == ([1], 0, 0)


def test_a_loop_that_never_ends_is_given_up() -> None:
    """Attack: a model of a few bytes that would keep a worker busy for ever."""
    with pytest.raises(LimitError, match=r"counter \(Loop\): loops of one run may make 50 trips"):
        _run(_loop(_counting(), trips=""), None, bools(1) | True, floats(1), floats(2), limits=Limits(trips=50))


def test_loops_inside_loops_share_one_count() -> None:
    """Attack: n loops of m trips inside one another are m ** n trips, each of them below the limit."""
    inner = Node("Loop", ("ten", ""), ("rows",), {"body": _counter(), "captures": ()})
    outer = body([inner], [Value("i", _I, ()), Value("c", _B, ())], ["c", "rows"], ten=number(10, np.int64))
    node = Node("Loop", ("trips", ""), ("y",), {"body": outer, "captures": ()})

    with pytest.raises(LimitError, match="50 trips in all"):
        _run(node, number(10, np.int64), None, limits=Limits(trips=50))


def _counter() -> Graph:
    return body([], [Value("j", _I, ()), Value("d", _B, ())], ["d", "j"])


def test_graphs_nested_too_deep_are_refused() -> None:
    """Attack: recursion as deep as a file likes would end in the interpreter's own limit."""
    chain = _SQUARE
    for _ in range(5):
        inputs = [Value("a", _F, None), Value("condition", _B, None)]
        node = Node("If", ("condition", "a", "condition"), ("y",), _attributes(chain))
        chain = body([node], inputs, ["y"])
    top = Node("If", ("condition", "a", "condition"), ("y",), _attributes(chain))
    graph = Graph("deep", (top,), (Value("condition", _B, None), Value("a", _F, None)), ("y",), {}, {})

    feeds = {"condition": np.asarray([True]), "a": floats(3)}
    assert evaluate_graph(graph, feeds, limits=Limits(nesting=6))["y"].tolist() == [9]
    with pytest.raises(LimitError, match="nested 5 deep"):
        evaluate_graph(graph, feeds, limits=Limits(nesting=5))


def _attributes(graph: Graph) -> dict[str, Any]:
    return {"then_branch": graph, "else_branch": graph, "captures": ("a", "condition")}


def test_a_graph_that_takes_other_inputs_is_a_clear_error() -> None:
    """A body with an input too many cannot be fed."""
    with pytest.raises(ShapeError, match="body takes 3 inputs, it gets 2"):
        _run(
            Node("Loop", ("trips", "", "step"), ("y",), {"body": _counting(), "captures": ("step",)}),
            ints(3)[0], None, floats(2),
        )  # fmt: skip


def _summing() -> Graph:
    inputs = [Value("state", _F, (2,)), Value("x", _F, (2,))]
    return body([Node("Add", ("state", "x"), ("next",)), Node("Neg", ("next",), ("negated",))], inputs,
                ["next", "negated"])  # fmt: skip


def _scan(inputs: tuple[str, ...], **attributes: Any) -> Node:
    return Node("Scan", inputs, ("last", "stack"), {"body": _summing(), "num_scan_inputs": 1, **attributes})


def test_scan_walks_along_the_first_axis() -> None:
    """The state after each step is the sum so far."""
    x = reals(4, 2)

    last, stack = _run(_scan(("start", "x")), floats(0, 0), x)

    np.testing.assert_allclose(last, x.sum(0), rtol=1e-6)
    np.testing.assert_allclose(stack, -x.cumsum(0), rtol=1e-6)


def test_scan_walks_backwards_and_stacks_elsewhere() -> None:
    """Axes may be counted from the end; the last step's element comes first where the output is prepended."""
    x = reals(2, 3)
    node = _scan(
        ("start", "x"), scan_input_axes=(-1,), scan_input_directions=(1,), scan_output_axes=(1,),
        scan_output_directions=(1,),
    )  # fmt: skip

    _, stack = _run(node, floats(0, 0), x)

    wanted = -np.cumsum(x[:, ::-1], 1)[:, ::-1]
    np.testing.assert_allclose(stack, wanted, rtol=1e-6)


def test_scan_refuses_inputs_of_different_length() -> None:
    """ONNX, Scan: all inputs are equally long along their axes."""
    inputs = [Value("state", _F, None), Value("a", _F, None), Value("b", _F, None)]
    graph = body([Node("Sum", ("state", "a", "b"), ("next",))], inputs, ["next"])
    node = Node("Scan", ("s", "x", "z"), ("last",), {"body": graph, "num_scan_inputs": 2})

    with pytest.raises(ShapeError, match="equally long"):
        _run(node, floats(0), reals(3, 1), reals(4, 1))


def test_scan_of_version_8_runs_each_sample_to_its_length() -> None:
    """The batch comes first, lengths are an input, and rows behind a sample's length are not defined: zeros here."""
    x = reals(2, 3, 2)
    node = _scan(("lengths", "start", "x"), directions=(0,))
    feeds = {"lengths": ints(3, 2), "start": np.zeros((2, 2), np.float32), "x": x}
    inputs = tuple(Value(name, _F, None) for name in feeds)

    graph = upgrade_operators(Graph("old", (node,), inputs, node.outputs, {}, {}, {"": 8}))
    results = evaluate_graph(graph, feeds)

    np.testing.assert_allclose(results["last"], [x[0].sum(0), x[1, :2].sum(0)], rtol=1e-6)
    np.testing.assert_allclose(results["stack"][1, 2], [0, 0])
    np.testing.assert_allclose(results["stack"][0], -x[0].cumsum(0), rtol=1e-6)


def test_sequence_map_runs_its_graph_for_each_element() -> None:
    """Sequences are walked together, a tensor is the same for all."""
    inputs = [Value("a", _F, None), Value("b", _F, None), Value("c", _F, None)]
    graph = body([Node("Sum", ("a", "b", "c"), ("y",))], inputs, ["y", "a"])
    node = Node("SequenceMap", ("s", "t", "u"), ("y", "z"), {"body": graph, "captures": ()})

    sums, same = evaluate(node, [[floats(1), floats(2, 3)], [floats(10), floats(20)], floats(100)])  # type: ignore[list-item]

    assert [list(map(float, array)) for array in sums] == [[111], [122, 123]]
    assert len(same) == 2


def test_sequence_map_refuses_sequences_of_different_length() -> None:
    """Each element of the first needs its partner."""
    graph = body([Node("Add", ("a", "b"), ("y",))], [Value("a", _F, None), Value("b", _F, None)], ["y"])
    node = Node("SequenceMap", ("s", "t"), ("y",), {"body": graph})

    with pytest.raises(ShapeError, match="2 elements, one has 1"):
        evaluate(node, [[floats(1), floats(2)], [floats(1)]])  # type: ignore[list-item]


def _declared(graph: Graph, *names: str) -> Graph:
    """The graph whose file says the dtypes of some values."""
    return graph.with_(values={**graph.values, **{name: Value(name, _F, None) for name in names}})


def _known(dtype: DType, shape: tuple[int, ...] | None, constant: Array | None = None) -> Known:
    return Known(Value("known", dtype, shape), constant)


def test_results_of_a_loop_of_constant_trips_are_known() -> None:
    """A state that keeps its shape is known, and so is the length of the stacks."""
    node = _loop(_counting(), condition="")
    known = [_known(_I, (), number(3, np.int64)), None, _known(_F, (1,)), _known(_F, (1,))]

    assert infer_node(node, known) == [(_F, (1,)), (_I, (3,)), (_F, (3, 1))]


def test_a_state_that_changes_its_shape_is_not_known() -> None:
    """A list that grows has another shape after each trip; a state that follows it, too. The dtype stays."""
    nodes = [Node("Concat", ("grown", "one"), ("more",), {"axis": 0}), Node("Identity", ("grown",), ("late",))]
    inputs = [Value("i", _I, ()), Value("c", _B, ()), Value("grown", _F, None), Value("behind", _F, None)]
    graph = _declared(body(nodes, inputs, ["c", "more", "late", "i"], one=floats(1)), "more", "late")
    node = Node("Loop", ("trips", "", "a", "b"), ("x", "y", "z"), {"body": graph})
    known = [_known(_I, (), number(3, np.int64)), None, _known(_F, (1,)), _known(_F, (1,))]

    assert infer_node(node, known) == [(_F, None), (_F, None), (_I, (3,))]


def test_a_result_that_both_branches_shape_alike_is_known() -> None:
    """Else its dtype is known, and that it has one shape or the other."""
    known = [_known(_B, (1,)), _known(_F, (2, 3))]
    row = body([Node("ReduceSum", ("a",), ("y",))], [Value("a", _F, None)], ["y"])

    assert infer_node(_if(_SQUARE, _SHIFT), known) == [(_F, (2, 3))]
    assert infer_node(_if(_SQUARE, row), known) == [(_F, None)]


def test_results_of_scan_are_known() -> None:
    """The walked axis comes back in the outputs."""
    known = [_known(_F, (2,)), _known(_F, (5, 2))]

    assert infer_node(_scan(("start", "x"), scan_output_axes=(1,)), known) == [(_F, (2,)), (_F, (2, 5))]


def test_a_branch_that_cannot_fit_leaves_the_other_to_run() -> None:
    """Shapes are inferred of both branches, before it is known which is taken: a misfit is no error yet."""
    broken = body([Node("Reshape", ("a", "shape"), ("y",))], [Value("a", _F, None)], ["y"], shape=ints(7))
    known = [_known(_B, (1,)), _known(_F, (2, 3))]

    assert infer_node(_if(_SQUARE, _declared(broken, "y")), known) == [(_F, None)]
    assert infer_node(_if(_SQUARE, broken), known) is None
