from __future__ import annotations

import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.torch_files import (
    EMPTY_DICT,
    EMPTY_LIST,
    EMPTY_TUPLE,
    MAGIC,
    NONE,
    REDUCE,
    group,
    legacy_file,
    mapping,
    name,
    number,
    storage,
    stream,
    tensor,
    text,
    zip_file,
)

from alula.base.errors import AlulaError, LimitError, ModelFileError, UnsupportedError
from alula.engine.importers.torch_pickle import load_torch
from alula.engine.importers.torch_pickle_machine import Machine

ELEMENTS = np.arange(12, dtype=np.float32).tobytes()
STORED = storage("FloatStorage", "0", 12)
WHOLE = tensor(STORED, 0, (3, 4), (4, 1))


def load_or_refuse(path: Path) -> None:
    """Arrays whose every element can be read, or one of alula's errors: nothing else may come out."""
    try:
        arrays = load_torch(path)
    except AlulaError:
        return
    for array in arrays.values():
        array.tobytes()


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(name("os", "system") + group(text("true")) + REDUCE, id="os.system"),
        pytest.param(name("posix", "system") + group(text("true")) + REDUCE, id="posix.system"),
        pytest.param(name("builtins", "eval") + group(text("1")) + REDUCE, id="eval"),
        pytest.param(name("builtins", "getattr"), id="getattr, not even called"),
        pytest.param(text("os") + text("system") + b"\x93", id="name from the stack"),
        pytest.param(name("torch._utils", "_rebuild_tensor_v2.__globals__"), id="attribute of an allowed name"),
        pytest.param(name("torch", "load"), id="another name of torch"),
        pytest.param(name("collections", "OrderedDict.fromkeys"), id="method of an allowed name"),
        pytest.param(b"(ios\nsystem\n", id="INST"),
        pytest.param(b"(oN", id="OBJ"),
        pytest.param(b"\x81", id="NEWOBJ"),
        pytest.param(b"\x82\x01", id="EXT1"),
        pytest.param(b"Ptorch\n", id="PERSID"),
    ],
)
@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_whatever_is_no_tensor_is_refused_and_never_run(tmp_path: Path, attack: bytes, form: str) -> None:
    """Attack: a pickle may name any function of Python; a weight file names only those of the allow-list."""
    root = mapping({"w": WHOLE, "attack": attack})
    path = tmp_path / "w.pth"
    if form == "zip":
        zip_file(path, root, {"0": ELEMENTS})
    else:
        legacy_file(path, root, {"0": (12, ELEMENTS)})

    with pytest.raises(UnsupportedError, match=r"may hold tensors only|needs the opcodes of weight files"):
        load_torch(path)


@pytest.mark.parametrize(
    "root",
    [
        pytest.param(group(text("x")) + EMPTY_TUPLE + REDUCE, id="call of a tuple"),
        pytest.param(name("torch", "FloatStorage") + EMPTY_TUPLE + REDUCE, id="call of a storage type"),
        pytest.param(name("torch._utils", "_rebuild_tensor_v2") + EMPTY_TUPLE + REDUCE, id="missing arguments"),
        pytest.param(name("torch._utils", "_rebuild_tensor_v2") + group(*[text("x")] * 6) + REDUCE, id="text"),
        pytest.param(name("torch._utils", "_rebuild_parameter") + group(number(1)) + REDUCE, id="parameter of 1"),
        pytest.param(name("collections", "OrderedDict") + group(number(1)) + REDUCE, id="dict of 1"),
        pytest.param(text("x") + b"Q", id="persistent id of text"),
        pytest.param(group(text("module"), text("x")) + b"Q", id="persistent id of a module"),
        pytest.param(EMPTY_DICT + EMPTY_TUPLE + NONE + b"s", id="tuple as a key"),
        pytest.param(EMPTY_LIST + text("k") + NONE + b"s", id="item of a list"),
        pytest.param(EMPTY_DICT + NONE + b"a", id="append to a dict"),
        pytest.param(b"h\x07", id="memo entry that was never put"),
        pytest.param(b"0", id="empty stack"),
        pytest.param(b"(((", id="marks without values"),
        pytest.param(b"t", id="tuple without mark"),
        pytest.param(b"X\xff\xff\xff\x7fabc", id="text beyond the file"),
        pytest.param(b"\x8a\xff" + bytes(255), id="integer of 255 bytes"),
        pytest.param(b"\x95" + b"\xff" * 8, id="frame beyond the file"),
        pytest.param(b"\x80\x63", id="protocol 99"),
        pytest.param(b"cos", id="name without end"),
    ],
)
def test_malformed_stream_is_refused(tmp_path: Path, root: bytes) -> None:
    """Attack: opcodes in the wrong place or with the wrong values."""
    with pytest.raises(AlulaError):
        load_torch(zip_file(tmp_path / "w.pth", root, {"0": ELEMENTS}))


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        pytest.param(0, (13,), (1,), id="one element too many"),
        pytest.param(1, (3, 4), (4, 1), id="offset pushes out"),
        pytest.param(12, (1,), (1,), id="offset at the end"),
        pytest.param(-1, (3,), (1,), id="negative offset"),
        pytest.param(11, (12,), (-1,), id="negative stride"),
        pytest.param(0, (-1,), (1,), id="negative size"),
        pytest.param(0, (2, 2), (1,), id="stride missing"),
        pytest.param(0, (2,), (2**62,), id="stride that overflows"),
        pytest.param(0, (2**40,), (0,), id="one element repeated without end"),
        pytest.param(2**62, (1,), (1,), id="offset that overflows"),
        pytest.param(0, (2**40, 2**40), (0, 0), id="size that overflows"),
        pytest.param(0, (1,) * 65, (1,) * 65, id="more dimensions than numpy has"),
    ],
)
def test_tensor_that_leaves_its_storage_is_refused(
    tmp_path: Path, offset: int, size: tuple[int, ...], stride: tuple[int, ...]
) -> None:
    """Attack: a window over memory that is not the storage's."""
    root = mapping({"w": tensor(STORED, offset, size, stride)})

    with pytest.raises(ModelFileError):
        load_torch(zip_file(tmp_path / "w.pth", root, {"0": ELEMENTS}))


