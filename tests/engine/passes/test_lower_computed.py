"""Tests of operators whose parameters are computed at run time: they become nodes that have kernels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.pass_graphs import Array
from support.planned import assert_close, planned, results_of
from support.plans import RUNNABLE
from support.problem import positive, reals

from alula.base.tensors import DType
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Node, Value
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.plan.records import HostStep
from alula.engine.sessions.reference import prepare_reference

_PICTURE = reals(2, 6, 9, 8)


def _agrees(op: str, arrays: list[Array], folder: Path, fixed: tuple[int, ...] = (), **attributes: Any) -> None:
    """One node between two others; all inputs are fed but those that are `fixed`. No step may be the reference's."""
    names = [f"x{index}" for index in range(len(arrays))]
    feeds = {name: array for index, (name, array) in enumerate(zip(names, arrays, strict=True)) if index not in fixed}
    inputs = tuple(Value(name, DType(array.dtype.name), array.shape) for name, array in feeds.items())
    nodes = (
        Node("Neg", ("x0",), ("first",)),
        Node(op, ("first", *names[1:]), ("y",), attributes, "heart"),
        Node("Abs", ("y",), ("last",)),
    )
    constants = {name: array for name, array in zip(names, arrays, strict=True) if name not in feeds}
    graph = Graph("computed", nodes, inputs, ("last",), constants, {v.name: v for v in inputs}, {"": 24})
    wanted = evaluate_graph(prepare_reference(graph), feeds)
    for target in {RUNNABLE[0].name: RUNNABLE[0], RUNNABLE[-1].name: RUNNABLE[-1]}.values():
        plan = planned(graph, target)
        assert [step.label for step in plan.steps if isinstance(step, HostStep)] == []
        assert_close(results_of(plan, folder, feeds), wanted)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("shape", "attributes"),
    [
        ((5, 6, 1, 1), {}),
        ((5, 6, 1, 1), {"strides": (2, 3)}),
        ((5, 6, 3, 3), {"pads": (1, 1, 1, 1)}),
        ((5, 6, 3, 2), {"strides": (2, 1), "pads": (0, 1, 2, 0), "dilations": (2, 3)}),
        ((4, 3, 3, 3), {"group": 2}),
        ((12, 1, 3, 3), {"group": 6, "pads": (1, 1, 1, 1)}),
        ((5, 6, 3, 3), {"auto_pad": "SAME_UPPER", "strides": (2, 2)}),
    ],
    ids=["pixels", "pixels apart", "window", "everything", "groups", "depthwise", "words"],
)
def test_weights_and_bias_may_be_computed(
    shape: tuple[int, ...], attributes: dict[str, Any], dtype: type, tmp_path: Path
) -> None:
    """Dynamic filters, as style transfer and conditional convolutions have them."""
    arrays: list[Array] = [one.astype(dtype) for one in (_PICTURE, reals(*shape), reals(shape[0]))]

    _agrees("Conv", arrays, tmp_path, **attributes)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lines_and_volumes_too(dtype: type, tmp_path: Path) -> None:
    """Rule: over any number of axes."""
    for x, w in (((2, 3, 9), (4, 3, 4)), ((1, 2, 5, 6, 4), (3, 2, 2, 3, 2))):
        _agrees("Conv", [reals(*x).astype(dtype), reals(*w).astype(dtype)], tmp_path)


def test_only_the_bias_may_be_computed(tmp_path: Path) -> None:
    """Rule: constant weights keep their kernels."""
    _agrees("Conv", [_PICTURE, reals(5, 6, 3, 3), reals(5)], tmp_path, fixed=(1,), pads=(1, 1, 1, 1))


def test_weights_of_64_bits_may_be_constant(tmp_path: Path) -> None:
    """Rule: float64 runs too, slower."""
    arrays = [one.astype(np.float64) for one in (_PICTURE, reals(4, 3, 3, 3), reals(4))]

    _agrees("Conv", arrays, tmp_path, fixed=(1, 2), group=2, strides=(2, 1))


@pytest.mark.parametrize("fixed", [(), (1,), (2,)], ids=["all computed", "bias computed", "weights computed"])
@pytest.mark.parametrize(
    "attributes", [{}, {"strides": (2, 3), "pads": (1, 0, 2, 1), "group": 2}], ids=["plain", "strides"]
)
def test_transposed_convolutions_too(attributes: dict[str, Any], fixed: tuple[int, ...], tmp_path: Path) -> None:
    """Rule: as convolutions."""
    bias = reals(8 if "group" in attributes else 4)

    _agrees("ConvTranspose", [_PICTURE, reals(6, 4, 3, 2), bias], tmp_path, fixed=fixed, **attributes)


@pytest.mark.parametrize("shape", [(2, 6, 9, 8), (3, 6), (2, 6, 5)], ids=str)
def test_parameters_of_batch_norms_may_be_computed(shape: tuple[int, ...], tmp_path: Path) -> None:
    """Conditional normalisation: scale and shift come from another network."""
    parameters = [reals(6), reals(6, low=-1), reals(6, low=-2), positive(6)]

    _agrees("BatchNormalization", [reals(*shape), *parameters], tmp_path, epsilon=0.01)


def test_indices_and_starts_may_be_computed(tmp_path: Path) -> None:
    """Rule: what says where elements go may come from the run."""
    pooled, places = reals(1, 2, 2, 2), np.asarray([5, 7, 13, 15, 16, 18, 30, 31]).reshape(1, 2, 2, 2)

    _agrees("MaxUnpool", [pooled, places], tmp_path, kernel_shape=(2, 2), strides=(2, 2))
    _agrees("TensorScatter", [reals(2, 3, 6, 2), reals(2, 3, 2, 2), np.asarray([1, 4])], tmp_path)
    _agrees("TensorScatter", [reals(2, 3, 6, 2), reals(2, 3, 2, 2), np.asarray([5, 3])], tmp_path, mode="circular")
