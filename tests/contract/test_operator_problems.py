"""Every form of every operator, compiled and run: native where there is a kernel, on the host where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.operator_problems import PROBLEMS
from support.planned import planned, results_of
from support.plans import RUNNABLE
from support.problem import SIZED_BY_DATA, Problem

from alula.base.tensors import DType
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Array, Node, Value
from alula.engine.kernels.target import target_named
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.operators.precision import is_real, widened
from alula.engine.sessions.reference import prepare_reference

# What they give has the size that their inputs say: a plan needs them constant.
_SHAPED_BY_DATA = ("ConstantOfShape", "Range", "HannWindow", "HammingWindow", "BlackmanWindow", "MelWeightMatrix")


def as_graph(problem: Problem) -> tuple[Graph, dict[str, Array]]:
    """The problem as a model: its first input is fed, the others are constants, as exporters write them."""
    names = tuple("" if array is None else f"x{index}" for index, array in enumerate(problem.inputs))
    arrays = {name: array for name, array in zip(names, problem.inputs, strict=True) if array is not None}
    values = {name: Value(name, DType(array.dtype.name), array.shape) for name, array in arrays.items()}
    fed = names[:1] if names and names[0] and problem.op not in _SHAPED_BY_DATA else ()
    outputs = tuple(f"y{index}" for index in range(problem.outputs))
    node = Node(problem.op, names, outputs, problem.attributes)
    constants = {name: array for name, array in arrays.items() if name not in fed}
    inputs = tuple(values[name] for name in fed)
    graph = Graph("problem", (node,), inputs, outputs, constants, values, {"": problem.opset})
    return graph, {name: arrays[name] for name in fed}


@pytest.mark.parametrize("target", sorted({RUNNABLE[0].name, RUNNABLE[-1].name}))
@pytest.mark.parametrize("problem", [p for p in PROBLEMS if p.op not in SIZED_BY_DATA], ids=str)
def test_compiled_operator_agrees_with_its_reference(problem: Problem, target: str, tmp_path: Path) -> None:
    """Rule: compiling changes speed and nothing else, special values included."""
    graph, feeds = as_graph(problem)

    found = results_of(planned(graph, target_named(target)), tmp_path, feeds)

    with np.errstate(all="ignore"):
        wanted = evaluate_graph(prepare_reference(graph), feeds)
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype
        if not is_real(array.dtype) or array.dtype.itemsize == 1:
            np.testing.assert_array_equal(found[name].view(_raw(array)), array.view(_raw(array)))
            continue
        # Short floats are computed in float32 and rounded once: another rounding may be one step away.
        step = {"float16": 2.0**-10, "bfloat16": 2.0**-7}.get(array.dtype.name, 1e-5)
        got, want = widened(found[name]), widened(array)
        largest = np.abs(want[np.isfinite(want)]).max(initial=0.0)
        np.testing.assert_allclose(got, want, rtol=step, atol=1e-5 * min(largest, 1e3))


def _raw(array: Array) -> np.dtype[Any]:
    """Types that numpy lacks are compared by their bits: it does not know where their NaN is."""
    return array.dtype if array.dtype.isbuiltin == 1 else np.dtype(np.uint8)