@pytest.mark.parametrize("count", [13, -1, 2**60, -(2**63)])
def test_legacy_storage_that_claims_more_than_the_file_is_refused(tmp_path: Path, count: int) -> None:
    """Attack: a count of elements that leads out of the file."""
    path = legacy_file(tmp_path / "w.pth", mapping({"w": WHOLE}), {"0": (count, ELEMENTS)})

    with pytest.raises(ModelFileError, match=r"storage 0: claims"):
        load_torch(path)


def test_missing_storage_is_refused(tmp_path: Path) -> None:
    """Attack: a tensor over a storage that the file does not have."""
    root = mapping({"w": tensor(storage("FloatStorage", "7", 12), 0, (12,), (1,))})

    for path in (
        zip_file(tmp_path / "a.pth", root, {"0": ELEMENTS}),
        legacy_file(tmp_path / "b.pth", root, {"0": (12, ELEMENTS)}),
    ):
        with pytest.raises(ModelFileError, match="does not have it"):
            load_torch(path)


def test_storage_key_that_is_a_path_is_only_a_name(tmp_path: Path) -> None:
    """Attack: a key that climbs out of the archive; nothing is opened by it."""
    (tmp_path / "secret").write_bytes(ELEMENTS)
    root = mapping({"w": tensor(storage("FloatStorage", "../../secret", 12), 0, (12,), (1,))})

    with pytest.raises(ModelFileError, match="does not have it"):
        load_torch(zip_file(tmp_path / "w.pth", root, {"0": ELEMENTS}))


def test_lists_that_double_are_refused_in_bounded_time(tmp_path: Path) -> None:
    """Attack: forty lists, each holding the one before twice, are 2^40 values to walk."""
    body = EMPTY_LIST + b"q\x00"
    for index in range(1, 30):
        body += EMPTY_LIST + b"(" + bytes([ord("h"), index - 1]) * 2 + b"e" + bytes([ord("q"), index])

    with pytest.raises(LimitError, match="values"):
        load_torch(zip_file(tmp_path / "w.pth", group(WHOLE, body), {"0": ELEMENTS}))


def test_list_that_holds_itself_is_refused(tmp_path: Path) -> None:
    """Attack: a cycle through the memo, to make the reader walk for ever."""
    body = EMPTY_LIST + b"q\x00" + b"h\x00" + b"a"

    with pytest.raises(LimitError, match="deep"):
        load_torch(zip_file(tmp_path / "w.pth", body, {"0": ELEMENTS}))


@pytest.mark.parametrize("body", [b"(" * 100_000, NONE + b"\x85" * 100_000, EMPTY_LIST * 50_000 + b"a" * 49_999])
def test_values_nested_without_end_are_refused(tmp_path: Path, body: bytes) -> None:
    """Attack: marks, tuples and lists inside each other, to exhaust the stack."""
    with pytest.raises(LimitError, match="deep"):
        load_torch(zip_file(tmp_path / "w.pth", body, {"0": ELEMENTS}))


