"""Scan: a graph run along an axis of its inputs, with states handed from step to step.

In: states, then tensors to walk along. Out: the last states, then what each step gave, stacked along an axis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import Dim, Shape
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Array, Node, Value
from alula.engine.operators.common import Mismatch, axis_of, integers, without
from alula.engine.operators.control import Body, separated, stacked
from alula.engine.operators.nested import GraphRunner
from alula.engine.operators.record import REQUIRED, Inference, Known, Operator, Partial, UnknownShape

_OPSET_WITHOUT_BATCH = 9


@dataclass(frozen=True)
class Walk:
    """Along which axes and in which directions a Scan walks; empty lists stand for zeros."""

    scans: int
    input_axes: tuple[int, ...] = ()
    input_directions: tuple[int, ...] = ()
    output_axes: tuple[int, ...] = ()
    output_directions: tuple[int, ...] = ()

    @classmethod
    def of(cls, attributes: Any) -> Walk:
        """The walk that a node's attributes describe."""
        return cls(
            attributes["num_scan_inputs"],
            *(
                tuple(attributes[name])
                for name in ("scan_input_axes", "scan_input_directions", "scan_output_axes", "scan_output_directions")
            ),
        )


def _at(numbers: Sequence[int], index: int) -> int:
    return numbers[index] if index < len(numbers) else 0


def scan(
    *inputs: Any, body: Graph, captures: Sequence[str], run_graph: GraphRunner, batched: int, **attributes: Any
) -> tuple[Array, ...]:
    """All samples at once, or with `batched` one sample after the other, lengths by sample standing first."""
    own, captured = separated(inputs, captures)
    inside, walk = Body(body, captured), Walk.of(attributes)
    if not batched:
        return tuple(_scanned(inside, walk, own, run_graph))
    lengths, *rest = own
    return _by_sample(inside, walk, rest, lengths, run_graph)


def _by_sample(
    body: Body, walk: Walk, inputs: Sequence[Array], lengths: Array | None, run_graph: GraphRunner
) -> tuple[Array, ...]:
    """ONNX, Scan-8: the first axis counts samples, the second is walked; rows behind a sample's length are zeros."""
    states, scans = inputs[: -walk.scans], inputs[-walk.scans :]
    longest = scans[0].shape[1]
    samples = []
    for sample in range(scans[0].shape[0]):
        length = longest if lengths is None else integers(lengths)[sample]
        if not 0 <= length <= longest:
            raise Mismatch(f"lengths must be in [0, {longest}]", f"one is {length}")
        one = [*(state[sample] for state in states), *(x[sample, :length] for x in scans)]
        results = _scanned(body, walk, one, run_graph)
        stacks = [_lengthened(stack, longest) for stack in results[len(states) :]]
        samples.append([*results[: len(states)], *stacks])
    return tuple(np.stack(column) for column in zip(*samples, strict=True))


def _lengthened(stack: Array, length: int) -> Array:
    whole = np.zeros((length, *stack.shape[1:]), stack.dtype)
    whole[: len(stack)] = stack
    return whole


def _scanned(body: Body, walk: Walk, inputs: Sequence[Array], run_graph: GraphRunner) -> list[Array]:
    states = list(inputs[: len(inputs) - walk.scans])
    scans = _ordered(inputs[len(states) :], walk)
    names = body.graph.outputs[len(states) :]
    stacks: list[list[Array]] = [[] for _ in names]
    for step in range(len(scans[0])):
        run_graph.count_trip()
        results = body.run(run_graph, *states, *(x[step] for x in scans))
        for stack, result in zip(stacks, results[len(states) :], strict=True):
            stack.append(result)
        states = results[: len(states)]
    found = [
        stacked(stack[::-1] if _at(walk.output_directions, index) else stack, body.graph.value(name),
                _at(walk.output_axes, index))
        for index, (stack, name) in enumerate(zip(stacks, names, strict=True))
    ]  # fmt: skip
    return [*states, *found]


def _ordered(scans: Sequence[Array], walk: Walk) -> list[Array]:
    """The walked axis first, in the walking direction.

    Raises:
        Mismatch: nothing is walked, or the lengths differ.
    """
    turned = []
    for index, x in enumerate(scans):
        along = np.moveaxis(x, axis_of(_at(walk.input_axes, index), x.ndim), 0)
        turned.append(along[::-1] if _at(walk.input_directions, index) else along)
    lengths = {len(x) for x in turned}
    if len(lengths) != 1:
        raise Mismatch("inputs must be equally long along their axes", f"they are {sorted(lengths)}")
    return turned


def _infer_scan(at: Inference) -> Partial:
    if at.infer_graph is None or at.attributes["batched"]:
        raise UnknownShape
    walk, graph = Walk.of(at.attributes), at.attributes["body"]
    own, captured = separated(at.inputs, at.attributes["captures"])
    states = own[: len(own) - walk.scans]
    length: Dim | None = None
    steps = []
    for index, known in enumerate(own[len(states) :]):
        if known is None or known.value.shape is None:
            raise UnknownShape
        shape = known.value.shape
        axis = axis_of(_at(walk.input_axes, index), len(shape))
        length = shape[axis]
        steps.append(Known(Value("", known.value.dtype, (*shape[:axis], *shape[axis + 1 :]))))
    formal = dict(zip((value.name for value in graph.inputs), [*states, *steps], strict=False))
    inputs = {name: known for name, known in (formal | captured).items() if known is not None}
    given = at.infer_graph(graph, inputs)
    results: list[tuple[DType, Shape | None]] = [
        (value.dtype, None if known is None else known.value.shape) for value, known in zip(given, states, strict=False)
    ]
    for index, value in enumerate(given[len(states) :]):
        results.append((value.dtype, _with_axis(value.shape, length, _at(walk.output_axes, index))))
    return results


def _with_axis(shape: Shape | None, length: Dim | None, axis: int) -> Shape | None:
    if shape is None or length is None:
        return None
    place = axis_of(axis, len(shape) + 1)
    return (*shape[:place], length, *shape[place:])


def _upgrade_scan(node: Node, version: int, constant: Callable[[Array], str]) -> Node:
    """Before 9: a batch, walked along its second axis, with lengths as the first input."""
    del constant
    if version >= _OPSET_WITHOUT_BATCH:
        return node
    return without(node, "directions").with_attributes(scan_input_directions=node.ints("directions"), batched=1)


SCAN = Operator(
    name="Scan",
    since=(8, 9, 11, 16, 19, 21, 23, 24, 25),
    inputs=("states_and_scans*",),
    outputs=("states_and_stacks*",),
    attributes=MappingProxyType(
        {
            "body": REQUIRED, "num_scan_inputs": REQUIRED, "scan_input_axes": (), "scan_input_directions": (),
            "scan_output_axes": (), "scan_output_directions": (), "captures": (), "batched": 0,
        }
    ),
    infer=_infer_scan,
    reference=scan,
    upgrade=_upgrade_scan,
    nested=True,
    summary="A graph run along an axis, with states; with `batched`, for each sample of a batch (before opset 9).",
)  # fmt: skip

OPERATORS = (SCAN,)
