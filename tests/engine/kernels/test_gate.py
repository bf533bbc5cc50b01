"""The gate of squeeze-and-excitation, against float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
from support.kernels import run_kernel, targets_here, undefined_symbols
from support.pass_graphs import Array

from alula.engine.graph.formula import Formula, FormulaBuilder
from alula.engine.kernels.gate import Gate, pack_gate
from alula.engine.kernels.target import Target

ON_ALL = pytest.mark.parametrize("target", targets_here(), ids=lambda t: t.name)
_BLOCKED = pytest.mark.parametrize("blocked", [True, False], ids=["blocks", "rows"])


def _relu() -> Formula:
    b = FormulaBuilder(1)
    b.max(b.arguments()[0], 0.0)
    return b.build()


def _sigmoid() -> Formula:
    b = FormulaBuilder(1)
    b.div(1.0, b.add(b.exp(b.neg(b.arguments()[0])), 1.0))
    return b.build()


def _stored(x: Array, lanes: int, *, blocked: bool, filler: float) -> Array:
    """Rows as they stand in memory; `filler` is what nobody may use."""
    count = math.ceil(x.shape[1] / lanes) * lanes - x.shape[1] if blocked else 0
    return np.pad(x, ((0, 0), (0, count)), constant_values=filler)


def _results(x: Array, matrices: tuple[Array, ...], target: Target, *, blocked: bool, pieces: int) -> Array:
    w1, b1, w2, b2 = matrices
    kernel = Gate(x.shape[1], len(w1), len(w2), _relu(), _sigmoid(), target.lanes, len(x), blocked)
    packed = pack_gate(w1, b1, target.lanes), pack_gate(w2, b2, target.lanes)
    y = _stored(np.full((len(x), len(w2)), np.nan, np.float32), target.lanes, blocked=blocked, filler=np.nan)
    run_kernel(kernel, target, [_stored(x, target.lanes, blocked=blocked, filler=np.nan), *packed], [y], pieces=pieces)
    return y[:, : len(w2)]


def _problem(batch: int, channels: int, hidden: int, outputs: int) -> tuple[Array, tuple[Array, ...]]:
    random = np.random.default_rng(7)
    shapes = (batch, channels), (hidden, channels), (hidden,), (outputs, hidden), (outputs,)
    x, *matrices = (random.standard_normal(shape).astype(np.float32) for shape in shapes)
    return x, tuple(matrices)


@ON_ALL
@_BLOCKED
@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (1, 16, 8, 16), (2, 17, 3, 33), (3, 40, 10, 40), (1, 72, 24, 100)])
def test_results_agree_with_the_definition(sizes: tuple[int, int, int, int], blocked: bool, target: Target) -> None:  # noqa: FBT001  a parameter
    """Rule: any number of channels, hidden or given out, for each image by itself."""
    x, (w1, b1, w2, b2) = _problem(*sizes)
    wide = x.astype(np.float64)

    got = _results(x, (w1, b1, w2, b2), target, blocked=blocked, pieces=1)

    wanted = 1 / (1 + np.exp(-(np.maximum(wide @ w1.T + b1, 0) @ w2.T + b2)))
    np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=1e-6)


@ON_ALL
@_BLOCKED
def test_workers_give_the_bits_of_one(blocked: bool, target: Target) -> None:  # noqa: FBT001  a parameter
    """Rule: however the outputs of several images are shared, each number comes from the same sums."""
    x, matrices = _problem(3, 37, 9, 75)
    whole = _results(x, matrices, target, blocked=blocked, pieces=1)

    shared = _results(x, matrices, target, blocked=blocked, pieces=5)

    assert shared.tobytes() == whole.tobytes()


@ON_ALL
def test_a_nan_stays_in_its_image(target: Target) -> None:
    """Rule: images share weights and nothing else; relu and sigmoid hand NaN on."""
    x, matrices = _problem(2, 20, 4, 20)
    x[0, 3] = np.nan

    got = _results(x, matrices, target, blocked=True, pieces=2)

    assert (np.isnan(got[0]).all(), np.isnan(got[1]).any()) == (True, False)


def test_a_matrix_is_packed_behind_its_bias() -> None:
    """Rule: one vector of rows after another, the bias in front, zeros where rows are missing."""
    packed = pack_gate(np.arange(6, dtype=np.float32).reshape(3, 2), np.array([7, 8, 9], np.float32), 2)

    assert packed.tolist() == [[[7, 8], [0, 2], [1, 3]], [[9, 0], [4, 0], [5, 0]]]


@ON_ALL
def test_nothing_is_left_to_link(target: Target) -> None:
    """Rule: a kernel calls nothing outside itself."""
    kernel = Gate(20, 5, 20, _relu(), _sigmoid(), target.lanes, 2, blocked=False)

    assert undefined_symbols(kernel, target) == set()
