"""PyTorch weight files, both forms: the legacy stream of pickles and the zip archive. Tensors only, never code.

In: a path. Out: read-only arrays by name, views of the mapped file.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from alula.base.errors import LimitError, ModelFileError, UnsupportedError
from alula.engine.graph.nodes import Array
from alula.engine.importers.files import describe, map_file, shown
from alula.engine.importers.torch_pickle_machine import Machine
from alula.engine.importers.torch_pickle_tensors import Storage, Storages, StoredTensor, view_tensor

# torch/serialization.py: the magic number as a pickle of protocol 2, then the version of the stream, 1001.
_LEGACY = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")
_LEGACY_VERSION = 1001
_ZIP = b"PK\x03\x04"
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")  # zip specification (APPNOTE 6.3.10), section 4.3.7

_MOST_MEMBERS = 200_000
_MOST_VALUES = 1_000_000
_DEEPEST = 32
_LONGEST_NAME = 1000
_WEIGHTS = ("state_dict", "model_state_dict", "model")
_WHAT = "a PyTorch weight file"


def load_torch(path: Path) -> Mapping[str, Array]:
    """Read the tensors of a file that `torch.save` wrote, without running anything in it.

    Of a checkpoint the part under `state_dict`, `model_state_dict` or `model` is taken; other nested dicts are
    flattened, their keys joined with dots. Values that are no tensors are left out. bfloat16 comes in ml_dtypes' type.
    The arrays are views of the mapped file, which must not be changed while they live.

    Raises:
        MissingError: no such file.
        ModelFileError: it is no weight file, it is damaged, or a tensor leaves its storage.
        UnsupportedError: it asks for anything but tensors.
        LimitError: it is larger or deeper than any weight file.
    """
    path = Path(path)
    data = map_file(path, _WHAT)
    name = path.name
    if data[:4] == _ZIP:
        root, storages = _read_zip(path, data)
    elif data[: len(_LEGACY)] == _LEGACY:
        root, storages = _read_legacy(data, name)
    else:
        raise ModelFileError(name, f"needs {_WHAT}", describe(data))
    arrays: dict[str, Array] = {}
    views = Storages(storages)
    for key, tensor in _tensors(_weights(root), name):
        if key in arrays:
            raise ModelFileError(name, "needs tensors with distinct names", f"found {shown(key)} twice")
        arrays[key] = view_tensor(f"{name}, tensor {shown(key)}", tensor, views)
    return arrays


def _read_legacy(data: memoryview, name: str) -> tuple[object, Mapping[str, memoryview]]:
    """Magic, version, system, object, storage keys; then each storage: an int64 count and its elements."""
    at = len(_LEGACY)
    parts: list[object] = []
    for _ in range(4):
        machine = Machine(data, at, name)
        parts.append(machine.run())
        at = machine.at
    version, system, root, keys = parts
    if version != _LEGACY_VERSION:
        raise UnsupportedError(name, f"needs version {_LEGACY_VERSION} of the stream", "found another")
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise UnsupportedError(name, "needs little-endian numbers", "found others")
    sizes = _element_sizes(root, name)
    storages: dict[str, memoryview] = {}
    for key in keys if isinstance(keys, list) else ():
        if not isinstance(key, str) or key in storages:
            raise ModelFileError(name, "needs storages with distinct keys", "found others")
        storages[key], at = _storage(data, at, sizes.get(key, 1), f"{name}, storage {shown(key)}")
    return root, storages


def _storage(data: memoryview, at: int, itemsize: int, where: str) -> tuple[memoryview, int]:
    start = at + 8
    size = int.from_bytes(data[at:start], "little", signed=True) * itemsize
    if start > len(data) or not 0 <= size <= len(data) - start:
        raise ModelFileError(where, f"claims {size} bytes at {start}", f"the file has {len(data)}")
    return data[start : start + size], start + size


def _element_sizes(root: object, name: str) -> Mapping[str, int]:
    stored = (tensor.storage for _, tensor in _tensors(root, name))
    return {storage.key: storage.dtype.itemsize for storage in stored if storage.dtype}


def _read_zip(path: Path, data: memoryview) -> tuple[object, Mapping[str, memoryview]]:
    """The archive's data.pkl, and beside it one member a storage: data/0, data/1, ..."""
    name = path.name
    members = _members(path)
    pickles = [member for member in members if member.split("/")[1:] == ["data.pkl"]]
    if len(pickles) != 1:
        raise ModelFileError(name, f"needs {_WHAT}", f"found a zip archive with {len(pickles)} members FOLDER/data.pkl")
    folder = pickles[0].split("/")[0]
    order = members.get(f"{folder}/byteorder")
    if order is not None and bytes(_member(data, order, name)) != b"little":
        raise UnsupportedError(name, "needs little-endian numbers", "found others")
    root = Machine(_member(data, members[pickles[0]], name), 0, f"{name}/data.pkl").run()
    wanted = {tensor.storage.key: tensor.storage for _, tensor in _tensors(root, name)}
    return root, {key: _stored(data, members, f"{folder}/data/{key}", wanted[key], name) for key in wanted}


