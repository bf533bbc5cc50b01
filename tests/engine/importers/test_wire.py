from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alula.base.errors import LimitError, ModelFileError
from alula.engine.importers.wire import FIXED32, FIXED64, LENGTH, VARINT, Wire, signed


def varint(number: int) -> bytes:
    """A number in base 128, least significant group first."""
    groups = [number >> shift & 0x7F for shift in range(0, max(number.bit_length(), 1), 7)]
    return bytes([group | 0x80 for group in groups[:-1]] + groups[-1:])


def wire(data: bytes) -> Wire:
    """A reader over these bytes."""
    return Wire(memoryview(data), "test.onnx")


@given(st.integers(0, 2**64 - 1))
def test_varint_gives_the_number_and_the_place_after_it(number: int) -> None:
    """Numbers of one to ten bytes are read alike."""
    data = varint(number)

    assert wire(data + b"\xff").varint(0, len(data) + 1) == (number, len(data))


@given(st.lists(st.integers(0, 2**64 - 1), max_size=40))
def test_packed_numbers_agree_with_single_ones(values: list[int]) -> None:
    """The vectorised reader of packed runs gives what reading one by one gives."""
    data = b"".join(map(varint, values))

    assert wire(data).packed((0, len(data))).tolist() == values


def test_long_packed_run_is_read_in_pieces_without_a_seam() -> None:
    """A run longer than one piece gives every number once, also those that lie across two pieces."""
    data = b"\x01" + varint(300) * 600_000

    numbers = wire(data).packed((0, len(data)))

    assert numbers.size == 600_001
    assert (numbers[1:] == 300).all()


@pytest.mark.parametrize("data", [b"\x01\x80", b"\x80" * 11 + b"\x00"])
def test_packed_run_that_ends_inside_a_number_is_refused(data: bytes) -> None:
    """The last byte of a run ends a number, and no number is longer than ten bytes."""
    with pytest.raises(ModelFileError):
        wire(data).packed((0, len(data)))


@given(st.integers(-(2**63), 2**63 - 1))
def test_negative_numbers_are_in_twos_complement(value: int) -> None:
    """An int64 field holds its number modulo 2^64."""
    assert signed(value % 2**64) == value


def test_fields_come_with_number_type_and_place() -> None:
    """Each wire type is understood, and length-delimited fields are spans, not copies."""
    data = b"\x08\x96\x01" + b"\x12\x03abc" + b"\x1d\x01\x00\x00\x00" + b"\x21" + bytes([2, *[0] * 7])

    fields = list(wire(data).fields((0, len(data))))

    assert fields == [(1, VARINT, 150), (2, LENGTH, (5, 8)), (3, FIXED32, 1), (4, FIXED64, 2)]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x12\x05abc", id="length beyond the end"),
        pytest.param(b"\x0d\x00\x00", id="fixed field beyond the end"),
        pytest.param(b"\x08\xff", id="varint without end"),
        pytest.param(b"\x08" + b"\xff" * 10 + b"\x01", id="varint of eleven bytes"),
        pytest.param(b"\x08" + b"\xff" * 9 + b"\x02", id="varint of 65 bits"),
        pytest.param(b"\x0b", id="group"),
        pytest.param(b"\x00\x00", id="field number zero"),
    ],
)
def test_malformed_field_is_refused(data: bytes) -> None:
    """Nothing is read beyond the bounds, and every field has a type of the format."""
    with pytest.raises(ModelFileError, match=r"test\.onnx, byte"):
        list(wire(data).fields((0, len(data))))


def test_message_ends_where_its_span_ends() -> None:
    """A field may not reach into the bytes after its message, even where the file goes on."""
    with pytest.raises(ModelFileError, match="claims 5 bytes"):
        list(wire(b"\x12\x05abcdefgh").fields((0, 4)))


def test_more_fields_than_the_budget_are_refused() -> None:
    """A file of nothing but tiny fields cannot keep the reader busy for ever."""
    reader = Wire(memoryview(b"\x08\x00" * 11), "test.onnx", budget=10)

    with pytest.raises(LimitError):
        list(reader.fields((0, 22)))


def test_text_that_is_not_utf8_is_refused() -> None:
    """Names are text."""
    with pytest.raises(ModelFileError, match="byte 1: needs text in UTF-8"):
        wire(b"a\xff").text((0, 2))
