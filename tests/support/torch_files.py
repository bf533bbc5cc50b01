"""PyTorch weight files made by hand, opcode by opcode: torch is not needed, and attacks can be written down.

In: parts of a pickle stream. Out: bytes of streams and of files in both forms.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

MAGIC = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")
NONE, TRUE, FALSE, EMPTY_TUPLE, EMPTY_DICT, EMPTY_LIST, REDUCE = b"N", b"\x88", b"\x89", b")", b"}", b"]", b"R"


def text(value: str) -> bytes:
    """BINUNICODE."""
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    """BININT, or LONG1 for what four bytes do not hold."""
    if -(1 << 31) <= value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    return b"\x8a\x0a" + value.to_bytes(10, "little", signed=True)


def group(*items: bytes) -> bytes:
    """A tuple."""
    return b"(" + b"".join(items) + b"t"


def numbers(values: Iterable[int]) -> bytes:
    """A tuple of integers."""
    return group(*map(number, values))


def name(module: str, attribute: str) -> bytes:
    """GLOBAL."""
    return f"c{module}\n{attribute}\n".encode()


def mapping(items: Mapping[str, bytes]) -> bytes:
    """A dict."""
    return EMPTY_DICT + b"(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def storage(kind: str, key: str, count: int) -> bytes:
    """A persistent id: `kind` is a name in torch such as FloatStorage."""
    return group(text("storage"), name("torch", kind), text(key), text("cpu"), number(count)) + b"Q"


def tensor(stored: bytes, offset: int, size: Iterable[int], stride: Iterable[int]) -> bytes:
    """What torch.save writes for a tensor."""
    hooks = name("collections", "OrderedDict") + EMPTY_TUPLE + REDUCE
    arguments = group(stored, number(offset), numbers(size), numbers(stride), FALSE, hooks)
    return name("torch._utils", "_rebuild_tensor_v2") + arguments + REDUCE


def stream(body: bytes) -> bytes:
    """A whole pickle of protocol 2."""
    return b"\x80\x02" + body + b"."


def zip_file(path: Path, root: bytes, storages: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    """A weight file in the zip form."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", stream(root))
        archive.writestr("archive/byteorder", "little")
        for key, data in storages.items():
            archive.writestr(f"archive/data/{key}", data)
    return path


def legacy_file(path: Path, root: bytes, storages: Mapping[str, tuple[int, bytes]]) -> Path:
    """A weight file in the legacy form; each storage comes with its count of elements."""
    system = mapping({"protocol_version": number(1001), "little_endian": TRUE})
    keys = EMPTY_LIST + b"(" + b"".join(map(text, storages)) + b"e"
    parts = [MAGIC, *map(stream, (number(1001), system, root, keys))]
    parts += [struct.pack("<q", count) + data for count, data in storages.values()]
    path.write_bytes(b"".join(parts))
    return path
