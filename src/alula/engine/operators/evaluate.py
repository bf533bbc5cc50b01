"""Nodes and graphs run in numpy: the truth that everything else is compared with.

In: a node or graph in its newest form, and arrays. Out: arrays.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from alula.base.errors import GraphError, InputError, UnsupportedError
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Array, Node
from alula.engine.operators.attributes import attributes_of
from alula.engine.operators.explain import MISFITS, describe_array, explained
from alula.engine.operators.nested import GraphRunner, Limits
from alula.engine.operators.record import Operator
from alula.engine.operators.table import operator_of


def known_operator(node: Node) -> Operator:
    """The record of a node's operator.

    Raises:
        UnsupportedError: alula does not know it.
    """
    operator = operator_of(node)
    if operator is None:
        domain = node.domain or "ai.onnx"
        raise UnsupportedError(f"{node.label} ({node.op})", "needs an operator that alula has", f"{domain}.{node.op}")
    return operator


def evaluate(node: Node, inputs: Sequence[Array | None], runner: GraphRunner | None = None) -> tuple[Array, ...]:
    """Run one node.

    A sequence comes and goes as a list of arrays, an absent optional as None.

    Args:
        node: in its newest form (see `upgrade_node`).
        inputs: one array for each input, None where an optional one is left out; never written. Results may view them.
        runner: runs the graphs that the node holds; left out, one with the usual limits.

    Returns:
        One array for each of the node's outputs.

    Raises:
        ShapeError: the inputs do not fit the operator or each other.
        UnsupportedError: the operator, or this form of it, is not known.
        GraphError: a required attribute or input is missing.
        LimitError: the result does not fit into memory, or its loops never end.
    """
    operator = known_operator(node)
    attributes = attributes_of(operator, node)
    if operator.nested:
        attributes["run_graph"] = runner or runner_within(Limits())
    arguments = _arguments(operator, node, inputs)
    try:
        with np.errstate(all="ignore"):
            result = operator.reference(*arguments, **attributes)
    except MISFITS as error:
        raise explained(node, [describe_array(array) for array in inputs], error) from error
    results = result if isinstance(result, tuple) else (result,)
    if len(results) < len(node.outputs):
        found = f"{len(node.outputs)} are asked for"
        raise UnsupportedError(f"{node.label} ({node.op})", f"gives {len(results)} outputs", found)
    return tuple(_plain(result) for result in results[: len(node.outputs)])


def runner_within(limits: Limits) -> GraphRunner:
    """What `evaluate` runs the graphs of one run of a model with."""
    return GraphRunner(_run_nested, limits)


def _plain(result: Any) -> Any:
    """What a reference gives: numbers as arrays, sequences and absent optionals as they are."""
    return result if result is None or isinstance(result, list) else np.asarray(result)


def _run_nested(graph: Graph, feeds: Mapping[str, Array], runner: GraphRunner) -> dict[str, Array]:
    return _run(graph, feeds, None, runner)


def _arguments(operator: Operator, node: Node, inputs: Sequence[Array | None]) -> list[Array | None]:
    """The inputs, with None for each optional one that is left out at the end."""
    place = f"{node.label} ({node.op})"
    variadic = bool(operator.inputs) and operator.inputs[-1].endswith("*")
    fixed = operator.inputs[:-1] if variadic else operator.inputs
    if len(inputs) > len(fixed) and not variadic:
        raise GraphError(place, f"takes at most {len(fixed)} inputs", f"it has {len(inputs)}")
    arguments = [*inputs, *[None] * (len(fixed) - len(inputs))]
    for index, name in enumerate(fixed):
        if not node.input(index) and not name.endswith("?"):
            raise GraphError(place, f"needs input {name}", "it is left out")
    if variadic and not operator.nested and (not arguments or not all(node.inputs[len(fixed) :])):
        raise GraphError(place, "needs all of its inputs", "one is left out")
    return arguments


def evaluate_graph(
    graph: Graph,
    feeds: Mapping[str, Array],
    keep: Collection[str] | bool | None = None,  # noqa: FBT001  True stands for all names
    limits: Limits | None = None,
) -> dict[str, Array]:
    """Run a whole graph, node by node.

    Args:
        graph: all nodes in their newest form.
        feeds: an array for each input.
        keep: intermediate values to return beside the outputs; True for all. Others are let go after their last use.
        limits: how much its loops may do.

    Returns:
        Arrays by name: the outputs, and what `keep` names. They may view one another, the feeds and the constants.

    Raises:
        InputError: an input is not fed.
        AlulaError: as `evaluate`.
    """
    missing = [value.name for value in graph.inputs if value.name not in feeds]
    if missing:
        raise InputError(f"input {missing[0]}", "needs an array", "nothing is fed")
    return _run(graph, feeds, keep, runner_within(limits or Limits()))


def _run(
    graph: Graph,
    feeds: Mapping[str, Array],
    keep: Collection[str] | bool | None,  # noqa: FBT001
    runner: GraphRunner,
) -> dict[str, Array]:
    values: dict[str, Array] = {**graph.constants, **feeds}
    kept = set(graph.outputs) | set(keep if isinstance(keep, Collection) else ())
    for node, dead in _with_last_uses(graph):
        arrays = [values[name] if name else None for name in node.inputs]
        results = evaluate(node, arrays, runner)
        values.update((name, array) for name, array in zip(node.outputs, results, strict=True) if name)
        if keep is not True:
            for name in dead - kept:
                values.pop(name, None)
    return values if keep is True else {name: values[name] for name in kept if name in values}


def _with_last_uses(graph: Graph) -> Iterator[tuple[Node, set[str]]]:
    """Each node with the values that no later node reads."""
    seen: set[str] = set()
    steps = []
    for node in reversed(graph.nodes):
        names = {name for name in (*node.inputs, *node.outputs) if name}
        steps.append((node, names - seen))
        seen |= names
    return reversed(steps)
