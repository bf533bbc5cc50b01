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

from alula.base.tensors import Tensor
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Array, Node
from alula.engine.operators.evaluate import evaluate, evaluate_graph
from alula.engine.operators.record import Tolerance
from alula.engine.operators.table import operator_of
from alula.engine.runtime.session import PlanSession, open_plan
from alula.engine.sessions.compiler import CompileOptions, compile_graph, import_model, optimise_model
from alula.engine.sessions.host import run_host_step
from alula.engine.sessions.native import random_input
from alula.engine.sessions.reference import prepare_reference

# Sums of many products differ by their order; this is how much, for each unit of the largest result.
_OUTPUTS = Tolerance(relative=1e-4, absolute=1e-5)


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


def check_model(path: Path, options: CompileOptions, feeds: Mapping[str, Array] | None = None) -> ModelCheck:
    """Run a model natively, with every intermediate value kept, and compare each with its reference.

    Args:
        path: an ONNX model.
        options: target and shapes.
        feeds: inputs by name; random numbers for those that are missing.
    """
    graph = import_model(path)
    options = replace(options, reuse=False)
    optimised, _ = optimise_model(graph, options)
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / "check.alula"
        compile_graph(graph, plan, options)
        with open_plan(plan, threads=1, host=run_host_step) as session:
            inputs = {spec.name: random_input(spec) for spec in session.inputs} | dict(feeds or {})
            results = {name: np.array(np.asarray(tensor)) for name, tensor in session.run(inputs).items()}
            values = _native_values(session, optimised, inputs)
    truth = evaluate_graph(prepare_reference(graph, options.shapes), inputs, keep=True)
    steps = tuple(_check_step(node, values, truth) for node in optimised.nodes if node.output in values)
    outputs = tuple(
        StepCheck(name, "output", _distance(array, truth[name]), None, _OUTPUTS.relative)
        for name, array in results.items()
    )
    return ModelCheck(steps, outputs)


def _native_values(session: PlanSession, graph: Graph, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """What every value was after the run, blocks turned back into plain rows."""
    values = dict(inputs)
    for name, placed in session.info.values.items():
        array = np.array(np.asarray(session.peek(name)))
        if placed.block:
            array = np.moveaxis(array, -1, 2).reshape(array.shape[0], -1, *array.shape[2:-1])[:, : placed.shape[1]]
        values[name] = array.reshape(placed.shape)
    return values | dict(graph.constants)


def _check_step(node: Node, values: Mapping[str, Array], truth: Mapping[str, Array]) -> StepCheck:
    inputs = [values[name] if name else None for name in node.inputs]
    wanted = evaluate(node, inputs)
    error = max(_distance(values[name], b) for name, b in zip(node.outputs, wanted, strict=True) if name)
    found = values[node.output]
    name = next((n for n in (node.output, node.output.removesuffix(".blocked")) if n in truth), "")
    drift = _distance(found, truth[name]) if name and truth[name].shape == found.shape else None
    operator = operator_of(node)
    tolerance = operator.agrees_within if operator else Tolerance()
    # Rounding errors of a sum of n terms grow like the square root of n (Higham, Accuracy and Stability, 2.8).
    return StepCheck(node.label, node.op, error, drift, tolerance.relative * _terms(node, inputs) ** 0.5)


def _terms(node: Node, inputs: Sequence[Array | None]) -> int:
    """How many products one element of a convolution or matrix product sums up; 1 for other operators."""
    weights = inputs[1] if len(inputs) > 1 else None
    if weights is None or node.op not in {"FusedConv", "FusedMatMul"}:
        return 1
    axes = weights.shape[1:] if node.op == "FusedConv" else weights.shape[-1 if node.integer("transB") else -2 :][:1]
    return max(1, math.prod(map(int, axes)))


def _distance(found: Array, wanted: Array) -> float:
    """Largest difference over the largest wanted magnitude; infinite where NaN or infinity do not match."""
    if not wanted.size:
        return 0.0
    a, b = found.astype(np.float64), wanted.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    if not np.all(np.isfinite(np.where(same, 0.0, a - b))):
        return float("inf")
    finite = np.where(np.isfinite(b), np.abs(b), 0.0)
    return float(np.max(np.where(same, 0.0, np.abs(a - b)), initial=0.0) / max(float(finite.max(initial=0.0)), 1e-6))


def session_difference(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> float:
    """The largest absolute difference between two sessions' outputs."""
    return max(float(np.max(np.abs(np.asarray(found[n]) - np.asarray(wanted[n])), initial=0.0)) for n in wanted)
