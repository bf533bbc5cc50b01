"""Problems of operators that sum or draw over axes: reductions, norms, p-norm pools, statistics, random numbers.

In: nothing. Out: `PROBLEMS`. Random operators are posed where chance has no say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

from support.problem import X3, X4, Problem, bools, floats, ints, number, positive, problem, reals, wholes

_SUMS = ("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp")


def _reductions() -> list[Problem]:
    x, found = positive(3, 4, 5), []
    for op in _SUMS:
        found += [
            problem(op, x),
            problem(op, x, ints(1)),
            problem(op, x, ints(-1, 0), keepdims=0),
            problem(op, x, noop_with_empty_axes=1),
            problem(op, x, ints(), keepdims=0),
            problem(op, x, axes=(0, 2), opset=13),
            problem(op, x, axes=(-1,), keepdims=0, opset=11),
            problem(op, reals(2, 0, 3), ints(1)),
            problem(op, reals(2, 0, 3), ints(1), keepdims=0),
            problem(op, number(2.5), keepdims=0, judge="ort"),
            problem(op, x.astype(np.float64), ints(2, 0)),
        ]
    large = floats(-np.inf, -1e3, 1e3, 88.0)
    found += [problem(op, wholes(3, 4), ints(1), judge="ort") for op in ("ReduceL1", "ReduceSumSquare", "ReduceMean")]
    found += [problem(op, bools(3, 4), ints(0), opset=20) for op in ("ReduceMax", "ReduceMin")]
    half = reals(4, 9).astype(ml_dtypes.bfloat16)
    found += [problem(op, half, ints(0)) for op in ("ReduceMax", "ReduceMin")]
    return [
        *found,
        problem("ReduceL2", np.asarray([[3, 4], [5, 12]], np.int32), ints(1)),
        problem("ReduceLogSumExp", np.stack([large, large[::-1]]), ints(1), judge="ort"),
        problem("ReduceLogSumExp", np.full((2, 3), -np.inf, np.float32), ints(1), judge="ort"),
        problem("ReduceProd", reals(2, 0), ints(1)),
    ]


def _norms() -> list[Problem]:
    ties = np.asarray([[3, 1, 3, 2], [5, 5, 0, 5]], np.float32)
    zeros = np.concatenate([np.zeros((1, 4), np.float32), positive(2, 4)])
    return [
        *(problem("LpNormalization", positive(3, 4, 5), axis=axis, p=p) for axis in (-1, 1) for p in (1, 2)),
        problem("LpNormalization", X3, axis=0, p=1, opset=1, judge="ort"),
        problem("LpNormalization", zeros),
        problem("MeanVarianceNormalization", X4),
        problem("MeanVarianceNormalization", X3, axes=(0, 2), opset=9),
        *(problem("Hardmax", X3, axis=axis) for axis in (0, 1, -1)),
        problem("Hardmax", ties),
        problem("Hardmax", X3, axis=1, opset=11, judge="ort"),
        problem("Hardmax", X3, opset=1, judge="ort"),
        problem("Hardmax", ties.astype(np.float16)),
    ]


def _pools() -> list[Problem]:
    wide: dict[str, Any] = {"kernel_shape": (3, 2), "strides": (2, 1), "pads": (1, 0, 2, 1)}
    return [
        problem("LpPool", X4, kernel_shape=(2, 3), judge="ort"),
        problem("LpPool", X4, p=1, judge="ort", **wide),
        problem("LpPool", X4, p=3, judge="ort", **wide),
        problem("LpPool", X4, kernel_shape=(3, 3), auto_pad="SAME_LOWER", strides=(2, 2), judge="ort"),
        problem("LpPool", X4, kernel_shape=(2, 2), dilations=(2, 3), judge="ort"),
        problem("LpPool", X3, kernel_shape=(4,), opset=11, judge="ort"),
        problem("GlobalLpPool", X4, opset=21, judge="ort"),
        problem("GlobalLpPool", X3, p=3, opset=2, judge="ort"),
    ]


def _statistics() -> list[Problem]:
    rest = (positive(4), reals(4), reals(4) * 2, positive(4) + 1)
    return [
        problem("BatchNormalization", X4, *rest, training_mode=1, outputs=3, opset=15),
        problem("BatchNormalization", X4, *rest, training_mode=1, momentum=0.3, epsilon=0.1, outputs=3, opset=14),
        problem("BatchNormalization", X4, *rest, training_mode=1, opset=15),
    ]


def _chance() -> list[Problem]:
    sides = floats(0.0, 1.0, 1.0, 0.0)
    return [
        problem("Dropout", X3, number(0.0), number(1, np.bool_), outputs=2),
        problem("Bernoulli", sides),
        problem("Bernoulli", sides.astype(np.float64), dtype=9, opset=15),
        problem("RandomNormal", shape=(2, 3), mean=3.0, scale=0.0),
        problem("RandomNormal", shape=(4,), scale=0.0, dtype=11, seed=3.0, opset=1),
        problem("RandomNormalLike", X3, mean=3.0, scale=0.0),
        problem("RandomNormalLike", wholes(3), mean=3.0, scale=0.0, dtype=1),
        problem("RandomUniform", shape=(2, 3), low=3.0, high=3.0),
        problem("RandomUniformLike", X3, low=3.0, high=3.0, dtype=10),
        problem("Multinomial", reals(3, 1), sample_size=4, opset=21, judge="ort"),
        problem("Multinomial", reals(3, 1), sample_size=2, dtype=7, seed=1.0, opset=7, judge="ort"),
    ]


PROBLEMS: Sequence[Problem] = (*_reductions(), *_norms(), *_pools(), *_statistics(), *_chance())
