"""Operators that draw random numbers: repeatable with a seed, new without, and distributed as asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from alula.base.errors import ShapeError
from alula.engine.graph.nodes import Array, Node
from alula.engine.operators.evaluate import evaluate

_MANY = 20_000


def _drawn(op: str, *inputs: Array, **attributes: Any) -> Array:
    names = tuple(f"x{index}" for index in range(len(inputs)))
    return evaluate(Node(op, names, ("y",), attributes), inputs)[0]


@pytest.mark.parametrize("op", ["RandomNormal", "RandomUniform"])
def test_a_seed_repeats_its_numbers(op: str) -> None:
    """The same model gives the same result at each run; another seed gives another one."""
    first = _drawn(op, shape=(50,), seed=7.0)

    assert np.array_equal(first, _drawn(op, shape=(50,), seed=7.0))
    assert not np.array_equal(first, _drawn(op, shape=(50,), seed=8.0))


def test_without_a_seed_every_run_draws_anew() -> None:
    """Two noises of one model are not the same noise."""
    assert not np.array_equal(_drawn("RandomNormal", shape=(50,)), _drawn("RandomNormal", shape=(50,)))


def test_normal_numbers_have_the_mean_and_the_deviation_asked_for() -> None:
    """Five standard errors of the mean, and as many of the deviation."""
    found = _drawn("RandomNormal", shape=(_MANY,), mean=3.0, scale=2.0, seed=1.0)

    assert abs(found.mean() - 3) < 5 * 2 / np.sqrt(_MANY)
    assert abs(found.std() - 2) < 5 * 2 / np.sqrt(2 * _MANY)


def test_uniform_numbers_fill_the_interval() -> None:
    """Nothing lies outside [low, high), and each quarter of it holds a quarter of the numbers."""
    found = _drawn("RandomUniformLike", np.zeros(_MANY, np.float32), low=-1.0, high=3.0, seed=1.0)

    counts, _ = np.histogram(found, bins=4, range=(-1, 3))
    assert counts.sum() == _MANY
    assert abs(counts / _MANY - 0.25).max() < 5 * np.sqrt(0.1875 / _MANY)


def test_bernoulli_follows_each_probability() -> None:
    """Elements of probability 0.2 and 0.9 come up that often."""
    chances = np.repeat(np.asarray([[0.2], [0.9]]), _MANY, 1)

    found = _drawn("Bernoulli", chances, seed=1.0, dtype=7)

    assert found.dtype == np.int64
    assert abs(found.mean(1) - [0.2, 0.9]).max() < 5 * np.sqrt(0.16 / _MANY)


def test_multinomial_draws_classes_by_weight() -> None:
    """Logarithms of weights 1 : 3 : 0 in one row, and a row of its own for the next."""
    with np.errstate(divide="ignore"):
        weights = np.log(np.asarray([[1.0, 3.0, 0.0], [0.0, 0.0, 5.0]]))

    found = _drawn("Multinomial", weights, sample_size=_MANY, seed=1.0)

    share = np.bincount(found[0], minlength=3) / _MANY
    assert abs(share - [0.25, 0.75, 0]).max() < 5 * np.sqrt(0.1875 / _MANY)
    assert set(found[1]) == {2}


def test_dropout_in_training_keeps_the_expectation() -> None:
    """What is kept grows by 1 / (1 - ratio), and the mask says what is kept."""
    node = Node("Dropout", ("x", "r", "t"), ("y", "mask"), {"seed": 1})
    ones = np.ones(_MANY, np.float32)

    y, mask = evaluate(node, [ones, np.asarray(0.75, np.float32), np.asarray([True])])

    assert set(np.unique(y)) == {0, 4}
    assert np.array_equal(y != 0, mask)
    assert abs(y.mean() - 1) < 5 * np.sqrt(3 / _MANY)


def test_a_ratio_that_leaves_nothing_is_refused() -> None:
    """A ratio of 1 would divide by zero."""
    node = Node("Dropout", ("x", "r", "t"), ("y",))

    with pytest.raises(ShapeError, match=r"ratio must be in \[0, 1\)"):
        evaluate(node, [np.ones(3, np.float32), np.asarray(1.0, np.float32), np.asarray([True])])
