"""Problems of operators on signals and tokens.

In: nothing. Out: `PROBLEMS`. Strings are held to the standard's own cases and to tests of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from support.problem import Problem, ints, number, positive, problem, reals, wholes


def _windows() -> list[Problem]:
    found = []
    for op in ("HannWindow", "HammingWindow", "BlackmanWindow"):
        found += [problem(op, number(size, np.int64), periodic=periodic) for size in (2, 9, 16) for periodic in (0, 1)]
        found.append(problem(op, number(7, np.int32), output_datatype=11))
    bins = (number(8, np.int64), number(32, np.int64), number(8192, np.int64))
    return [
        *found,
        problem("MelWeightMatrix", *bins, number(0.0), number(4096.0)),
        problem("MelWeightMatrix", *bins, number(100.0), number(2000.0), output_datatype=11, judge="ort"),
        problem("MelWeightMatrix", number(40, np.int64), number(16, np.int64), number(16000, np.int64), number(20.0),
                number(8000.0)),
    ]  # fmt: skip


def _transforms() -> list[Problem]:
    real, double = reals(2, 10, 3, 1), reals(2, 10, 3, 2)
    found = []
    for signal in (real, double):
        found += [
            problem("DFT", signal, None, number(1, np.int64)),
            problem("DFT", signal),
            problem("DFT", signal, number(7, np.int64), number(-3, np.int64)),
            problem("DFT", signal, number(16, np.int64), number(1, np.int64)),
            problem("DFT", signal, opset=17),
            problem("DFT", signal, axis=2, opset=19),
        ]
    return [
        *found,
        problem("DFT", double, None, number(1, np.int64), inverse=1),
        problem("DFT", real, None, number(1, np.int64), onesided=1),
        problem("DFT", reals(2, 9, 1), number(5, np.int64), onesided=1),
        problem("DFT", double, None, number(1, np.int64), onesided=1, inverse=1),
        problem("DFT", double, number(11, np.int64), number(1, np.int64), onesided=1, inverse=1),
        problem("STFT", reals(1, 20, 1), number(4, np.int64), positive(8)),
        problem("STFT", reals(2, 21, 1), number(5, np.int64), None, number(6, np.int64)),
        problem("STFT", reals(2, 21, 1), number(3, np.int64), positive(7), number(7, np.int64), onesided=0),
        problem("STFT", reals(2, 16, 2), number(8, np.int64), positive(8), onesided=0, judge="onnx"),
    ]


def _tokens() -> list[Problem]:
    pool: dict[str, Any] = {"ngram_counts": (0, 4), "ngram_indexes": (0, 1, 2, 3, 4, 5, 6),
                            "pool_int64s": (2, 3, 5, 4, 5, 6, 7, 8, 6, 7)}  # fmt: skip
    row, rows = ints(1, 1, 3, 3, 3, 7, 8, 6, 7, 5, 6, 8), np.asarray([[1, 1, 3, 3, 3, 7], [8, 6, 7, 5, 6, 8]])
    grams: dict[str, Any] = {"min_gram_length": 1, "max_gram_length": 2, "max_skip_count": 0}
    weights = tuple(0.5 * index for index in range(7))
    return [
        problem("TfIdfVectorizer", row, mode="TF", **grams, **pool),
        problem("TfIdfVectorizer", rows, mode="TF", **{**grams, "max_skip_count": 3}, **pool),
        problem("TfIdfVectorizer", rows, mode="TF", **{**grams, "min_gram_length": 2}, **pool),
        problem("TfIdfVectorizer", rows, mode="IDF", **grams, **pool, judge="ort"),
        problem("TfIdfVectorizer", rows, mode="IDF", weights=weights, **grams, **pool),
        problem("TfIdfVectorizer", rows.astype(np.int32), mode="TFIDF", weights=weights, **grams, **pool, judge="ort"),
        problem("TfIdfVectorizer", wholes(1), mode="TF", **grams, **pool, judge="ort"),
    ]


PROBLEMS: Sequence[Problem] = (*_windows(), *_transforms(), *_tokens())
