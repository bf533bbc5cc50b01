"""Control flow: operators that hold graphs and run them under a condition, many times, or for each of many elements.

In: tensors or sequences, and the values that the graphs capture. Out: what the graphs give, stacked where they loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.base.errors import AlulaError
from alula.base.tensors import DType
from alula.engine.graph.dims import Shape
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Array, Value
from alula.engine.graph.numpy_dtypes import numpy_dtype
from alula.engine.operators.common import Mismatch, integers
from alula.engine.operators.nested import GraphRunner
from alula.engine.operators.record import REQUIRED, Inference, Known, Operator, Partial, UnknownShape

# If and Loop since 1, Scan since 8; the later versions add element types.
_VERSIONS = (11, 13, 16, 19, 21, 23, 24, 25)


@dataclass(frozen=True)
class Body:
    """A graph inside a node, with the values that it captures."""

    graph: Graph
    captured: Mapping[str, Any]

    def feeds(self, formal: Sequence[Any]) -> dict[str, Any]:
        """A value for each input of the graph: the formal ones in their order, then captured ones by name.

        Raises:
            Mismatch: the graph takes another number of inputs.
        """
        values = self.graph.inputs
        names = [value.name for value in values[len(formal) :]]
        if len(values) < len(formal) or not all(name in self.captured for name in names):
            taken = len(values) - len(self.captured)
            raise Mismatch(f"the graph {self.graph.name or 'inside'} takes {taken} inputs", f"it gets {len(formal)}")
        return {value.name: given for value, given in zip(values, formal, strict=False)} | {
            name: self.captured[name] for name in names
        }

    def run(self, run_graph: GraphRunner, *formal: Any) -> list[Any]:
        """The outputs in their order."""
        results = run_graph(self.graph, self.feeds(formal))
        return [results[name] for name in self.graph.outputs]


def separated(inputs: Sequence[Any], captures: Sequence[str]) -> tuple[list[Any], dict[str, Any]]:
    """The inputs of a nested node apart from those that its graphs capture, and those by name.

    Raises:
        Mismatch: there are fewer inputs than captures.
    """
    own = len(inputs) - len(captures)
    if own < 0:
        raise Mismatch(f"{len(captures)} captured values must be inputs", f"there are {len(inputs)}")
    return list(inputs[:own]), dict(zip(captures, inputs[own:], strict=True))


def _truth(condition: Array) -> bool:
    if condition.size != 1:
        raise Mismatch("a condition must be one element", f"it has {condition.size}")
    return bool(condition.reshape(-1)[0])


def if_(
    condition: Array,
    *captured: Any,
    then_branch: Graph,
    else_branch: Graph,
    captures: Sequence[str],
    run_graph: GraphRunner,
) -> tuple[Any, ...]:
    """What one of the branches gives; the other is not run."""
    branch = then_branch if _truth(condition) else else_branch
    return tuple(Body(branch, separated(captured, captures)[1]).run(run_graph))


def _infer_if(at: Inference) -> Partial:
    branches = [_given(at, name, ()) for name in ("then_branch", "else_branch")]
    return [(one.dtype, _common(one.shape, other.shape)) for one, other in zip(*branches, strict=True)]


def _given(at: Inference, attribute: str, formal: Sequence[Known | None]) -> Sequence[Value]:
    """What is known of the outputs of a graph that the node holds; a formal None leaves its input to the file."""
    if at.infer_graph is None:
        raise UnknownShape
    captures = at.attributes["captures"]
    _, captured = separated(at.inputs, captures)
    graph = at.attributes[attribute]
    inputs = dict(zip((value.name for value in graph.inputs), formal, strict=False)) | captured
    try:
        return at.infer_graph(graph, {name: known for name, known in inputs.items() if known is not None})
    except AlulaError:
        if any(name not in graph.values for name in graph.outputs):
            raise UnknownShape from None
        # A branch may be written for other shapes and never be taken: what the file says of its outputs must do.
        if not all(name in graph.values for name in graph.outputs):
            raise UnknownShape from None
        return [replace(graph.value(name), shape=None) for name in graph.outputs]


def _common(one: Shape | None, other: Shape | None) -> Shape | None:
    """A shape that two values share, else None."""
    return one if one == other else None


def loop(
    trips: Array | None,
    condition: Array | None,
    *rest: Any,
    body: Graph,
    captures: Sequence[str],
    run_graph: GraphRunner,
) -> tuple[Any, ...]:
    """The states after the last trip, then what each trip gave, stacked along a new first axis."""
    states, captured = separated(rest, captures)
    count = None if trips is None else integers(trips)[0]
    going = condition is None or _truth(condition)
    inside = Body(body, captured)
    stacks: list[list[Array]] = [[] for _ in body.outputs[1 + len(states) :]]
    trip = 0
    while going and (count is None or trip < count):
        run_graph.count_trip()
        again, *results = inside.run(run_graph, np.asarray(trip, np.int64), np.asarray(going), *states)
        going = condition is None or _truth(again)
        states = results[: len(states)]
        for stack, result in zip(stacks, results[len(states) :], strict=True):
            stack.append(result)
        trip += 1
    names = body.outputs[1 + len(states) :]
    return (*states, *(stacked(stack, body.value(name)) for stack, name in zip(stacks, names, strict=True)))


def stacked(arrays: Sequence[Array], value: Value, axis: int = 0) -> Array:
    """Equal arrays along a new axis; of none, an empty array as the value's record says, unknown dimensions being 0."""
    if arrays:
        return np.stack(arrays, axis)
    shape = [dim if isinstance(dim, int) else 0 for dim in value.shape or ()]
    shape.insert(axis if axis >= 0 else len(shape) + 1 + axis, 0)
    return np.zeros(shape, numpy_dtype(value.dtype))


