"""Frequencies of n-grams.

In: tokens [C] or [N, C], strings or integers. Out: float32 [columns] or [N, columns].
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import Shape, static
from alula.engine.graph.nodes import Array
from alula.engine.operators.common import Mismatch, Refusal, show
from alula.engine.operators.record import REQUIRED, Inference, Inferred, Operator
from alula.engine.operators.text import texts_of

_MODES = ("TF", "IDF", "TFIDF")
Gram = tuple[Hashable, ...]


def _pool(attributes: Mapping[str, Any]) -> dict[Gram, int]:
    """The column of each n-gram; `ngram_counts` says where in the pool those of 1, 2, ... tokens begin."""
    words: Sequence[Hashable] = attributes["pool_strings"] or attributes["pool_int64s"] or ()
    columns, starts = iter(attributes["ngram_indexes"]), attributes["ngram_counts"]
    pool: dict[Gram, int] = {}
    for size, (first, last) in enumerate(zip(starts, (*starts[1:], len(words)), strict=True), 1):
        if not 0 <= first <= last <= len(words) or (last - first) % size:
            raise Mismatch("ngram_counts must cut the pool into n-grams", f"they are {list(starts)} of {len(words)}")
        for at in range(first, last, size):
            pool[tuple(words[at : at + size])] = next(columns, -1)
    if any(column < 0 for column in pool.values()):
        raise Mismatch("ngram_indexes must name a column for each n-gram", f"there are {len(pool)} n-grams")
    return pool


def _counts(tokens: Sequence[Hashable], pool: Mapping[Gram, int], attributes: Mapping[str, Any]) -> Array:
    """How often each column's n-grams stand in a row, with 0 to `max_skip_count` tokens left out between two."""
    counts = np.zeros(_columns(attributes), np.int64)
    # No other lengths stand in the pool, whatever the attributes claim.
    sizes = sorted({len(gram) for gram in pool})
    for size in (n for n in sizes if attributes["min_gram_length"] <= n <= attributes["max_gram_length"]):
        for stride in range(1, (attributes["max_skip_count"] if size > 1 else 0) + 2):
            reach = stride * (size - 1) + 1
            if reach > len(tokens):
                break
            for at in range(len(tokens) - reach + 1):
                column = pool.get(tuple(tokens[at : at + reach : stride]))
                if column is not None:
                    counts[column] += 1
    return counts


def _columns(attributes: Mapping[str, Any]) -> int:
    return max(attributes["ngram_indexes"], default=-1) + 1


def tf_idf(x: Array, **attributes: Any) -> Array:
    """Counts (TF), weights of what is there (IDF), or both multiplied (TFIDF); without weights, all weigh 1."""
    mode, weights = attributes["mode"], attributes["weights"]
    if mode not in _MODES:
        raise Refusal(f"mode must be one of {', '.join(_MODES)}", f"it is {mode}")
    shape = _output_shape(x.shape, attributes)
    pool = _pool(attributes)
    tokens = texts_of(x) if x.dtype.kind in "OSU" else x
    rows = tokens.reshape(-1, x.shape[-1] if x.ndim else 1).tolist()
    counts = np.asarray([_counts(row, pool, attributes) for row in rows], np.float32).reshape(static(shape))
    weight = np.ones(counts.shape[-1], np.float32) if not weights or mode == "TF" else np.asarray(weights, np.float32)
    y = (counts > 0) * weight if mode == "IDF" else counts * weight
    return np.asarray(y, np.float32)


def _output_shape(x: Shape, attributes: Mapping[str, Any]) -> Shape:
    if len(x) > 2:  # noqa: PLR2004  batch and tokens
        raise Mismatch("tokens must be [C] or [N, C]", f"they are {show(x)}")
    return (*x[:-1], _columns(attributes))


def _infer_tf_idf(at: Inference) -> Inferred:
    return [(DType.FLOAT32, _output_shape(at.shape(0), at.attributes))]


TF_IDF = Operator(
    name="TfIdfVectorizer",
    since=(9,),
    inputs=("x",),
    attributes=MappingProxyType({
        "max_gram_length": REQUIRED, "max_skip_count": REQUIRED, "min_gram_length": REQUIRED, "mode": REQUIRED,
        "ngram_counts": REQUIRED, "ngram_indexes": REQUIRED, "pool_int64s": None, "pool_strings": None, "weights": None,
    }),
    infer=_infer_tf_idf,
    reference=tf_idf,
    summary="How often n-grams stand in rows of tokens, counted or weighted.",
)  # fmt: skip

OPERATORS = (TF_IDF,)
