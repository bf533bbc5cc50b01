from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.several import saved_several

from alula.base.errors import AlulaError, LimitError, PlanFileError
from alula.base.plan_format import MAGIC, PRELUDE, VERSION
from alula.engine.runtime.file import open_file, read_header
from alula.engine.runtime.shaped import ShapedSession, open_session

Json = Any
Change = Callable[[Json], None]

HOSTILE: tuple[Json, ...] = (None, -1, 1 << 47, 1 << 70, 1.5, True, "", "x", [], [[]], {}, [-1, -1], [0, 1 << 60])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A sound file of three plans."""
    return saved_several(tmp_path_factory.mktemp("several")).read_bytes()


def changed(whole: bytes, change: Change, texts: Callable[[bytes], bytes] = lambda text: text) -> bytes:
    """The file with another header and other texts of plans, all hashes and lengths made right."""
    size = PRELUDE.unpack_from(whole)[3]
    header = json.loads(whole[PRELUDE.size : PRELUDE.size + size])
    body = bytearray(whole[PRELUDE.size + size :])
    part = header["parts"]["variants"]
    stretch = slice(part["offset"], part["offset"] + part["size"])
    body[stretch] = texts(bytes(body[stretch])).ljust(part["size"])[: part["size"]]
    part["sha256"] = hashlib.sha256(body[stretch]).hexdigest()
    change(header)
    text = json.dumps(header).encode()
    text = text.ljust(-(-(PRELUDE.size + len(text)) // 4096) * 4096 - PRELUDE.size)
    total = PRELUDE.size + len(text) + len(body)
    return PRELUDE.pack(MAGIC, VERSION, 0, len(text), total, hashlib.sha256(text).digest()) + text + bytes(body)


def exercised(path: Path) -> None:
    """Open the file and every plan in it, run none."""
    with open_session(path, threads=2) as session:
        assert isinstance(session, ShapedSession)
        for index in range(1 + len(session.info.variants)):
            session._session(index)
            read_header(path, index)


def test_the_changed_file_opens_where_nothing_was_changed(whole: bytes, tmp_path: Path) -> None:
    """The attacks below change something that works."""
    path = tmp_path / "same.alula"
    path.write_bytes(changed(whole, lambda _: None))

    exercised(path)


@settings(max_examples=500, deadline=None)
@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_every_flipped_bit_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, whole: bytes, position: float, bit: int
) -> None:
    """Attack: one bit anywhere, the texts of further plans included."""
    path = tmp_path_factory.getbasetemp() / "flipped-several.alula"
    at = int(position * len(whole))
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])

    with pytest.raises(PlanFileError):
        open_file(path)


def test_texts_of_plans_are_hashed_whatever_is_verified(whole: bytes, tmp_path: Path) -> None:
    """Attack: texts say where code is entered; leaving out the hash of weights must not leave out theirs."""
    size = PRELUDE.unpack_from(whole)[3]
    part = json.loads(whole[PRELUDE.size : PRELUDE.size + size])["parts"]["variants"]
    at = PRELUDE.size + size + part["offset"] + 5
    path = tmp_path / "text.alula"
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])

    for use in (lambda: open_session(path, verify="code"), lambda: read_header(path, 1)):
        with pytest.raises(PlanFileError, match="variants"):
            use()


@pytest.mark.parametrize("field", ["inputs", "outputs", "text"])
def test_no_value_in_the_index_does_more_than_be_refused(field: str, whole: bytes, tmp_path: Path) -> None:
    """Attack: wrong types, negative and huge numbers in the index of plans, with right hashes."""
    path = tmp_path / "index.alula"
    for value in HOSTILE:

        def put(header: Json, value: Json = value) -> None:
            header["variants"][1][field] = value

        path.write_bytes(changed(whole, put))
        with pytest.raises((PlanFileError, LimitError)):
            exercised(path)


@pytest.mark.parametrize("change", [
    lambda header: header["variants"].append(header["variants"][0]),
    lambda header: header["variants"][0].update(inputs=header["inputs"]),
    lambda header: header["variants"][0]["inputs"][0].update(name="other"),
    lambda header: header["variants"][0]["outputs"][0].update(dtype="int32"),
    lambda header: header["variants"][0].update(outputs=[]),
    lambda header: header["variants"][0]["text"].__setitem__(1, 1 << 20),
    lambda header: header.pop("variants"),
    lambda header: header.update(variants={}),
], ids=["twice", "as_the_first", "name", "dtype", "no_outputs", "text_too_long", "no_index", "no_list"])  # fmt: skip
def test_plans_that_are_not_of_one_model_are_refused(change: Change, whole: bytes, tmp_path: Path) -> None:
    """Attack: an index that would make a buffer of one plan the input of another."""
    path = tmp_path / "index.alula"
    path.write_bytes(changed(whole, change))

    with pytest.raises(PlanFileError):
        open_file(path)


@pytest.mark.parametrize("name", [
    "arena_bytes", "scratch_bytes", "output_offsets", "worker", "launch", "segments", "steps", "values",
])  # fmt: skip
def test_no_value_in_a_plans_text_does_more_than_be_refused(name: str, whole: bytes, tmp_path: Path) -> None:
    """Attack: entries outside the code, offsets outside the arena, missing fields, in a text with a right hash."""
    path = tmp_path / "text.alula"
    refused = 0
    for value in HOSTILE:
        place: list[int] = []

        def put(texts: bytes, value: Json = value, place: list[int] = place) -> bytes:
            first = json.JSONDecoder().raw_decode(texts.decode())[0]
            first[name] = value
            text = json.dumps(first).encode()
            place[:] = [0, len(text)]
            return text

        def point(header: Json, place: list[int] = place) -> None:
            header["variants"][0]["text"] = place
            header["variants"] = header["variants"][:1]

        path.write_bytes(changed(whole, point, put))
        try:
            exercised(path)
        except (PlanFileError, LimitError):
            refused += 1
        except AlulaError as error:  # anything else would be a hole in the checks
            pytest.fail(f"{name} = {value!r}: {error}")

    assert refused >= len(HOSTILE) - 4


@pytest.mark.parametrize("text", [b"", b"null", b"[" * 300, b'{"arena_bytes": NaN}', b"\xff"])
def test_texts_that_are_no_json_object_are_refused(text: bytes, whole: bytes, tmp_path: Path) -> None:
    """Attack: the text of a plan is read long after opening, with the same care."""
    path = tmp_path / "text.alula"

    def point(header: Json) -> None:
        header["variants"][0]["text"] = [0, len(text)]

    path.write_bytes(changed(whole, point, lambda _: text))

    with pytest.raises(PlanFileError):
        exercised(path)
