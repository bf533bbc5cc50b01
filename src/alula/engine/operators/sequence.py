"""Sequences: lists of tensors as values, and the way between them and tensors.

In: lists of arrays, positions. Out: lists of arrays, never the list that came in; or one array.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import Shape
from alula.engine.graph.nodes import Array
from alula.engine.graph.onnx_dtypes import ONNX_DTYPES
from alula.engine.operators.common import Mismatch, axis_of, integers
from alula.engine.operators.join import split_sizes
from alula.engine.operators.record import REQUIRED, Infer, Inference, Operator, Partial, Reference


def position_in(position: Array, count: int, last: int) -> int:
    """A position counted from the front, in a sequence of `count`.

    Raises:
        Mismatch: it is outside [-count, last].
    """
    index = integers(position)[0]
    if not -count <= index <= last:
        raise Mismatch(f"positions must be in [{-count}, {last}]", f"one is {index}")
    return index + count if index < 0 else index


def sequence_at(sequence: list[Array], position: Array) -> Array:
    """The element at a position."""
    return sequence[position_in(position, len(sequence), len(sequence) - 1)]


def sequence_insert(sequence: list[Array], tensor: Array, position: Array | None = None) -> list[Array]:
    """A longer sequence; the tensor stands at the position, at the end where none is given."""
    if sequence and sequence[0].dtype != tensor.dtype:
        raise Mismatch(f"elements must be {sequence[0].dtype}", f"one is {tensor.dtype}")
    count = len(sequence)
    place = count if position is None else position_in(position, count, count)
    return [*sequence[:place], tensor, *sequence[place:]]


def sequence_erase(sequence: list[Array], position: Array | None = None) -> list[Array]:
    """A shorter sequence; without a position, the last element goes."""
    if not sequence:
        raise Mismatch("a sequence to erase from must have elements", "it is empty")
    count = len(sequence)
    place = count - 1 if position is None else position_in(position, count, count - 1)
    return [*sequence[:place], *sequence[place + 1 :]]


def concat_from_sequence(sequence: list[Array], *, axis: int, new_axis: int) -> Array:
    """The elements joined along an axis, or stacked along a new one."""
    if not sequence:
        raise Mismatch("a sequence to join must have elements", "it is empty")
    return np.stack(sequence, axis) if new_axis else np.concatenate(sequence, axis)


def part_sizes(total: int, split: Array | None) -> tuple[int, ...]:
    """How long the parts of an axis are: as listed, or all as one number says but the last; 1 where nothing is said.

    Raises:
        Mismatch: the number is not positive, or the list does not add up.
    """
    if split is not None and split.ndim:
        return split_sizes(total, integers(split), 0)
    length = 1 if split is None else integers(split)[0]
    if length < 1:
        raise Mismatch("parts must be at least 1 long", f"split is {length}")
    return tuple(min(length, total - start) for start in range(0, total, length))


def split_to_sequence(x: Array, split: Array | None = None, *, axis: int, keepdims: int) -> list[Array]:
    """Parts along an axis; without `split` and `keepdims`, slices of one rank less."""
    place = axis_of(axis, x.ndim)
    sizes = part_sizes(x.shape[place], split)
    parts = np.split(x, np.cumsum(sizes)[:-1], place) if sizes else []
    return parts if keepdims or split is not None else [part.squeeze(place) for part in parts]


def has_element(x: object = None) -> Array:
    """Whether there is something: an absent optional is None."""
    return np.asarray(x is not None)


def get_element(x: object) -> object:
    """What an optional holds; tensors and sequences are themselves."""
    if x is None:
        raise Mismatch("an optional must hold an element to be got", "it is empty")
    return x


def _untold(dtype: DType | None = None) -> Partial:
    return [(dtype or DType.FLOAT32, None)]


def _like_first(at: Inference) -> Partial:
    return [(at.dtype(0), None)]


def _itself(at: Inference) -> Partial:
    known = at.inputs[0] if at.inputs else None
    return _untold() if known is None else [(known.value.dtype, known.value.shape)]


def _scalar(dtype: DType) -> Partial:
    shape: Shape = ()
    return [(dtype, shape)]


def _operator(name: str, inputs: Sequence[str], infer: Infer, reference: Reference, **more: Any) -> Operator:
    fields: dict[str, Any] = {"since": (11,), "attributes": MappingProxyType({})} | more
    return Operator(name, inputs=tuple(inputs), infer=infer, reference=reference, **fields)


SEQUENCE_EMPTY = _operator(
    "SequenceEmpty", (), lambda at: _untold(ONNX_DTYPES.get(at.attributes["dtype"])), lambda **_: [],
    attributes=MappingProxyType({"dtype": 0}), summary="A sequence without elements.",
)  # fmt: skip

SEQUENCE_CONSTRUCT = _operator(
    "SequenceConstruct", ("x*",), _like_first, lambda *arrays: list(arrays), summary="A sequence of the inputs."
)

SEQUENCE_INSERT = _operator(
    "SequenceInsert", ("sequence", "x", "position?"), lambda at: _untold(at.dtype(1)), sequence_insert,
    summary="A sequence with one element more.",
)  # fmt: skip

SEQUENCE_ERASE = _operator(
    "SequenceErase", ("sequence", "position?"), _like_first, sequence_erase, summary="A sequence without an element."
)

SEQUENCE_AT = _operator(
    "SequenceAt", ("sequence", "position"), _like_first, sequence_at, summary="An element of a sequence."
)

SEQUENCE_LENGTH = _operator(
    "SequenceLength", ("sequence",), lambda _: _scalar(DType.INT64),
    lambda sequence: np.asarray(len(sequence), np.int64), summary="How many elements a sequence has.",
)  # fmt: skip

CONCAT_FROM_SEQUENCE = _operator(
    "ConcatFromSequence", ("sequence",), _like_first, concat_from_sequence,
    attributes=MappingProxyType({"axis": REQUIRED, "new_axis": 0}), summary="A sequence joined along an axis.",
)  # fmt: skip

SPLIT_TO_SEQUENCE = _operator(
    "SplitToSequence", ("x", "split?"), _like_first, split_to_sequence, since=(11, 24),
    attributes=MappingProxyType({"axis": 0, "keepdims": 1}), summary="A tensor cut along an axis.",
)  # fmt: skip

OPTIONAL = _operator(
    "Optional", ("x?",), _itself, lambda x, **_: x, since=(15, 28), attributes=MappingProxyType({"type": None}),
    summary="A value that may be absent.",
)  # fmt: skip

OPTIONAL_HAS_ELEMENT = _operator(
    "OptionalHasElement", ("x?",), lambda _: _scalar(DType.BOOL), has_element, since=(15, 18, 28),
    summary="Whether a value is there.",
)  # fmt: skip

OPTIONAL_GET_ELEMENT = _operator(
    "OptionalGetElement", ("x",), _itself, get_element, since=(15, 18, 28), summary="The value that is there."
)

OPERATORS = (
    SEQUENCE_EMPTY, SEQUENCE_CONSTRUCT, SEQUENCE_INSERT, SEQUENCE_ERASE, SEQUENCE_AT, SEQUENCE_LENGTH,
    CONCAT_FROM_SEQUENCE, SPLIT_TO_SEQUENCE, OPTIONAL, OPTIONAL_HAS_ELEMENT, OPTIONAL_GET_ELEMENT,
)  # fmt: skip
