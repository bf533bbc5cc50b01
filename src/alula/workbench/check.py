"""Compares a compiled model with the truth, step by step.

In: an ONNX model and inputs. Out: a report of every native step: how far it is from its reference on the same inputs,
and how far the whole has drifted from the model as the file says it.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from alula.base.hardware import usable_threads
from alula.base.tensors import Tensor
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Array, Node
from alula.engine.operators.evaluate import evaluate, evaluate_graph
from alula.engine.operators.record import Tolerance
from alula.engine.operators.table import operator_of
from alula.engine.program.file import write_plan
from alula.engine.runtime.header import Placed
from alula.engine.runtime.session import PlanSession, open_plan
from alula.engine.sessions.compiler import (
    CompileOptions,
    Progress,
    import_model,
    no_progress,
    optimise_model,
    plan_model,
)
from alula.engine.sessions.host import run_host_step
from alula.engine.sessions.native import random_input, specs_of
from alula.engine.sessions.reference import prepare_reference

# Sums of many products differ by their order; this is how much, for each unit of the largest result.
_OUTPUTS = Tolerance(relative=1e-4, absolute=1e-6)


@dataclass(frozen=True)
class StepCheck:
    """One value compared.

    Attributes:
        error: largest difference from the reference on the native step's own inputs, over the largest result.
        drift: largest difference from the unoptimised model, over the largest result; None where passes removed it.
        allowed: what `error` may be.
    """

    label: str
    op: str
    error: float
    drift: float | None
    allowed: float

    @property
    def agrees(self) -> bool:
        """Whether the step is within its tolerance."""
        return self.error <= self.allowed


@dataclass(frozen=True)
class ModelCheck:
    """All steps in order; `outputs` compares the model's outputs with the unoptimised model."""

    steps: tuple[StepCheck, ...]
    outputs: tuple[StepCheck, ...]

    @property
    def first_wrong(self) -> StepCheck | None:
        """The first step or output that differs by more than its tolerance."""
        return next((step for step in (*self.steps, *self.outputs) if not step.agrees), None)


def check_model(
    path: Path,
    options: CompileOptions,
    feeds: Mapping[str, Array] | None = None,
    progress: Progress = no_progress,
) -> ModelCheck:
    """Run a model natively, with every intermediate value kept, and compare each with its reference.

    Args:
        path: an ONNX model.
        options: target and shapes.
        feeds: inputs by name; random numbers for those that are missing.
        progress: called with (stage, parts done, parts in all).
    """
    graph = import_model(path, options.limits)
    optimised, _ = optimise_model(graph, options)
    inputs = {spec.name: random_input(spec) for spec in specs_of(optimised.inputs)} | dict(feeds or {})
    found = native_values(optimised, options, inputs, progress)
    progress("reference", 0, 1)
    truth = evaluate_graph(prepare_reference(graph, options.shapes), inputs, keep=True)
    outputs = tuple(
        StepCheck(name, "output", _distance(found[name], truth[name], _OUTPUTS), None, _OUTPUTS.relative)
        for name in optimised.outputs
    )
    progress("compare", 0, 1)
    return ModelCheck(check_steps(optimised, found, truth), outputs)


def native_values(
    graph: Graph, options: CompileOptions, inputs: Mapping[str, Array], progress: Progress = no_progress
) -> Mapping[str, Array]:
    """Every value of an optimised graph after a native run, as plain rows; constants and inputs not included."""
    plan = plan_model(graph, replace(options, reuse=False))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "check.alula"
        jobs = options.jobs or usable_threads()
        write_plan(plan, path, jobs=jobs, progress=lambda done, total: progress("emit", done, total))
        with open_plan(path, threads=1, host=run_host_step) as session:
            results = {name: np.array(np.asarray(tensor)) for name, tensor in session.run(inputs).items()}
            return {name: _plain(session, name, placed) for name, placed in session.info.values.items()} | results


def _plain(session: PlanSession, name: str, placed: Placed) -> Array:
    """A copy of a value, blocks turned back into rows."""
    array = np.array(np.asarray(session.peek(name)))
    if placed.block:
        array = np.moveaxis(array, -1, 2).reshape(array.shape[0], -1, *array.shape[2:-1])[:, : placed.shape[1]]
    return array.reshape(placed.shape)


def check_steps(graph: Graph, found: Mapping[str, Array], truth: Mapping[str, Array]) -> tuple[StepCheck, ...]:
    """Compare each node's results with what its reference makes of the node's own inputs.

    Args:
        graph: optimised.
        found: the results of all nodes.
        truth: what the unoptimised model computes, with its inputs, by name; for the drift.
    """
    inputs = {value.name: truth[value.name] for value in graph.inputs}
    values = {**inputs, **found, **graph.constants}
    for node in graph.nodes:
        if all(name not in values for name in node.outputs):
            # The input's own bytes under another shape: no step made it.
            values[node.output] = evaluate(node, [values[name] if name else None for name in node.inputs])[0]
    return tuple(
        _check_step(node, values, truth) for node in graph.nodes if any(name in found for name in node.outputs)
    )


def _check_step(node: Node, values: Mapping[str, Array], truth: Mapping[str, Array]) -> StepCheck:
    inputs = [values[name] if name else None for name in node.inputs]
    wanted = evaluate(node, inputs)
    operator = operator_of(node)
    tolerance = operator.agrees_within if operator else Tolerance()
    error = max(_distance(values[name], b, tolerance) for name, b in zip(node.outputs, wanted, strict=True) if name)
    first = next(filter(None, node.outputs))
    found = values[first]
    name = next((n for n in (first, first.removesuffix(".blocked")) if n in truth), "")
    drift = _distance(found, truth[name], _OUTPUTS) if name and truth[name].shape == found.shape else None
    # Rounding errors of a sum of n terms grow like the square root of n (Higham, Accuracy and Stability, 2.8).
    return StepCheck(node.label, node.op, error, drift, tolerance.relative * _terms(node, inputs) ** 0.5)


def _terms(node: Node, inputs: Sequence[Array | None]) -> int:
    """How many products one element of a convolution or matrix product sums up; 1 for other operators."""
    weights = inputs[1] if len(inputs) > 1 else None
    if weights is None or node.op not in {"FusedConv", "FusedMatMul"}:
        return 1
    axes = weights.shape[1:] if node.op == "FusedConv" else weights.shape[-1 if node.integer("transB") else -2 :][:1]
    return max(1, math.prod(map(int, axes)))


def _distance(found: Array, wanted: Array, tolerance: Tolerance) -> float:
    """Largest difference over the largest wanted magnitude; infinite where NaN or infinity do not match.

    Below the magnitude where the absolute tolerance is more than the relative one, that magnitude stands instead.
    """
    if not wanted.size:
        return 0.0
    a, b = found.astype(np.float64), wanted.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    if not np.all(np.isfinite(np.where(same, 0.0, a - b))):
        return float("inf")
    floor = tolerance.absolute / tolerance.relative if tolerance.relative else 1.0
    finite = np.where(np.isfinite(b), np.abs(b), 0.0)
    return float(np.max(np.where(same, 0.0, np.abs(a - b)), initial=0.0) / max(float(finite.max(initial=0.0)), floor))


def session_difference(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> float:
    """The largest absolute difference between two sessions' outputs."""
    return max(float(np.max(np.abs(np.asarray(found[n]) - np.asarray(wanted[n])), initial=0.0)) for n in wanted)
