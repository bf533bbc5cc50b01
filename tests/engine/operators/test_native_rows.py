"""Operators along rows and by index: nothing of them is left to the host, and they agree with the references.

Everything that a plan need not know is fed, so that indices and right-hand sides are computed values.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.planned import planned, results_of
from support.plans import RUNNABLE
from support.problem import floats, reals

from alula.base.tensors import DType
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Array, Node, Value
from alula.engine.kernels.target import target_named
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.plan.records import NativeStep
from alula.engine.sessions.reference import prepare_reference

ON_ENDS = pytest.mark.parametrize("target", sorted({RUNNABLE[0].name, RUNNABLE[-1].name}))


def posed(op: str, inputs: Sequence[Array], known: Sequence[int], attributes: dict[str, Any]) -> Graph:
    """One node; the inputs at the places `known` are constants, the others are fed."""
    arrays = {f"x{index}": array for index, array in enumerate(inputs)}
    values = {name: Value(name, DType(array.dtype.name), array.shape) for name, array in arrays.items()}
    constants = {f"x{index}": inputs[index] for index in known}
    fed = tuple(value for name, value in values.items() if name not in constants)
    node = Node(op, tuple(arrays), ("y",), attributes)
    return Graph("one", (node,), fed, ("y",), constants, values, {"": 24})


def compared(graph: Graph, inputs: Sequence[Array], target: str, folder: Path) -> None:
    """Compile, check that no step is the host's, run, compare."""
    plan = planned(graph, target_named(target))
    feeds = {value.name: inputs[int(value.name[1:])] for value in graph.inputs}

    found = results_of(plan, folder, feeds)["y"]

    assert [step.label for step in plan.steps if not isinstance(step, NativeStep)] == []
    wanted = evaluate_graph(prepare_reference(graph), feeds)["y"]
    assert found.dtype == wanted.dtype
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@ON_ENDS
@pytest.mark.parametrize(("a", "b"), [
    ((3, 4), (4, 5)),
    ((4,), (4, 5)),
    ((3, 4), (4,)),
    ((4,), (4,)),
    ((7,), (2, 3, 7, 5)),
    ((2, 3, 5, 7), (7,)),
    ((2, 3, 5, 7), (2, 3, 7, 9)),
    ((2, 3, 5, 7), (7, 9)),
    ((5, 7), (2, 3, 7, 9)),
    ((2, 1, 5, 7), (1, 3, 7, 9)),
    ((2, 1, 4, 5, 7), (3, 1, 7, 9)),
    ((1, 3, 1, 7), (2, 3, 7, 1)),
    ((4, 1, 7), (4, 7, 17)),
])  # fmt: skip
def test_products_broadcast_in_every_way(a: tuple[int, ...], b: tuple[int, ...], target: str, tmp_path: Path) -> None:
    """Rule: numpy's matmul of two computed values, of one constant on either side, stacked, repeated, or vectors."""
    inputs = (reals(*a), reals(*b))

    for known in ((), (0,), (1,)):
        compared(posed("MatMul", inputs, known, {}), inputs, target, tmp_path)


@ON_ENDS
@pytest.mark.parametrize("c", [None, (1,), (5,), (3, 1), (1, 5), (3, 5)])
@pytest.mark.parametrize("attributes", [{}, {"alpha": 0.5, "beta": -2.0}])
@pytest.mark.parametrize("turns", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_every_gemm_is_native(
    c: tuple[int, ...] | None, attributes: dict[str, Any], turns: tuple[int, int], target: str, tmp_path: Path
) -> None:
    """Rule: factors, transposed sides and a C of any shape, all of them computed values or constants."""
    a, b = reals(*((4, 3) if turns[0] else (3, 4))), reals(*((5, 4) if turns[1] else (4, 5)))
    inputs = (a, b) if c is None else (a, b, reals(*c))
    whole = {**attributes, "transA": turns[0], "transB": turns[1]}

    for known in ((), tuple(range(1, len(inputs)))):
        compared(posed("Gemm", inputs, known, whole), inputs, target, tmp_path)


@ON_ENDS
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_computed_indices_are_gathered(axis: int, index: Any, target: str, tmp_path: Path) -> None:
    """Rule: embeddings look up what another model step, or the caller, says."""
    inputs = (reals(5, 4, 3), np.array([[0, -1], [2, -3]], index))

    compared(posed("Gather", inputs, (), {"axis": axis}), inputs, target, tmp_path)


@ON_ENDS
@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 2), (0, 1, 2), (-1, 1)])
@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd"])
def test_reductions_are_native(op: str, axes: tuple[int, ...], target: str, tmp_path: Path) -> None:
    """Rule: along any axes, that stay or go, NaN included."""
    x = reals(3, 4, 5)
    x[1, 2, 3] = np.nan
    inputs = (x, np.asarray(axes))

    for keep in (0, 1):
        compared(posed(op, inputs, (1,), {"keepdims": keep}), inputs, target, tmp_path)


@ON_ENDS
@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMean", "ReduceMax"])
def test_reductions_of_integers_are_native(op: str, target: str, tmp_path: Path) -> None:
    """Rule: counts of tokens and masks are integers."""
    inputs = (np.arange(-30, 30).reshape(3, 4, 5), np.asarray([1]))

    compared(posed(op, inputs, (1,), {"keepdims": 0}), inputs, target, tmp_path)


@ON_ENDS
@pytest.mark.parametrize("axis", [-1, -2, 1])
def test_layers_are_normalised_natively(axis: int, target: str, tmp_path: Path) -> None:
    """Rule: over the last axes, parameters computed or constant."""
    x = reals(2, 5, 37)
    inputs = (x, reals(*x.shape[axis:]), reals(*x.shape[axis:], low=-1))

    for known in ((), (1, 2)):
        compared(posed("LayerNormalization", inputs, known, {"axis": axis}), inputs, target, tmp_path)


@ON_ENDS
@pytest.mark.parametrize("shape", [(2, 6, 5, 7), (2, 6, 9), (3, 6)])
def test_instances_are_normalised_natively(shape: tuple[int, ...], target: str, tmp_path: Path) -> None:
    """Rule: maps of any number of axes, parameters by channel."""
    inputs = (reals(*shape), reals(6), reals(6, low=-1))

    compared(posed("InstanceNormalization", inputs, (1, 2), {}), inputs, target, tmp_path)


@ON_ENDS
@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax_and_its_logarithm_are_native(op: str, axis: int, target: str, tmp_path: Path) -> None:
    """Rule: along any axis."""
    inputs = (reals(3, 5, 17),)

    compared(posed(op, inputs, (), {"axis": axis}), inputs, target, tmp_path)


@ON_ENDS
def test_indices_known_to_lead_outside_are_left_to_the_host(target: str) -> None:
    """Rule: the reference refuses them with a message, generated code could not."""
    plan = planned(posed("Gather", (floats(1, 2), np.array([2])), (1,), {}), target_named(target))

    assert not any(isinstance(step, NativeStep) for step in plan.steps)
