from __future__ import annotations

import numpy as np
import pytest

from alula.base.errors import LimitError, ModelFileError
from alula.engine.importers.records import FieldType, Kind, MessageType, Record, read_record
from alula.engine.importers.wire import Wire

TYPE = MessageType(
    "Test",
    {
        1: FieldType("ints", Kind.INT),
        2: FieldType("reals", Kind.FLOAT),
        3: FieldType("text"),
        4: FieldType("few", Kind.INT, most=2),
    },
)


def read(data: bytes) -> Record:
    """The record in these bytes."""
    return read_record(Wire(memoryview(data), "test.onnx"), (0, len(data)), TYPE)


def test_repeated_numbers_are_the_same_packed_or_not() -> None:
    """Writers of proto2 and proto3 differ here; readers must take both."""
    single = read(b"\x08\x01\x08\x02" + b"\x15" + np.float32(0.5).tobytes())
    packed = read(b"\x0a\x02\x01\x02" + b"\x12\x04" + np.float32(0.5).tobytes())

    for record in (single, packed):
        assert record.integers("ints").tolist() == [1, 2]
        assert record.reals("reals", "<f4").tolist() == [0.5]


def test_of_a_field_that_stands_twice_the_last_counts() -> None:
    """Protobuf's rule for fields that are not repeated."""
    record = read(b"\x08\x01\x08\x07" + b"\x1a\x01a\x1a\x01b")

    assert (record.integer("ints"), record.text("text")) == (7, "b")


def test_field_that_is_left_out_has_its_default() -> None:
    """Nothing is there, and reading it is no error."""
    record = read(b"")

    assert (record.integer("ints", 5), record.text("text"), record.one("text")) == (5, "", None)
    assert not record.has("ints")


def test_unknown_field_is_skipped() -> None:
    """Newer versions of ONNX add fields that older readers pass over."""
    assert read(b"\x7a\x03abc\x08\x01").integer("ints") == 1


@pytest.mark.parametrize("data", [b"\x18\x01", b"\x0d\0\0\0\0", b"\x11" + bytes(8)])
def test_field_of_another_wire_type_is_refused(data: bytes) -> None:
    """A number where text stands would be read as something else."""
    with pytest.raises(ModelFileError, match="wire type"):
        read(data)


def test_packed_reals_of_odd_length_are_refused() -> None:
    """A run of floats has a multiple of four bytes."""
    with pytest.raises(ModelFileError, match="multiples of 4"):
        read(b"\x12\x03abc").reals("reals", "<f4")


def test_field_that_stands_more_often_than_allowed_is_refused() -> None:
    """Each message bounds how much it may hold."""
    with pytest.raises(LimitError, match="at most 2 of few"):
        read(b"\x20\x01" * 3)
