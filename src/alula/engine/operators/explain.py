"""Complaints of references and inferences, given a place: the node and its inputs.

In: a node, what its inputs look like, an exception. Out: an `AlulaError` to raise from it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from alula.base.errors import AlulaError, LimitError, ShapeError, UnsupportedError
from alula.engine.graph.nodes import Array, Node
from alula.engine.operators.common import Excess, Mismatch, Refusal, show
from alula.engine.operators.record import Known

# What numpy and Python raise when sizes or types do not fit.
MISFITS = (
    ValueError, IndexError, KeyError, TypeError, AttributeError, ZeroDivisionError, OverflowError, MemoryError,
    re.error,
)  # fmt: skip


def explained(node: Node, shown: Sequence[str], error: Exception) -> AlulaError:
    """The error that users see for `error`, met at `node`; `shown` has a description for each input."""
    place = f"{node.label} ({node.op})"
    pairs = zip(node.inputs, shown, strict=False)
    detail = "\n".join(f"input {name} {text}" for name, text in pairs if name)
    hint = f"alula show graph MODEL --around {node.label}"
    if isinstance(error, Refusal):
        return UnsupportedError(place, error.needed, error.found, detail=detail)
    if isinstance(error, Excess):
        return LimitError(place, error.needed, error.found, detail=detail)
    if isinstance(error, Mismatch):
        return ShapeError(place, error.needed, error.found, hint, detail)
    if isinstance(error, MemoryError):
        return LimitError(place, "a result that fits into memory", str(error), detail=detail)
    return ShapeError(place, "needs inputs that fit the operator", str(error), hint, detail)


def describe_array(array: Array | list[Array] | None) -> str:
    """For example `[1, 3, 4, 4] float32`."""
    if isinstance(array, list):
        return f"a sequence of {len(array)}"
    return "left out" if array is None else f"{show(array.shape)} {array.dtype}"


def describe_known(known: Known | None) -> str:
    """For example `[1, N] float32`."""
    if known is None:
        return "left out"
    shape = known.value.shape
    return f"{'of unknown shape' if shape is None else show(shape)} {known.value.dtype}"