def _members(path: Path) -> Mapping[str, zipfile.ZipInfo]:
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OverflowError, NotImplementedError, OSError, struct.error) as error:
        raise ModelFileError(
            path.name, f"needs {_WHAT}", f"found a damaged zip archive ({shown(str(error))})"
        ) from None
    if len(infos) > _MOST_MEMBERS:
        raise LimitError(path.name, f"archives of at most {_MOST_MEMBERS} members", f"found {len(infos)}")
    members = {info.filename: info for info in infos}
    if len(members) != len(infos):
        raise ModelFileError(path.name, "needs members with distinct names", "one name stands twice")
    return members


def _stored(
    data: memoryview,
    members: Mapping[str, zipfile.ZipInfo],
    member: str,
    storage: Storage,
    name: str,
) -> memoryview:
    if member not in members:
        raise ModelFileError(name, f"needs member {shown(member)}", "the archive does not have it")
    found = _member(data, members[member], name)
    size = storage.count * (storage.dtype.itemsize if storage.dtype else 1)
    if len(found) < size:
        raise ModelFileError(name, f"needs {size} bytes in {shown(member)}", f"found {len(found)}")
    return found[:size]


def _member(data: memoryview, info: zipfile.ZipInfo, name: str) -> memoryview:
    """The bytes of a member, as a view: PyTorch stores members as they are."""
    where = f"{name}, member {shown(info.filename)}"
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        raise UnsupportedError(where, "needs members stored as they are", "it is compressed or encrypted")
    header = data[info.header_offset : info.header_offset + _LOCAL_HEADER.size] if info.header_offset >= 0 else b""
    if len(header) < _LOCAL_HEADER.size or bytes(header[:4]) != _ZIP:
        raise ModelFileError(where, "needs a header in the file", "there is none")
    *_, name_size, extra_size = _LOCAL_HEADER.unpack(header)
    start = info.header_offset + _LOCAL_HEADER.size + name_size + extra_size
    if start + info.file_size > len(data):
        raise ModelFileError(where, f"claims {info.file_size} bytes at {start}", f"the file has {len(data)}")
    return data[start : start + info.file_size]


def _weights(root: object) -> object:
    """The weights of a checkpoint, which also holds an optimizer and an epoch; else all of it."""
    if isinstance(root, dict):
        for key in _WEIGHTS:
            if isinstance(root.get(key), dict):
                return root[key]
    return root


def _tensors(root: object, name: str) -> Iterator[tuple[str, StoredTensor]]:
    """The tensors under `root` with their dotted names, in file order; values that are shared come at each place."""
    levels: list[tuple[str, Iterator[tuple[object, object]]]] = [("", iter([("", root)]))]
    for _ in range(_MOST_VALUES):
        if not levels:
            return
        prefix, pairs = levels[-1]
        key, value = next(pairs, ("", levels))
        if value is levels:
            levels.pop()
            continue
        label = f"{prefix}.{key}" if prefix else str(key)
        if len(label) > _LONGEST_NAME or len(levels) > _DEEPEST:
            found = "the file has longer or deeper ones"
            raise LimitError(name, f"names of at most {_LONGEST_NAME} letters, {_DEEPEST} deep", found)
        if isinstance(value, StoredTensor):
            yield label or "tensor", value
        elif isinstance(value, (dict, list, tuple)):
            levels.append((label, iter(value.items() if isinstance(value, dict) else enumerate(value))))
    raise LimitError(name, f"at most {_MOST_VALUES} values", "the file has more")
