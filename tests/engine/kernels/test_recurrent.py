"""Recurrent steps against the references of their cells."""

from __future__ import annotations

import numpy as np
import pytest
from support.kernels import run_kernel, targets_here, undefined_symbols

from alula.engine.kernels.recurrent import GATES, Recurrence, pack_recurrence, tile_width
from alula.engine.kernels.target import Target
from alula.engine.operators.recurrent import recurrent_core

ON_ALL = pytest.mark.parametrize("target", targets_here(), ids=lambda t: t.name)
KINDS = [("RNN", False), ("GRU", False), ("GRU", True), ("LSTM", False)]


def _numbers(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.8, 0.8, shape).astype(np.float32)


def _both(kernel: Recurrence, target: Target, pieces: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What the kernel gives, and what the reference does."""
    hidden, states = kernel.hidden, 2 if kernel.kind == "LSTM" else 1
    gates = 2 * _numbers(1, kernel.steps, kernel.batch, GATES[kernel.kind] * hidden)
    # As trained weights are scaled: larger ones let rounding errors grow from step to step.
    r = np.asarray(_numbers(2, GATES[kernel.kind] * hidden, hidden) / np.sqrt(hidden), np.float32)
    bias = np.zeros(GATES[kernel.kind] * hidden, np.float32)
    if kernel.reset_after:
        bias[2 * hidden :] = _numbers(3, hidden)
    first = [_numbers(4 + index, kernel.batch, hidden) for index in range(states)]
    found = [np.full((kernel.steps, kernel.batch, hidden), -9, np.float32)]
    found += [np.full((kernel.batch, hidden), -9, np.float32) for _ in range(states)]
    biases = [bias[2 * hidden :].copy()] * kernel.reset_after
    reads = [gates, *first, pack_recurrence(r, kernel.kind, kernel.width), *biases]
    run_kernel(kernel, target, reads, found, pieces=pieces)
    wanted = recurrent_core(
        gates.astype(np.float64), r.astype(np.float64), bias.astype(np.float64), *(x.astype(np.float64) for x in first),
        kind=kernel.kind, backward=int(kernel.backward), linear_before_reset=int(kernel.reset_after),
    )  # fmt: skip
    return found, list(wanted)


@ON_ALL
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("hidden", [1, 7, 16, 33, 64, 130])
@pytest.mark.parametrize(("kind", "after"), KINDS)
def test_steps_agree_with_the_reference(kind: str, after: bool, hidden: int, backward: bool, target: Target) -> None:  # noqa: FBT001
    """Rule: tiles that are full, and one that is not; both directions; the last states are those of the last step."""
    kernel = Recurrence(kind, 4, 3, hidden, tile_width(kind, target.lanes), backward, after)

    found, wanted = _both(kernel, target, pieces=2)

    for got, want in zip(found, wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-6)


@ON_ALL
@pytest.mark.parametrize(("kind", "after"), KINDS)
def test_one_step_reads_the_first_state_only(kind: str, after: bool, target: Target) -> None:  # noqa: FBT001
    """Rule: before the first step there is no row of the output to read."""
    kernel = Recurrence(kind, 1, 1, 20, tile_width(kind, target.lanes), reset_after=after)

    found, wanted = _both(kernel, target, pieces=1)

    for got, want in zip(found, wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-6)


@ON_ALL
@pytest.mark.parametrize(("kind", "after"), KINDS)
def test_nothing_is_left_for_a_linker(kind: str, after: bool, target: Target) -> None:  # noqa: FBT001
    """Rule: the code calls nothing outside of itself."""
    kernel = Recurrence(kind, 3, 2, 40, tile_width(kind, target.lanes), reset_after=after)

    assert undefined_symbols(kernel, target) == set()
