"""Loops and scans of a known, small number of trips become copies of their bodies.

    Loop(#2, "", s) {body: i, c, a -> Mul -> b; b, b}   becomes   s -> Mul -> s1 -> Mul -> s2, Concat(s1, s2)

In: a graph with folded constants. Out: the same without such loops; what grows is bounded.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alula.engine.graph.graph import Graph, GraphEditor, Rewrite
from alula.engine.graph.nodes import Array, Node
from alula.engine.passes.driver import run_node_pass
from alula.engine.passes.fold_constants import fold_constants
from alula.engine.passes.inline_branches import inline_branches
from alula.engine.passes.splice import Splice, names_given, own_inputs

# Nodes that one loop may become, and all loops of a model together: beyond them, a program of its own is smaller.
_MOST_OF_ONE = 1024
_MOST_OF_ALL = 8192
_MOST_ROUNDS = 8  # loops inside loops


def unroll_loops(graph: Graph) -> Graph:
    """Unroll until nothing more may be, or the model has grown by `_MOST_OF_ALL` nodes."""
    before = len(graph.nodes)
    for _ in range(_MOST_ROUNDS):
        budget = _MOST_OF_ALL - (len(graph.nodes) - before)
        work = _Unroller(budget)
        graph, found = run_node_pass(graph, work.visit)
        if not found:
            break
        graph = inline_branches(fold_constants(graph))
    return graph


class _Unroller:
    """Looks at each loop; owned by one round, and counts what it has added."""

    def __init__(self, budget: int) -> None:
        self._left = budget

    def visit(self, editor: GraphEditor, node: Node) -> Rewrite | None:
        """The copies of a body in the place of its loop."""
        body = node.attributes.get("body")
        if node.op not in {"Loop", "Scan"} or node.domain or not isinstance(body, Graph):
            return None
        trips = _loop_trips(editor, node, body) if node.op == "Loop" else _scan_trips(editor, node)
        cost = 0 if trips is None else trips * (len(body.nodes) + len(node.outputs))
        if trips is None or trips < 1 or cost > min(_MOST_OF_ONE, self._left):
            return None
        rewrite = (
            _unrolled_loop(editor, node, body, trips)
            if node.op == "Loop"
            else _unrolled_scan(editor, node, body, trips)
        )
        self._left -= 0 if rewrite is None else len(rewrite.add)
        return rewrite


def _loop_trips(editor: GraphEditor, node: Node, body: Graph) -> int | None:
    """The number of trips, where nothing but the count ends the loop."""
    trips = editor.constant(node.input(0))
    if trips is None or trips.size != 1:
        return None
    if node.input(1):
        condition = editor.constant(node.input(1))
        if condition is None or not condition.all() or not _stays_true(body):
            return None
    return int(trips.reshape(-1)[0])


def _stays_true(body: Graph) -> bool:
    """Whether the condition that a body gives is the one that it got, or constantly true."""
    name = body.outputs[0]
    while name in body.producers:
        node = body.producers[name]
        if node.op == "Constant" and not node.domain:
            value = node.attributes.get("value")
            return isinstance(value, np.ndarray) and bool(value.all())
        if node.op not in {"Identity", "Cast"} or node.domain:
            return False
        name = node.input(0)
    constant = body.constants.get(name)
    if constant is not None:
        return bool(constant.all())
    return len(body.inputs) > 1 and name == body.inputs[1].name


def _scan_trips(editor: GraphEditor, node: Node) -> int | None:
    """The length of the walked axis."""
    own, _ = own_inputs(node)
    scans = node.integer("num_scan_inputs")
    if node.integer("batched") or not 0 < scans <= len(own):
        return None
    lengths = set()
    for index, name in enumerate(own[len(own) - scans :]):
        shape = editor.value(name).shape
        axis = _at(node.ints("scan_input_axes"), index)
        if shape is None or not -len(shape) <= axis < len(shape):
            return None
        lengths.add(shape[axis])
    length = lengths.pop()
    return length if not lengths and isinstance(length, int) else None


def _at(numbers: Sequence[int], index: int) -> int:
    return numbers[index] if index < len(numbers) else 0


def _unrolled_loop(editor: GraphEditor, node: Node, body: Graph, trips: int) -> Rewrite | None:
    own, captured = own_inputs(node)
    states = list(own[2:])
    splice = Splice(editor)
    going = splice.constant("going", np.asarray(1, np.bool_))
    stacks: list[list[str]] = [[] for _ in body.outputs[1 + len(states) :]]
    for trip in range(trips):
        number = splice.constant("trip", np.asarray(trip, np.int64))
        given = names_given(body, (number, going, *states), captured)
        if given is None:
            return None
        results = splice.copy(body, given)[1:]
        for stack, name in zip(stacks, results[len(states) :], strict=True):
            stack.append(name)
        states = results[: len(states)]
    joined = [_joined(splice, stack, 0) for stack in stacks]
    return _rewrite(node, splice, [*states, *joined])


def _unrolled_scan(editor: GraphEditor, node: Node, body: Graph, trips: int) -> Rewrite | None:
    own, captured = own_inputs(node)
    scans = own[len(own) - node.integer("num_scan_inputs") :]
    states = list(own[: len(own) - len(scans)])
    splice = Splice(editor)
    stacks: list[list[str]] = [[] for _ in body.outputs[len(states) :]]
    for trip in range(trips):
        given = names_given(body, (*states, *_steps(splice, node, scans, trip, trips)), captured)
        if given is None:
            return None
        results = splice.copy(body, given)
        for stack, name in zip(stacks, results[len(states) :], strict=True):
            stack.append(name)
        states = results[: len(states)]
    directions, axes = node.ints("scan_output_directions"), node.ints("scan_output_axes")
    ordered = [stack[::-1] if _at(directions, index) else stack for index, stack in enumerate(stacks)]
    joined = [_joined(splice, stack, _at(axes, index)) for index, stack in enumerate(ordered)]
    return _rewrite(node, splice, [*states, *joined])


def _steps(splice: Splice, node: Node, scans: Sequence[str], trip: int, trips: int) -> list[str]:
    """The elements that one trip walks over."""
    steps = []
    for index, name in enumerate(scans):
        place = trips - 1 - trip if _at(node.ints("scan_input_directions"), index) else trip
        at = splice.constant("place", np.asarray(place, np.int64))
        steps.append(splice.node("Gather", (name, at), f"{name}.step", axis=_at(node.ints("scan_input_axes"), index)))
    return steps


def _joined(splice: Splice, names: Sequence[str], axis: int) -> str:
    """What the trips gave, stacked along a new axis."""
    axes: Array = np.asarray([axis], np.int64)
    at = splice.constant("axis", axes)
    rows = [splice.node("Unsqueeze", (name, at), f"{name}.row") for name in names]
    return splice.node("Concat", rows, f"{names[0]}.stack", axis=axis)


def _rewrite(node: Node, splice: Splice, results: Sequence[str]) -> Rewrite:
    rename = {old: new for old, new in zip(node.outputs, results, strict=False) if old}
    return Rewrite((node,), tuple(splice.nodes), splice.constants, tuple(splice.values), rename)