def test_more_opcodes_than_any_file_has_are_refused() -> None:
    """Attack: a stream that keeps the interpreter busy."""
    machine = Machine(memoryview(b"NN" + b"r\x00\x00\x00\x00" * 2_000_001 + b"."), 0, "hostile.pth")

    with pytest.raises(LimitError, match="opcodes"):
        machine.run()


def test_pairs_handed_over_again_and_again_cost_nothing(tmp_path: Path) -> None:
    """Attack: one long list of pairs turned into a dict ten thousand times."""
    pairs = EMPTY_LIST + b"(" + group(text("k"), number(1)) * 10_000 + b"eq\x00"
    calls = (name("collections", "OrderedDict") + b"h\x00" + b"\x85" + REDUCE) * 10_000
    path = zip_file(tmp_path / "w.pth", group(pairs, calls, WHOLE), {"0": ELEMENTS})

    assert list(load_torch(path)) == ["10001"]


def test_storage_shared_by_many_tensors_is_not_copied(tmp_path: Path) -> None:
    """Attack: thousands of tensors over one storage, each of which would be copied."""
    stored = storage("BFloat16Storage", "0", 1 << 16)
    root = mapping({f"w{i}": tensor(stored, 0, (1 << 16,), (1,)) for i in range(1000)})
    path = zip_file(tmp_path / "w.pth", root, {"0": bytes(1 << 17)})

    tracemalloc.start()
    arrays = load_torch(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert len(arrays) == 1000
    assert peak < 20_000_000


def test_compressed_member_is_refused_without_being_unpacked(tmp_path: Path) -> None:
    """Attack: a kilobyte that unpacks to a gigabyte. PyTorch stores members as they are."""
    path = zip_file(tmp_path / "w.pth", mapping({"w": WHOLE}), {"0": bytes(1 << 20)}, zipfile.ZIP_DEFLATED)

    with pytest.raises(UnsupportedError, match="compressed"):
        load_torch(path)


def test_archive_with_two_pickles_is_refused(tmp_path: Path) -> None:
    """Attack: two readers of one file see two different models."""
    path = zip_file(tmp_path / "w.pth", mapping({"w": WHOLE}), {"0": ELEMENTS})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("other/data.pkl", stream(EMPTY_DICT))

    with pytest.raises(ModelFileError, match="2 members"):
        load_torch(path)


def test_member_header_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    """Attack: the directory of the archive points outside the file."""
    path = zip_file(tmp_path / "w.pth", mapping({"w": WHOLE}), {"0": ELEMENTS})
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 42 : entry + 46] = struct.pack("<I", len(data) - 2)
    path.write_bytes(data)

    with pytest.raises(ModelFileError):
        load_torch(path)


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_file_cut_off_anywhere_is_an_error_or_arrays(tmp_path: Path, form: str) -> None:
    """Attack: every third prefix of a valid file."""
    path = valid_file(tmp_path, form)
    data = path.read_bytes()
    for size in range(1, len(data), 3):
        path.write_bytes(data[:size])
        load_or_refuse(path)


@pytest.mark.parametrize("form", ["zip", "legacy"])
@settings(max_examples=700, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), min_size=1, max_size=4))
def test_file_with_changed_bytes_is_an_error_or_arrays(
    tmp_path: Path, form: str, changes: list[tuple[int, int]]
) -> None:
    """Attack: a valid file with a few bytes changed, opcodes, sizes and offsets among them."""
    path = valid_file(tmp_path, form)
    data = bytearray(path.read_bytes())
    for place, byte in changes:
        data[place % len(data)] = byte
    path.write_bytes(data)

    load_or_refuse(path)


def valid_file(folder: Path, form: str) -> Path:
    """A small weight file in this form."""
    root = mapping({"w": WHOLE, "b": tensor(STORED, 1, (4, 2), (1, 4))})
    if form == "zip":
        return zip_file(folder / "w.pth", root, {"0": ELEMENTS})
    return legacy_file(folder / "w.pth", root, {"0": (12, ELEMENTS)})


def test_legacy_file_that_ends_after_its_magic_is_refused(tmp_path: Path) -> None:
    """Attack: nothing but the magic number."""
    (tmp_path / "w.pth").write_bytes(MAGIC)

    with pytest.raises(ModelFileError, match="needs 1 bytes"):
        load_torch(tmp_path / "w.pth")
