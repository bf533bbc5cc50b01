"""Problems of operators on indices and positions: gathering, scattering, finding, running sums, patterns, losses.

In: nothing. Out: `PROBLEMS`.
"""

from __future__ import annotations

from collections.abc import Sequence

import ml_dtypes
import numpy as np

from alula.engine.graph.nodes import Array
from support.problem import X3, X4, Problem, bools, floats, ints, number, positive, problem, reals, wholes


def _rows(*rows: Sequence[int]) -> Array:
    return np.asarray(rows, np.int64)


def _indices(most: int, *shape: int) -> Array:
    """Numbers in [-most, most), from both ends."""
    return np.random.default_rng(most).integers(-most, most, shape)


def _gathers() -> list[Problem]:
    found = [problem("GatherElements", X3, _indices(X3.shape[axis], 2, 3, 7), axis=axis) for axis in (0, 1, -1)]
    deep = np.random.default_rng(3).integers(0, 2, (2, 3, 2))
    return [
        *found,
        problem("GatherElements", X3, _indices(3, 2, 5, 7), axis=1, opset=11),
        problem("GatherElements", X3, _indices(3, 1, 2, 4), axis=1, judge="ort"),
        problem("GatherElements", X3, np.zeros((2, 0, 7), np.int64), axis=1),
        problem("GatherElements", wholes(5), np.asarray([4, -5, 0], np.int32)),
        problem("GatherND", X3, _rows([0, 2], [1, -3])),
        problem("GatherND", X3, _rows([0, 2, 6], [1, -3, -7])),
        problem("GatherND", X3, _rows([1], [0], [-1]), opset=11),
        problem("GatherND", X4, _indices(4, 2, 3, 1), batch_dims=1),
        problem("GatherND", reals(2, 3, 2, 2), deep, batch_dims=2, judge="ort"),
        problem("GatherND", reals(2, 3, 4), _indices(3, 2, 5, 1), batch_dims=1, opset=12),
        problem("GatherND", X3, np.zeros((0, 2), np.int64)),
    ]


def _scatters() -> list[Problem]:
    found = []
    for reduction in ("none", "add", "mul", "max", "min"):
        places = np.asarray([[0, 1, 2], [2, 0, 1]]) if reduction == "none" else np.asarray([[0, 1, 2], [0, 0, -3]])
        found += [
            problem("ScatterElements", reals(4, 3), places, reals(2, 3), reduction=reduction),
            problem("ScatterElements", wholes(4, 3), places, wholes(2, 3), axis=1, reduction=reduction),
        ]
        rows = _rows([1, 0], [0, 2]) if reduction == "none" else _rows([1, 0], [0, -1], [1, 0])
        found += [
            problem("ScatterND", reals(2, 3, 4), rows, reals(len(rows), 4), reduction=reduction),
            problem("ScatterND", wholes(2, 3), rows, wholes(len(rows)), reduction=reduction),
        ]
    cache, update = reals(2, 3, 6, 2), reals(2, 3, 2, 2)
    half = reals(3, 4).astype(ml_dtypes.bfloat16)
    return [
        *found,
        problem("ScatterElements", X3, _indices(3, 2, 1, 7), reals(2, 1, 7), axis=-2, opset=13),
        problem("ScatterElements", half, np.asarray([[1, 1, 1, 1]]), half[:1], reduction="add", axis=0),
        problem("Scatter", reals(3, 3), _rows([1, 0, 2], [0, 2, 1]), reals(2, 3), opset=9, judge="ort"),
        problem("Scatter", reals(1, 5), _rows([1, 3]), reals(1, 2), axis=1, opset=10, judge="ort"),
        problem("ScatterND", X3, _rows([1]), reals(1, 3, 7), opset=11),
        problem("ScatterND", X3, np.zeros((0, 1), np.int64), reals(0, 3, 7)),
        problem("TensorScatter", cache, update, opset=24),
        problem("TensorScatter", cache, update, ints(1, 4), opset=24),
        problem("TensorScatter", cache, update, ints(5, 4), mode="circular", opset=24),
        problem("TensorScatter", cache, reals(2, 1, 6, 2), ints(2, 0), axis=1, opset=24),
    ]


def _searches() -> list[Problem]:
    holes = np.where(bools(3, 4), reals(3, 4), np.float32(0))
    repeated = np.asarray([[2, 1, 2], [1, 1, 3], [2, 1, 2]], np.float32)
    found = []
    for order in (0, 1):
        found += [
            problem("Unique", repeated, sorted=order, outputs=4, judge="ort"),
            problem("Unique", repeated, sorted=order, axis=0, outputs=4, judge="ort"),
            problem("Unique", repeated, sorted=order, axis=-1, outputs=4, opset=11, judge="ort"),
        ]
    return [
        *found,
        problem("Unique", wholes(3, 4).astype(np.int64)),
        problem("Unique", reals(0)),
        problem("NonZero", holes),
        problem("NonZero", holes > 0, opset=9),
        problem("NonZero", np.asarray([0, 3, 0, -1], np.int64)),
        problem("NonZero", reals(2, 0)),
        problem("NonZero", number(3.0), judge="ort"),
        problem("Compress", X3, np.asarray([False, True, True]), axis=1),
        problem("Compress", X3, np.asarray([True, False, True]), axis=-1),
        problem("Compress", X3, np.asarray([True, False, True]), opset=9),
        problem("Compress", wholes(4), np.asarray([False, False])),
    ]


