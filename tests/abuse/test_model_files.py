from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from support.models import small_model

from alula.base.errors import AlulaError, GraphError, LimitError, ModelFileError
from alula.engine.graph.check import check_graph
from alula.engine.importers.onnx import load_onnx, read_onnx

MODEL = small_model().SerializeToString()
HUGE = b"\xff" * 8 + b"\x7f"  # 2^63 - 1 as a varint


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field."""
    size = len(content)
    length = bytearray()
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([number << 3 | 2, *length, size]) + content


def read_or_refuse(data: bytes) -> None:
    """A checked graph, or one of alula's errors: nothing else may come out."""
    try:
        graph = read_onnx(data, None, "hostile.onnx")
    except AlulaError:
        return
    check_graph(graph)


def peak_memory(action: Callable[[], object]) -> int:
    """The most memory, in bytes, that Python and numpy held for `action`."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_model_cut_off_anywhere_is_an_error_or_a_graph() -> None:
    """Attack: every prefix of a valid file."""
    for size in range(len(MODEL)):
        read_or_refuse(MODEL[:size])


@settings(max_examples=1500)
@given(st.lists(st.tuples(st.integers(0, len(MODEL) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_model_with_changed_bytes_is_an_error_or_a_graph(changes: list[tuple[int, int]]) -> None:
    """Attack: a valid file with a few bytes changed, lengths and types among them."""
    data = bytearray(MODEL)
    for place, byte in changes:
        data[place] = byte

    read_or_refuse(bytes(data))


@settings(max_examples=300)
@given(st.integers(0, len(MODEL)), st.binary(min_size=1, max_size=12), st.integers(0, 12))
def test_model_with_bytes_put_in_or_taken_out_is_an_error_or_a_graph(place: int, fresh: bytes, gone: int) -> None:
    """Attack: fields shifted against the lengths around them."""
    read_or_refuse(MODEL[:place] + fresh + MODEL[place + gone :])


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_random_bytes_are_an_error(data: bytes) -> None:
    """Attack: no model at all."""
    read_or_refuse(data)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x3a" + HUGE, id="graph"),
        pytest.param(field(7, b"\x2a" + HUGE), id="initializer"),
        pytest.param(field(7, field(5, b"\x08\x01\x10\x01\x4a" + HUGE)), id="raw data"),
        pytest.param(field(7, field(5, b"\x08\x01\x10\x01\x22" + HUGE)), id="float data"),
        pytest.param(field(7, field(1, b"\x0a" + HUGE)), id="name"),
    ],
)
def test_length_far_beyond_the_file_is_refused_before_memory_is_taken(data: bytes) -> None:
    """Attack: a few bytes claim 2^63, to make the reader allocate."""

    def refused() -> None:
        with pytest.raises(ModelFileError):
            read_onnx(data, None, "hostile.onnx")

    assert peak_memory(refused) < 1_000_000


@pytest.mark.parametrize(
    "dims",
    [[-1], [2, -3], [2**62, 2**62], [2**63 - 1], [0, 2**62, 2**62], [2**32, 2**32, 0], [1] * 70],
    ids=str,
)
def test_dims_that_no_array_can_have_are_refused(dims: list[int]) -> None:
    """Attack: negative sizes, products that overflow, more dimensions than numpy has."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, raw_data=bytes(24))

    with pytest.raises((ModelFileError, LimitError)):
        read_onnx(small_model(initializers=[tensor]).SerializeToString(), None, "hostile.onnx")


def test_graphs_nested_without_end_are_refused() -> None:
    """Attack: bodies inside bodies, to exhaust the stack."""
    graph = b""
    for _ in range(5000):
        attribute = field(1, b"body") + field(6, graph) + b"\xa0\x01\x05"
        graph = field(1, field(2, b"y") + field(4, b"Loop") + field(5, attribute))

    with pytest.raises(LimitError, match="nested 16 deep"):
        read_onnx(field(7, graph), None, "hostile.onnx")


def test_more_nodes_than_any_model_has_are_refused_with_little_memory() -> None:
    """Attack: two bytes a node, to make a small file large in memory."""
    bomb = field(7, b"\x0a\x00" * 300_000)

    def refused() -> None:
        with pytest.raises((LimitError, ModelFileError)):
            read_onnx(bomb, None, "hostile.onnx")

    assert peak_memory(refused) < 60_000_000


def test_long_cycle_is_found_and_told_briefly() -> None:
    """Attack: a cycle through thousands of nodes, to make the sorter recurse and the message long."""
    nodes = [helper.make_node("Relu", [f"v{i}"], [f"v{(i + 1) % 3000}"]) for i in range(3000)]

    with pytest.raises(GraphError, match=r"\(3000 nodes\)") as caught:
        read_onnx(small_model(nodes=nodes).SerializeToString(), None, "hostile.onnx")
    assert len(str(caught.value)) < 1000


def test_name_that_fills_the_terminal_is_shown_short_and_escaped() -> None:
    """Attack: control characters and megabytes in a name that ends up in a message."""
    name = "\x1b[2J" + "x" * 1_000_000
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[5], raw_data=bytes(4))

    with pytest.raises(ModelFileError) as caught:
        read_onnx(small_model(initializers=[tensor]).SerializeToString(), None, "hostile.onnx")
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_value_made_twice_is_refused() -> None:
    """Attack: two nodes write the same memory."""
    nodes = [helper.make_node("Relu", ["x"], ["z"]), helper.make_node("Abs", ["x"], ["z"])]

    with pytest.raises(GraphError, match="made twice"):
        read_onnx(small_model(nodes=nodes).SerializeToString(), None, "hostile.onnx")


def test_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    """Attack: opening a pipe that nobody writes to would hang."""
    os.mkfifo(tmp_path / "model.onnx")

    with pytest.raises(ModelFileError, match="a pipe"):
        load_onnx(tmp_path / "model.onnx")
