"""Protobuf messages as records: fields collected by name, their wire types checked against a table.

In: a span of a wire buffer and the table of a message. Out: a `Record` with typed access.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from alula.base.errors import LimitError, ModelFileError
from alula.engine.graph.nodes import Array
from alula.engine.importers.wire import FIXED32, FIXED64, LENGTH, VARINT, Span, Wire, signed


class Kind(enum.IntEnum):
    """What a field holds: the wire type of one element. All but bytes may come packed, with a length in front."""

    INT = VARINT
    FLOAT = FIXED32
    DOUBLE = FIXED64
    BYTES = LENGTH


@dataclass(frozen=True)
class FieldType:
    """One row of a message's table; `most` bounds how often the field may stand in one message."""

    name: str
    kind: Kind = Kind.BYTES
    most: int = 1_000_000
    wires: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        """Look the wire types up once: files have very many fields."""
        object.__setattr__(self, "wires", frozenset({int(self.kind), LENGTH}))


@dataclass(frozen=True)
class MessageType:
    """A message's name and its fields by number; fields that are not listed are skipped."""

    name: str
    fields: Mapping[int, FieldType]


@dataclass
class Record:
    """The fields of one message, in file order: numbers, or spans of bytes and packed runs."""

    wire: Wire
    type: MessageType
    span: Span
    values: dict[str, list[int | Span]] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Whether the field stands in the message."""
        return name in self.values

    def integer(self, name: str, default: int = 0) -> int:
        """A signed integer; where a field stands several times the last one counts, as protobuf demands."""
        values = self.values.get(name)
        if not values:
            return default
        last = values[-1]
        if isinstance(last, int):
            return signed(last)
        run = self.wire.packed(last)
        return signed(int(run[-1])) if run.size else default

    def integers(self, name: str) -> Array:
        """A repeated integer field, packed or not, as int64."""
        runs, singles = self._split(name)
        if not runs:
            return np.array(singles, np.uint64).view(np.int64)
        if singles:
            raise self.damaged(f"{name} in one form", "both packed and single numbers")
        return np.concatenate([self.wire.packed(run) for run in runs]).view(np.int64)

    def reals(self, name: str, dtype: str) -> Array:
        """A repeated field of `<f4` or `<f8`, packed or not; one packed run is a view of the file."""
        runs, singles = self._split(name)
        code = np.dtype(dtype)
        if not runs:
            return np.array(singles, f"<u{code.itemsize}").view(code)
        if singles:
            raise self.damaged(f"{name} in one form", "both packed and single numbers")
        pieces = []
        for start, end in runs:
            if (end - start) % code.itemsize:
                raise self.damaged(f"{name} in multiples of {code.itemsize} bytes", f"{end - start} bytes")
            pieces.append(np.frombuffer(self.wire.data, code, (end - start) // code.itemsize, start))
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def spans(self, name: str) -> list[Span]:
        """The places of a repeated message, text or bytes field."""
        values = self.values.get(name)
        return [value for value in values if isinstance(value, tuple)] if values else []

    def one(self, name: str) -> Span | None:
        """The place of a message or bytes field that may stand once.

        Raises:
            ModelFileError: it stands several times.
        """
        found = self.spans(name)
        if len(found) > 1:
            raise self.damaged(f"one {name}", f"{len(found)}")
        return found[0] if found else None

    def text(self, name: str) -> str:
        """A text field; empty when left out."""
        found = self.spans(name)
        return self.wire.text(found[-1]) if found else ""

    def texts(self, name: str) -> tuple[str, ...]:
        """A repeated text field."""
        return tuple(self.wire.text(span) for span in self.spans(name))

    def damaged(self, needed: str, found: str) -> ModelFileError:
        """The error for this message, for the caller to raise."""
        return self.wire.damaged(self.span[0], f"{self.type.name} needs {needed}", f"it has {found}")

    def _split(self, name: str) -> tuple[list[Span], list[int]]:
        values = self.values.get(name, ())
        return [v for v in values if isinstance(v, tuple)], [v for v in values if isinstance(v, int)]


def read_record(wire: Wire, span: Span, kind: MessageType, most: Mapping[str, int] | None = None) -> Record:
    """Collect the listed fields of the message at `span`; `most` bounds some of them closer than the table does.

    Raises:
        ModelFileError: the bytes are no such message, or a field has another wire type than its table says.
        LimitError: a field stands more often than its table allows.
    """
    record = Record(wire, kind, span)
    for number, wire_type, value in wire.fields(span):
        row = kind.fields.get(number)
        if row is None:
            continue
        if wire_type not in row.wires:
            raise record.damaged(f"{row.name} with wire type {int(row.kind)}", f"wire type {wire_type}")
        values = record.values.setdefault(row.name, [])
        values.append(value)
        if len(values) > row.most or (most is not None and len(values) > most.get(row.name, row.most)):
            bound = min(row.most, (most or {}).get(row.name, row.most))
            where = f"{wire.name}, byte {span[0]}"
            raise LimitError(where, f"{kind.name} may have at most {bound} of {row.name}", "it has more")
    return record