def _runs() -> list[Problem]:
    found = []
    for op, opset in (("CumSum", 14), ("CumProd", 26)):
        found += [
            *(problem(op, X3, number(1, np.int64), exclusive=exclusive, reverse=reverse, opset=opset)
              for exclusive in (0, 1) for reverse in (0, 1)),
            problem(op, wholes(3, 4), number(-1, np.int32), opset=opset),
            problem(op, reals(0, 3), number(0, np.int64), opset=opset),
        ]  # fmt: skip
    return [
        *found,
        problem("CumSum", X3, ints(2), opset=11, judge="ort"),
        problem("ReverseSequence", X3, ints(1, 2, 2)),
        problem("ReverseSequence", X3, ints(3, 0), batch_axis=0, time_axis=1, opset=10),
        problem("ReverseSequence", wholes(4, 4), ints(1, 2, 3, 4)),
    ]


def _patterns() -> list[Problem]:
    places, values = np.asarray([[1, -2], [5, -6], [0, 4]]), floats(0.5, 3.0)
    found = [problem("OneHot", places, number(5, np.int64), values, axis=axis) for axis in (-1, 0, 1)]
    found += [problem("Trilu", X4, *([] if k is None else [number(k, np.int64)]), upper=upper)
              for k in (None, 0, 2, -3, 20) for upper in (0, 1)]  # fmt: skip
    found += [problem("EyeLike", wholes(3, 5), k=k) for k in (0, 2, -1, 9)]
    return [
        *found,
        problem("OneHot", floats(1, 0), floats(3), floats(1, 0), opset=9, judge="ort"),
        problem("Trilu", bools(3, 3)),
        problem("Trilu", reals(2, 0, 3)),
        problem("EyeLike", reals(3, 3), dtype=7, opset=9),
    ]


def _contractions() -> list[Problem]:
    a, b, square = reals(2, 3, 4), reals(2, 4, 5), reals(3, 3)
    equations: tuple[tuple[str, tuple[Array, ...]], ...] = (
        ("bij,bjk->bik", (a, b)), ("bij, bjk", (a, b)), ("...ij,...jk->...ik", (a, b)), ("ii", (square,)),
        ("ii->i", (square,)), ("ij->ji", (square,)), ("i,i", (reals(4), reals(4))), ("i,j->ij", (reals(4), reals(3))),
        ("...ii->...i", (reals(2, 3, 3),)), ("bij,jk,kl->bil", (a, reals(4, 2), reals(2, 3))), ("ij->", (square,)),
        ("...a,...b->...ab", (reals(3, 2), reals(1, 4))), ("ba", (reals(2, 3),)), ("i...->...", (a,)),
    )  # fmt: skip
    found = [problem("Einsum", *arrays, equation=equation) for equation, arrays in equations]
    return [
        *found,
        problem("Einsum", wholes(2, 3), wholes(3, 2), equation="ij,jk->ik", opset=12),
        problem("Einsum", reals(0, 3), reals(3, 2), equation="ij,jk->ik"),
        problem("Det", square),
        problem("Det", reals(2, 1, 3, 3), opset=11),
        problem("Det", square.astype(np.float64)),
    ]


def _losses() -> list[Problem]:
    classes, maps = np.asarray([0, 2, 1]), np.random.default_rng(5).integers(0, 4, (2, 9, 8))
    found = []
    for op in ("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"):
        for reduction in ("none", "sum", "mean"):
            found += [
                problem(op, reals(3, 4), classes, reduction=reduction),
                problem(op, X4, maps, positive(4), reduction=reduction, ignore_index=2, opset=13),
                problem(op, X4, maps, reduction=reduction, ignore_index=1, opset=12),
            ]
        found.append(problem(op, reals(3, 4), np.asarray([0, -7, 1]), ignore_index=-7))
    return [
        *found,
        problem("SoftmaxCrossEntropyLoss", X4, maps, positive(4), outputs=2),
        problem("SoftmaxCrossEntropyLoss", X4, maps, reduction="none", outputs=2),
    ]


PROBLEMS: Sequence[Problem] = (
    *_gathers(), *_scatters(), *_searches(), *_runs(), *_patterns(), *_contractions(), *_losses(),
)  # fmt: skip
