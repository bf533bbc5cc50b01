"""The protobuf wire format: tags, varints and length-delimited fields, every step checked against the bounds.

In: a buffer. Out: fields as numbers or spans (start, end) of that buffer; nothing is copied.

The encoding is described at protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from alula.base.errors import LimitError, ModelFileError
from alula.engine.graph.nodes import Array

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
_NAMES = {VARINT: "a varint", FIXED64: "eight bytes", LENGTH: "a length", FIXED32: "four bytes"}
_LONGEST_VARINT = 10
_CONTINUED = 0x80  # a byte of this or more is followed by another one of its number
_PIECE = 1 << 20
_HIGHEST_FIELD = (1 << 29) - 1

# Fields in one file. The largest published graphs have some hundred thousand; a list of numbers may count as many.
MOST_FIELDS = 4_000_000

Span = tuple[int, int]
Field = tuple[int, int, int | Span]


class Wire:
    """One buffer in the wire format, with a budget for the fields that may be read from it.

    Args:
        data: the bytes; spans are positions in it.
        name: the file, for messages.
        budget: how many fields may be read before the file is refused.
    """

    __slots__ = ("budget", "data", "name")

    def __init__(self, data: memoryview, name: str, budget: int = MOST_FIELDS) -> None:
        self.data = data
        self.name = name
        self.budget = budget

    def fields(self, span: Span) -> Iterator[Field]:
        """The fields of a message: number, wire type, and a number (varint, fixed) or the span of its bytes.

        Raises:
            ModelFileError: the bytes are no message, or a length leads out of it.
            LimitError: the budget is used up.
        """
        data = self.data
        at, end = span
        while at < end:
            start = at
            self.budget -= 1
            if self.budget < 0:
                self.spend(0, at)
            tag = data[at]
            if tag < _CONTINUED:  # tags and most lengths take one byte; a call for each would double the time
                at += 1
            else:
                tag, at = self.varint(at, end)
            kind = tag & 7
            if kind not in _NAMES or not 0 < tag >> 3 <= _HIGHEST_FIELD:
                raise self.damaged(start, "needs a field tag", f"found field {tag >> 3} of wire type {kind}")
            value: int | Span
            if kind == LENGTH and at < end and data[at] < _CONTINUED and at + 1 + data[at] <= end:
                value = at + 1, at + 1 + data[at]
                at = value[1]
            else:
                value, at = self._value(kind, at, end)
            yield tag >> 3, kind, value

    def spend(self, count: int, at: int) -> None:
        """Count numbers that stand packed at `at` and become Python objects, as the same number of fields.

        Raises:
            LimitError: the budget is used up.
        """
        self.budget -= count
        if self.budget < 0:
            raise LimitError(f"{self.name}, byte {at}", f"at most {MOST_FIELDS} fields are read", "the file has more")

    def _value(self, kind: int, at: int, end: int) -> tuple[int | Span, int]:
        if kind == VARINT:
            return self.varint(at, end)
        start = at
        if kind == LENGTH:
            size, start = self.varint(at, end)
        else:
            size = 8 if kind == FIXED64 else 4
        stop = start + size
        if stop > end:
            raise self.damaged(at, f"a field claims {size} bytes", f"{end - start} are left in its message")
        if kind == LENGTH:
            return (start, stop), stop
        return int.from_bytes(self.data[start:stop], "little"), stop

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """The unsigned 64-bit number at `at`, and the position after it."""
        data = self.data
        if at < end and data[at] < _CONTINUED:  # most numbers take one byte
            return data[at], at + 1
        value = shift = 0
        for place in range(at, min(end, at + _LONGEST_VARINT)):
            byte = data[place]
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                if value >> 64:
                    break
                return value, place + 1
            shift += 7
        raise self.damaged(at, "needs a number of at most 64 bits", "it has no end")

    def packed(self, span: Span) -> Array:
        """A packed run of varints as uint64.

        Raises:
            ModelFileError: the run ends inside a number, or a number is too long.
        """
        raw = np.frombuffer(self.data, np.uint8, span[1] - span[0], span[0])
        numbers = np.empty(np.count_nonzero(raw < _CONTINUED), np.uint64)
        at = done = 0
        while at < raw.size:
            # In pieces, because decoding takes some fifty times a piece's size.
            ends = np.flatnonzero(raw[at : at + _PIECE] < _CONTINUED)
            if not ends.size:
                raise self.damaged(span[0] + at, "needs a run of numbers", "the last one has no end")
            size = int(ends[-1]) + 1
            numbers[done : done + ends.size] = self._piece(raw[at : at + size], ends, span[0] + at)
            at, done = at + size, done + ends.size
        return numbers

    def _piece(self, raw: Array, ends: Array, at: int) -> Array:
        starts = np.concatenate(([0], ends[:-1] + 1))
        lengths = ends - starts + 1
        longest = int(lengths.max())
        if longest > _LONGEST_VARINT:
            raise self.damaged(at, "needs numbers of at most 64 bits", f"one takes {longest} bytes")
        numbers = np.zeros(ends.size, np.uint64)
        for place in range(longest):
            there = np.flatnonzero(lengths > place)
            numbers[there] |= (raw[starts[there] + place] & np.uint8(0x7F)).astype(np.uint64) << np.uint64(7 * place)
        return numbers

    def bytes(self, span: Span) -> memoryview:
        """The bytes of a span, as a view."""
        return self.data[span[0] : span[1]]

    def text(self, span: Span) -> str:
        """The text of a span.

        Raises:
            ModelFileError: it is not UTF-8.
        """
        try:
            return str(self.bytes(span), "utf-8")
        except UnicodeDecodeError as error:
            raise self.damaged(span[0] + error.start, "needs text in UTF-8", "found other bytes") from None

    def damaged(self, at: int, needed: str, found: str) -> ModelFileError:
        """The error for bytes at `at`, for the caller to raise."""
        return ModelFileError(f"{self.name}, byte {at}", needed, found, "the file may be damaged: fetch it again")


def signed(number: int) -> int:
    """A varint as int64: negative numbers are stored in two's complement."""
    return number - (1 << 64) if number >> 63 else number
