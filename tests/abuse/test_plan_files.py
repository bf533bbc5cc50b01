from __future__ import annotations

import copy
import hashlib
import json
import os
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.plans import INPUT, OUTPUT, arena, combine, host, placed, plan, saved

from alula.base.errors import LimitError, MissingError, PlanFileError
from alula.base.plan_format import MAGIC, PRELUDE, VERSION
from alula.engine.runtime.file import open_file, read_header
from alula.engine.runtime.session import open_plan

Json = Any
Key = tuple[str | int, ...]

HOSTILE: tuple[Json, ...] = (
    -1,
    1 << 47,
    1 << 70,
    1.5,
    True,
    "",
    "x",
    "\ud800",
    [],
    [[]],
    {},
    {"x": 1},
    [-1],
    [1 << 47] * 3,
)
FREE = ("attributes", "reason")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A sound plan with native and host steps, values and extras."""
    steps = (
        combine("fadd", INPUT, INPUT, arena(0), "sum"),
        host(arena(0), arena(1), {"axis": -1, "limits": (0.5, float("inf"))}),
        combine("fmul", arena(1), INPUT, OUTPUT, "y"),
    )
    made = plan(steps, places={"sum": placed("sum", arena(0))})
    return saved(tmp_path_factory.mktemp("whole"), made, {"labels.txt": b"cat\n"}).read_bytes()


@pytest.fixture
def place(tmp_path: Path) -> Callable[[bytes], Path]:
    """Puts bytes into a file."""

    def put(data: bytes) -> Path:
        path = tmp_path / "hostile.alula"
        path.write_bytes(data)
        return path

    return put


def opened(path: Path) -> None:
    """Open as a program does that can run host steps."""
    open_plan(path, host=lambda *_: None, threads=2).close()


def header_of(whole: bytes) -> dict[str, Json]:
    """The header as JSON values."""
    size = PRELUDE.unpack_from(whole)[3]
    loaded: dict[str, Json] = json.loads(whole[PRELUDE.size : PRELUDE.size + size])
    return loaded


def with_text(whole: bytes, text: bytes) -> bytes:
    """The file with another header, its hash and lengths made right: what an attacker can always do."""
    size = PRELUDE.unpack_from(whole)[3]
    body = whole[PRELUDE.size + size :]
    text = text.ljust(-(-(PRELUDE.size + len(text)) // 4096) * 4096 - PRELUDE.size)
    total = PRELUDE.size + len(text) + len(body)
    return PRELUDE.pack(MAGIC, VERSION, 0, len(text), total, hashlib.sha256(text).digest()) + text + body


def with_header(whole: bytes, header: Json) -> bytes:
    """The file with another header."""
    return with_text(whole, json.dumps(header).encode())


def keys(value: Json, above: Key = ()) -> Iterator[Key]:
    """The way to every field."""
    if above:
        yield above
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        if key not in FREE:
            yield from keys(inner, (*above, key))


def replaced(header: Json, key: Key, value: Json) -> Json:
    """A copy with one field changed."""
    changed = copy.deepcopy(header)
    inner = changed
    for step in key[:-1]:
        inner = inner[step]
    inner[key[-1]] = value
    return changed


def removed(header: Json, key: Key) -> Json:
    """A copy without one field."""
    changed = copy.deepcopy(header)
    inner = changed
    for step in key[:-1]:
        inner = inner[step]
    del inner[key[-1]]
    return changed


def test_the_whole_file_opens(whole: bytes, place: Callable[[bytes], Path]) -> None:
    """The attacks below change something that works, also with its header written anew."""
    opened(place(whole))
    opened(place(with_header(whole, header_of(whole))))


def test_truncated_files_are_refused(whole: bytes, place: Callable[[bytes], Path]) -> None:
    """Attack: a download that broke off, at every fiftieth and around the borders."""
    for size in {*range(0, len(whole), len(whole) // 50), 7, 8, 63, 64, 65, len(whole) - 1}:
        with pytest.raises(PlanFileError):
            opened(place(whole[:size]))


def test_files_with_something_behind_are_refused(whole: bytes, place: Callable[[bytes], Path]) -> None:
    """Attack: bytes that no hash covers."""
    with pytest.raises(PlanFileError, match="the file has"):
        opened(place(whole + bytes(4096)))


@settings(max_examples=1500, deadline=None)
@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_every_flipped_bit_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, whole: bytes, position: float, bit: int
) -> None:
    """Attack: one bit anywhere, padding included; nothing is run before all hashes fit."""
    path = tmp_path_factory.getbasetemp() / "flipped.alula"
    at = int(position * len(whole))
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])

    with pytest.raises(PlanFileError):
        open_file(path)


def test_every_flipped_bit_of_the_prelude_is_noticed(whole: bytes, place: Callable[[bytes], Path]) -> None:
    """Attack: the bytes that say where the hashes are."""
    for at in range(PRELUDE.size):
        for bit in range(8):
            with pytest.raises(PlanFileError):
                open_file(place(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :]))


def test_every_field_of_the_header_is_needed_and_typed(whole: bytes, place: Callable[[bytes], Path]) -> None:
    """Attack: a missing field or a null, with a right hash. A left-out operand of a host step is the one null."""
    header = header_of(whole)
    for key in keys(header):
        if "host" in key and key[-2] == "inputs":
            continue
        with pytest.raises(PlanFileError):
            opened(place(with_header(whole, replaced(header, key, None))))
    for key in keys(header):
        optional = key[0] in {"metadata", "extras", "values", "steps", "segments"} or isinstance(key[-1], int)
        if len(key) == 1 or not optional:
            with pytest.raises(PlanFileError):
                opened(place(with_header(whole, removed(header, key))))


def test_no_value_of_any_field_does_more_than_be_refused(whole: bytes, place: Callable[[bytes], Path]) -> None:
    """Attack: wrong types, negative and huge numbers everywhere; the answer is a plan error, a limit, or harmless."""
    header = header_of(whole)
    refused = tried = 0
    for key in keys(header):
        for value in HOSTILE:
            tried += 1
            try:
                opened(place(with_header(whole, replaced(header, key, value))))
            except (PlanFileError, LimitError):
                refused += 1

    assert refused > tried * 0.8


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"format": 1' + b"0" * 200_000 + b"}",
        b'{"format": 1e999}',
        b'{"format": NaN}',
        b'{"format": -Infinity}',
        b'{"format": 1',
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b'{"format": "\x00"}',
    ],
    ids=lambda text: repr(text[:14]),
)
def test_headers_that_are_no_json_object_are_refused(whole: bytes, place: Callable[[bytes], Path], text: bytes) -> None:
    """Attack: nesting that exhausts the stack, numbers that take quadratic time, constants that JSON lacks."""
    with pytest.raises(PlanFileError):
        opened(place(with_text(whole, text)))


@pytest.mark.parametrize("claim", [16 << 20 | 1, 1 << 40, (1 << 64) - 1])
def test_header_claims_take_no_memory(place: Callable[[bytes], Path], claim: int) -> None:
    """Attack: a file of 128 bytes claims a large header, to make the loader allocate it."""
    path = place(PRELUDE.pack(MAGIC, VERSION, 0, claim, 128, bytes(32)) + bytes(64))
    tracemalloc.start()
    try:
        with pytest.raises(PlanFileError, match=f"claims {claim}"):
            opened(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 1 << 20


@pytest.mark.parametrize("size", [1 << 46, 1 << 47])
def test_arena_claims_are_limits(whole: bytes, place: Callable[[bytes], Path], size: int) -> None:
    """Attack: a plan that wants more memory than the machine has."""
    for name in ("arena_bytes", "scratch_bytes"):
        with pytest.raises(LimitError):
            opened(place(with_header(whole, {**header_of(whole), name: size})))


@pytest.mark.parametrize(
    ("name", "field", "change"),
    [
        ("code", "offset", 4096),
        ("weights", "offset", 0),
        ("weights", "offset", -4096),
        ("extras", "offset", 1 << 40),
        ("code", "size", 8192),
        ("code", "size", 0),
        ("code", "size", 4095),
        ("weights", "size", 1 << 40),
        ("extras", "size", 8192),
    ],
)
def test_parts_that_overlap_or_leave_the_file_are_refused(
    whole: bytes, place: Callable[[bytes], Path], name: str, field: str, change: int
) -> None:
    """Attack: weights that are code, parts behind the end: reading there would be a bus error."""
    header = replaced(header_of(whole), ("parts", name, field), change)

    with pytest.raises(PlanFileError):
        opened(place(with_header(whole, header)))


def test_entry_outside_the_code_is_refused(whole: bytes, place: Callable[[bytes], Path]) -> None:
    """Attack: a jump out of the image."""
    header = replaced(header_of(whole), ("segments", 0, "native"), 4096)

    with pytest.raises(PlanFileError, match="entry"):
        opened(place(with_header(whole, header)))


@pytest.mark.parametrize("field", ["inputs", "outputs"])
@pytest.mark.parametrize(
    "change",
    [
        {"at": 256 * 6},
        {"kind": "weights", "at": 4096},
        {"kind": "scratch"},
        {"kind": "input", "at": 1},
        {"shape": [385]},
    ],
)
def test_host_tensors_outside_memory_are_refused(
    whole: bytes, place: Callable[[bytes], Path], field: str, change: dict[str, Json]
) -> None:
    """Attack: a host step that reads or writes beyond the arena."""
    header = header_of(whole)
    header["segments"][1]["host"][field][0].update(change)

    with pytest.raises(PlanFileError):
        opened(place(with_header(whole, header)))


def test_host_steps_write_to_no_constant(whole: bytes, place: Callable[[bytes], Path]) -> None:
    """Attack: writing to a read-only mapping would be a segmentation fault."""
    header = header_of(whole)
    header["segments"][1]["host"]["outputs"][0].update({"kind": "weights", "at": 0})

    with pytest.raises(PlanFileError, match="write"):
        opened(place(with_header(whole, header)))


def test_other_processors_are_named(whole: bytes, place: Callable[[bytes], Path]) -> None:
    """An illegal instruction would end the process; the message says what is missing and what to do."""
    header = header_of(whole)
    header["target"]["needs"] += ["avx1024", "amx_fp4"]
    path = place(with_header(whole, header))

    with pytest.raises(PlanFileError, match="lacks avx1024, amx_fp4") as caught:
        opened(path)
    assert "--target" in caught.value.hint
    assert read_header(path).needs[-1] == "amx_fp4"

    header["target"]["machine"] = "s390x"
    with pytest.raises(PlanFileError, match="s390x"):
        opened(place(with_header(whole, header)))


def test_other_versions_are_told_apart_from_damage(whole: bytes, place: Callable[[bytes], Path]) -> None:
    """A plan of a later alula is not broken, it is later."""
    later = VERSION + 1
    with pytest.raises(PlanFileError, match=f"format version {VERSION}, found {later}"):
        opened(place(whole[:8] + struct.pack("<I", later) + whole[12:]))


def test_weights_may_stay_unread(whole: bytes, place: Callable[[bytes], Path]) -> None:
    """`verify="code"` trades the hash of the weights for a faster start; code and header are always checked."""
    weights = len(whole) - 8192
    path = place(whole[:weights] + b"\xff" + whole[weights + 1 :])

    open_plan(path, host=lambda *_: None, verify="code")
    with pytest.raises(PlanFileError, match="weights"):
        opened(path)


def test_things_that_are_no_files_are_refused(tmp_path: Path) -> None:
    """Attack: a pipe that blocks the opener, a device without end, a folder."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    for path in (pipe, tmp_path, Path("/dev/zero")):
        for door in (opened, read_header):
            with pytest.raises(PlanFileError):
                door(path)
    with pytest.raises(MissingError):
        opened(tmp_path / "none")
    with pytest.raises(MissingError):
        opened(Path(__file__) / "none")
