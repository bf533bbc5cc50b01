"""Strings: joining, splitting, normalising, matching.

In: arrays of Python strings (dtype object). Out: such arrays, bools or counts. No plan holds strings: these run as
references, between the stages that are compiled.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.nodes import Array
from alula.engine.operators.common import Mismatch, Refusal, broadcast, show
from alula.engine.operators.record import Inference, Inferred, Operator, Partial

_CASES: dict[str, Callable[[str], str]] = {"NONE": str, "LOWER": str.lower, "UPPER": str.upper}


def texts_of(x: Array) -> Array:
    """The elements as Python strings; bytes are taken to be UTF-8."""
    return _mapped(lambda text: text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text), x)


def _mapped(function: Callable[[Any], Any], x: Array, dtype: Any = object) -> Array:
    found = np.empty(x.shape, dtype)
    for place in np.ndindex(x.shape):
        found[place] = function(x[place])
    return found


def concatenate(x: Array, y: Array) -> Array:
    """Each string followed by another; they broadcast."""
    return np.asarray(np.add(*np.broadcast_arrays(texts_of(x), texts_of(y))), object)


def split(x: Array, *, delimiter: str | None, maxsplit: int | None) -> tuple[Array, Array]:
    """Parts of each string along a new last axis, filled up with empty ones, and how many parts there are.

    Without a delimiter, any run of white space is one.
    """
    most = -1 if maxsplit is None else maxsplit
    parts = _mapped(lambda text: text.split(delimiter or None, most), texts_of(x))
    counts = _mapped(len, parts, np.int64)
    found = np.full((*x.shape, int(counts.max(initial=0))), "", object)
    for place in np.ndindex(x.shape):
        found[place][: counts[place]] = parts[place]
    return found, counts


def normalise(
    x: Array, *, case_change_action: str, is_case_sensitive: int, locale: str | None, stopwords: Sequence[str] | None
) -> Array:
    """Strings [C] or [1, C] without stop words, in one case; one empty string where none is left.

    Cases are Unicode's, whatever the locale.
    """
    del locale
    if case_change_action not in _CASES:
        raise Refusal(f"case_change_action must be one of {', '.join(_CASES)}", f"it is {case_change_action}")
    _check_row(x.shape)
    change = _CASES[case_change_action]
    key: Callable[[str], str] = str if is_case_sensitive else str.lower
    stops = {key(word) for word in stopwords or ()}
    kept = [change(text) for text in texts_of(x).reshape(-1) if key(text) not in stops]
    y = np.asarray(kept or [""], object)
    return y.reshape(1, -1) if x.ndim == 2 else y  # noqa: PLR2004  [1, C]


def _check_row(shape: Sequence[Any]) -> None:
    if len(shape) not in (1, 2) or (len(shape) == 2 and shape[0] != 1):  # noqa: PLR2004
        raise Mismatch("strings must be [C] or [1, C]", f"they are {show(tuple(shape))}")


def _infer_normalise(at: Inference) -> Partial:
    shape = at.shape(0)
    _check_row(shape)
    sized = not at.attributes["stopwords"] and all(isinstance(dim, int) and dim for dim in shape)
    return [(DType.STRING, shape if sized else None)]


def full_match(x: Array, *, pattern: str | None) -> Array:
    """Where the whole string matches a regular expression, read as Python's, which has all of RE2's syntax in use.

    Raises:
        Mismatch: the pattern is none.
    """
    try:
        compiled = re.compile(pattern or "")
    except re.error as error:
        raise Mismatch("pattern must be a regular expression", f"{pattern!r}: {error}") from error
    return _mapped(lambda text: compiled.fullmatch(text) is not None, texts_of(x), np.bool_)


def _infer_split(at: Inference) -> Partial:
    return [(DType.STRING, None), (DType.INT64, at.shape(0))]


def _infer_match(at: Inference) -> Inferred:
    return [(DType.BOOL, at.shape(0))]


STRING_CONCAT = Operator(
    name="StringConcat",
    since=(20,),
    inputs=("x", "y"),
    infer=broadcast(),
    reference=concatenate,
    summary="Each string followed by another.",
)

STRING_SPLIT = Operator(
    name="StringSplit",
    since=(20,),
    inputs=("x",),
    outputs=("parts", "counts"),
    attributes=MappingProxyType({"delimiter": None, "maxsplit": None}),
    infer=_infer_split,
    reference=split,
    summary="The parts of each string, and how many there are.",
)

STRING_NORMALIZER = Operator(
    name="StringNormalizer",
    since=(10,),
    inputs=("x",),
    attributes=MappingProxyType(
        {"case_change_action": "NONE", "is_case_sensitive": 0, "locale": None, "stopwords": None}
    ),
    infer=_infer_normalise,
    reference=normalise,
    summary="Strings in one case, without stop words.",
)

REGEX_FULL_MATCH = Operator(
    name="RegexFullMatch",
    since=(20,),
    inputs=("x",),
    attributes=MappingProxyType({"pattern": None}),
    infer=_infer_match,
    reference=full_match,
    summary="Where the whole string matches a regular expression.",
)

OPERATORS = (STRING_CONCAT, STRING_SPLIT, STRING_NORMALIZER, REGEX_FULL_MATCH)
