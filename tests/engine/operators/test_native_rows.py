"""Operators along rows and by index: nothing of them is left to the host, and they agree with the references.

Everything that a plan need not know is fed, so that indices and right-hand sides are computed values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
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
from alula.engine.passes.order import optimise
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


@ON_ENDS
@pytest.mark.parametrize("op", ["ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp", "ReduceLogSum"])
@pytest.mark.parametrize("axes", [(0,), (2,), (0, 2)])
def test_norms_and_logarithms_are_reduced_natively(op: str, axes: tuple[int, ...], target: str, tmp_path: Path) -> None:
    """Rule: as sums, with what is done to each element and to the sum."""
    inputs = (reals(3, 4, 5, low=0.1), np.asarray(axes))

    compared(posed(op, inputs, (1,), {"keepdims": 0}), inputs, target, tmp_path)


@ON_ENDS
@pytest.mark.parametrize("op", ["ReduceSum", "ReduceL1", "ReduceMean"])
def test_no_axes_may_mean_no_reduction(op: str, target: str, tmp_path: Path) -> None:
    """Rule: left-out axes are all, or with `noop_with_empty_axes` none."""
    inputs = (reals(3, 4),)

    for noop in (0, 1):
        compared(posed(op, inputs, (), {"noop_with_empty_axes": noop}), inputs, target, tmp_path)


@ON_ENDS
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_computed_indices_pick_elements(axis: int, target: str, tmp_path: Path) -> None:
    """Rule: indices may be fed; they may be fewer than the elements on other axes."""
    inputs = (reals(3, 4, 5), np.array([[[0, -1, 2], [1, -3, 0]]], np.int64))

    compared(posed("GatherElements", inputs, (), {"axis": axis}), inputs, target, tmp_path)


@ON_ENDS
@pytest.mark.parametrize(("indices", "batch"), [
    ([[0, 1], [-1, -2]], 0), ([[2], [0]], 0), ([[[1], [0]], [[3], [-1]]], 1), ([0, 2, -1], 0),
])  # fmt: skip
def test_computed_tuples_pick_slices(indices: Any, batch: int, target: str, tmp_path: Path) -> None:
    """Rule: slices, or elements, behind shared axes or not."""
    inputs = (reals(2 if batch else 3, 4, 5), np.asarray(indices))

    compared(posed("GatherND", inputs, (), {"batch_dims": batch}), inputs, target, tmp_path)


@ON_ENDS
@pytest.mark.parametrize("reduction", ["none", "add", "mul", "max", "min"])
def test_updates_are_scattered_natively(reduction: str, target: str, tmp_path: Path) -> None:
    """Rule: what is not named stays; what is named twice is updated twice."""
    tuples = np.array([[0, 1], [-1, -2], [0, 1]])
    elements = np.array([[0, -1], [1, 1]])
    slices = (reals(3, 4, 5), tuples, reals(3, 5))
    single = (reals(3, 4), elements, reals(2, 2))

    compared(posed("ScatterND", slices, (), {"reduction": reduction}), slices, target, tmp_path)
    for axis in (0, 1):
        compared(posed("ScatterElements", single, (), {"reduction": reduction, "axis": axis}), single, target, tmp_path)


@ON_ENDS
@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("attributes", [{}, {"axis": -1, "keepdims": 0}, {"axis": 1, "select_last_index": 1}])
def test_places_of_extremes_are_native(op: str, attributes: dict[str, int], target: str, tmp_path: Path) -> None:
    """Rule: of floats and of token numbers."""
    for x in (reals(3, 4, 17), np.arange(-30, 30, dtype=np.int32).reshape(3, 4, 5) % 7):
        compared(posed(op, (x,), (), attributes), (x,), target, tmp_path)


@ON_ENDS
@pytest.mark.parametrize("axis", [0, -1])
def test_hot_places_are_native(axis: int, target: str, tmp_path: Path) -> None:
    """Rule: indices may be fed, the depth must be known."""
    inputs = (np.array([[0, -1, 9], [2, 1, -9]]), np.asarray(4), np.array([0.5, 2], np.float32))

    compared(posed("OneHot", inputs, (1,), {"axis": axis}), inputs, target, tmp_path)


@ON_ENDS
@pytest.mark.parametrize("upper", [0, 1])
def test_triangles_are_native(upper: int, target: str, tmp_path: Path) -> None:
    """Rule: causal masks; the diagonal may be fed."""
    inputs = (reals(2, 5, 6), np.asarray(1))

    compared(posed("Trilu", inputs[:1], (), {"upper": upper}), inputs[:1], target, tmp_path)
    for known in ((), (1,)):
        compared(posed("Trilu", inputs, known, {"upper": upper}), inputs, target, tmp_path)


@ON_ENDS
@pytest.mark.parametrize("axis", [0, 1])
def test_running_sums_are_native(axis: int, target: str, tmp_path: Path) -> None:
    """Rule: positions of tokens are running sums of masks."""
    for x in (reals(3, 7), np.array([[1, 1, 0], [0, 1, 1]])):
        inputs = (x, np.asarray(axis))

        compared(posed("CumSum", inputs, (1,), {"exclusive": 1, "reverse": axis}), inputs, target, tmp_path)


@ON_ENDS
def test_sequences_are_turned_natively(target: str, tmp_path: Path) -> None:
    """Rule: lengths may be fed."""
    inputs = (reals(4, 3, 5), np.array([0, 2, 4]))

    compared(posed("ReverseSequence", inputs, (), {}), inputs, target, tmp_path)


@ON_ENDS
@pytest.mark.parametrize("axis", [-1, 1])
def test_rows_are_divided_by_their_mean_square_natively(axis: int, target: str, tmp_path: Path) -> None:
    """Rule: no mean is taken off, there is no shift."""
    x = reals(2, 5, 37)
    inputs = (x, reals(*x.shape[axis:]))

    compared(posed("RMSNormalization", inputs, (1,), {"axis": axis, "epsilon": 1e-3}), inputs, target, tmp_path)


@ON_ENDS
@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_groups_are_normalised_natively(groups: int, target: str, tmp_path: Path) -> None:
    """Rule: from one group for all channels to one for each."""
    inputs = (reals(2, 6, 5, 7), reals(6), reals(6, low=-1))

    compared(posed("GroupNormalization", inputs, (1, 2), {"num_groups": groups}), inputs, target, tmp_path)


@ON_ENDS
@pytest.mark.parametrize(("equation", "shapes"), [
    ("ij,jk->ik", [(3, 4), (4, 5)]),
    ("bhqd,bhkd->bhqk", [(2, 3, 5, 4), (2, 3, 7, 4)]),
    ("bhqk,bkhd->bqhd", [(2, 3, 5, 7), (2, 7, 3, 4)]),
    ("...ij,...jk", [(2, 3, 4), (4, 5)]),
    ("bij,jk", [(2, 3, 4), (4, 5)]),
    ("i,j->ij", [(3,), (4,)]),
    ("i,i->", [(5,), (5,)]),
    ("i,i", [(5,), (5,)]),
    ("ij,ij->ij", [(3, 4), (3, 4)]),
    ("ij,ij->j", [(3, 4), (3, 4)]),
    ("ijk,k->ji", [(2, 3, 4), (4,)]),
    ("ij,kl->jk", [(2, 3), (4, 5)]),
    ("ij,jk->ik", [(3, 1), (4, 5)]),
    ("ij,jk,kl->il", [(3, 4), (4, 5), (5, 2)]),
    ("abcd,bc,de->ae", [(2, 3, 4, 5), (3, 4), (5, 2)]),
    ("ij->ji", [(3, 4)]),
    ("ij->ij", [(3, 4)]),
    ("ij->", [(3, 4)]),
    ("ijk->k", [(3, 4, 5)]),
    ("ii->i", [(4, 4)]),
    ("ii", [(4, 4)]),
    ("bii->b", [(2, 4, 4)]),
    ("iji,jk->k", [(3, 4, 3), (4, 5)]),
    ("...i->...", [(2, 3, 4)]),
])  # fmt: skip
def test_sums_over_labels_are_native(equation: str, shapes: list[tuple[int, ...]], target: str, tmp_path: Path) -> None:
    """Rule: products of matrices, outer products, sums, diagonals; any number of inputs, all of them computed."""
    inputs = tuple(reals(*shape, low=-1 - index) for index, shape in enumerate(shapes))

    compared(posed("Einsum", inputs, (), {"equation": equation}), inputs, target, tmp_path)


@ON_ENDS
@pytest.mark.parametrize("axes", [(0, 2, 3), (1,), (-1, -2)])
def test_means_and_deviations_are_native(axes: tuple[int, ...], target: str, tmp_path: Path) -> None:
    """Rule: over any axes."""
    inputs = (reals(2, 3, 5, 7),)

    compared(posed("MeanVarianceNormalization", inputs, (), {"axes": axes}), inputs, target, tmp_path)


@ON_ENDS
@pytest.mark.parametrize(("axis", "p"), [(-1, 2), (1, 1), (0, 2)])
def test_vectors_over_their_norm_are_native(axis: int, p: int, target: str, tmp_path: Path) -> None:
    """Rule: along any axis; a vector of zeros stays one."""
    x = reals(3, 4, 5)
    x[:, 1] = 0
    x[1] = 0

    compared(posed("LpNormalization", (x,), (), {"axis": axis, "p": p}), (x,), target, tmp_path)


@ON_ENDS
@pytest.mark.parametrize("attributes", [{}, {"axis": 0}, {"axis": 1, "coerced": 1}])
def test_the_winner_is_marked_natively(attributes: dict[str, int], target: str, tmp_path: Path) -> None:
    """Rule: 1 at the first of the largest."""
    inputs = (np.round(reals(3, 4, 5)),)

    compared(posed("Hardmax", inputs, (), attributes), inputs, target, tmp_path)


@ON_ENDS
@pytest.mark.parametrize("attributes", [{}, {"axis": 1}, {"axis": -1}])
def test_known_conditions_are_indices(attributes: dict[str, int], target: str, tmp_path: Path) -> None:
    """Rule: what a constant condition keeps is known before the run."""
    inputs = (reals(3, 4, 5), np.array([True, False, True]))

    compared(posed("Compress", inputs, (1,), attributes), inputs, target, tmp_path)


@ON_ENDS
@pytest.mark.parametrize("outputs", [("y",), ("", "y")])
@pytest.mark.parametrize("largest", [0, 1])
def test_either_half_of_top_k_may_be_left_out(
    outputs: tuple[str, ...], largest: int, target: str, tmp_path: Path
) -> None:
    """Rule: most models read values or positions, not both."""
    inputs = (reals(3, 40), np.asarray([5]))
    graph = posed("TopK", inputs, (1,), {"largest": largest})
    graph = replace(graph, nodes=(replace(graph.nodes[0], outputs=outputs),))

    compared(graph, inputs, target, tmp_path)


def test_a_pattern_of_a_known_shape_is_a_constant() -> None:
    """Rule: EyeLike reads nothing but the shape and type of its input."""
    after, _ = optimise(posed("EyeLike", (reals(3, 4),), (), {"k": 1}))

    assert [node.op for node in after.nodes] == ["Identity"]
    np.testing.assert_array_equal(after.constants[after.nodes[0].inputs[0]], np.eye(3, 4, 1, dtype=np.float32))


@pytest.mark.parametrize(("op", "inputs", "known"), [
    ("TopK", (reals(64, 50), np.asarray([9])), (1,)),
    ("ScatterND", (reals(9, 700), np.array([[1], [1], [8]]), reals(3, 700)), ()),
    ("ReduceSum", (reals(64, 70), np.asarray([1])), (1,)),
    ("LayerNormalization", (reals(64, 70), reals(70), reals(70, low=-1)), (1, 2)),
])  # fmt: skip
def test_sharing_the_work_changes_no_bit(
    op: str, inputs: tuple[Array, ...], known: tuple[int, ...], tmp_path: Path
) -> None:
    """Rule: units write different bytes, and each worker has working memory of its own."""
    graph = posed(op, inputs, known, {})
    plan = planned(graph)
    feeds = {value.name: inputs[int(value.name[1:])] for value in graph.inputs}

    alone, together = (results_of(plan, tmp_path, feeds, threads)["y"] for threads in (1, 3))

    assert alone.tobytes() == together.tobytes()