def _infer_loop(at: Inference) -> Partial:
    own, _ = separated(at.inputs, at.attributes["captures"])
    scalars = [Known(Value("trip", DType.INT64, ())), Known(Value("condition", DType.BOOL, ()))]
    states = own[2:]
    shaped = [known if known is not None and known.value.shape is not None else None for known in states]
    given = _given(at, "body", [*scalars, *shaped])[1:]
    if not all(_keeps(known, value) for known, value in zip(states, given, strict=False)):
        # One state changes its shape, and others may with it: only what holds for states of any shape is known.
        free = [Known(Value("", value.dtype, None)) for value in given[: len(states)]]
        given = _given(at, "body", [*scalars, *free])[1:]
    results: list[tuple[DType, Shape | None]] = [
        (value.dtype, value.shape if _keeps(known, value) else None)
        for known, value in zip(states, given, strict=False)
    ]
    count = _trips(at)
    stacks = given[len(states) :]
    shapes = [None if count is None or value.shape is None else (count, *value.shape) for value in stacks]
    return [*results, *((value.dtype, shape) for value, shape in zip(stacks, shapes, strict=True))]


def _keeps(before: Known | None, after: Value) -> bool:
    """Whether a state surely has the shape that it came with, after any number of trips."""
    return before is not None and before.value.shape is not None and before.value.shape == after.shape


def _trips(at: Inference) -> int | None:
    """How many trips a loop makes: a constant number, and nobody asks for its condition."""
    if not at.has(0) or at.has(1):
        return None
    known = at.inputs[0]
    return None if known is None or known.constant is None else max(integers(known.constant)[0], 0)


def sequence_map(
    sequence: list[Array], *rest: Any, body: Graph, captures: Sequence[str], run_graph: GraphRunner
) -> tuple[Any, ...]:
    """The graph for each element of the sequence, and of others of its length; tensors are the same for each."""
    others, captured = separated(rest, captures)
    for other in others:
        if isinstance(other, list) and len(other) != len(sequence):
            raise Mismatch(f"sequences must have {len(sequence)} elements", f"one has {len(other)}")
    inside = Body(body, captured)
    results = [
        inside.run(run_graph, element, *(other[at] if isinstance(other, list) else other for other in others))
        for at, element in enumerate(sequence)
    ]
    return tuple([row[index] for row in results] for index in range(len(body.outputs)))


IF = Operator(
    name="If",
    since=(1, *_VERSIONS),
    inputs=("condition", "captured*"),
    outputs=("y*",),
    attributes=MappingProxyType({"then_branch": REQUIRED, "else_branch": REQUIRED, "captures": ()}),
    infer=_infer_if,
    reference=if_,
    nested=True,
    summary="One of two graphs, as a condition says.",
)

LOOP = Operator(
    name="Loop",
    since=(1, *_VERSIONS),
    inputs=("trips?", "condition?", "states*"),
    outputs=("states_and_stacks*",),
    attributes=MappingProxyType({"body": REQUIRED, "captures": ()}),
    infer=_infer_loop,
    reference=loop,
    nested=True,
    summary="A graph run again on its own states, a number of times or while a condition holds.",
)

SEQUENCE_MAP = Operator(
    name="SequenceMap",
    since=(17,),
    inputs=("sequence", "others*"),
    outputs=("sequences*",),
    attributes=MappingProxyType({"body": REQUIRED, "captures": ()}),
    infer=lambda at: [(value.dtype, None) for value in _given(at, "body", ())],
    reference=sequence_map,
    nested=True,
    summary="A graph run for each element of a sequence.",
)

OPERATORS = (IF, LOOP, SEQUENCE_MAP)
