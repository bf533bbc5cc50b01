"""safetensors files: a JSON header, then raw tensors.

In: a path. Out: read-only arrays by name, views of the mapped file. Format: huggingface.co/docs/safetensors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from alula.base.errors import LimitError, ModelFileError, UnsupportedError
from alula.base.tensors import DType
from alula.engine.graph.nodes import Array
from alula.engine.importers.arrays import checked_shape, view_array
from alula.engine.importers.files import describe, map_file, shown

_LONGEST_HEADER = 25_000_000  # ten thousand tensors take about one million
_METADATA = "__metadata__"
_DTYPES = {
    "F64": DType.FLOAT64,
    "F32": DType.FLOAT32,
    "F16": DType.FLOAT16,
    "BF16": DType.BFLOAT16,
    "I64": DType.INT64,
    "I32": DType.INT32,
    "I16": DType.INT16,
    "I8": DType.INT8,
    "U64": DType.UINT64,
    "U32": DType.UINT32,
    "U16": DType.UINT16,
    "U8": DType.UINT8,
    "BOOL": DType.BOOL,
    "F8_E4M3": DType.FLOAT8E4M3FN,
    "F8_E5M2": DType.FLOAT8E5M2,
    "F8_E8M0": DType.FLOAT8E8M0,
}


@dataclass(frozen=True)
class _Entry:
    where: str
    dtype: DType
    shape: tuple[int, ...]
    start: int
    end: int


def load_safetensors(path: Path) -> Mapping[str, Array]:
    """Read a safetensors file; arrays are views of the mapped file, bfloat16 in ml_dtypes' type.

    Raises:
        MissingError: no such file.
        ModelFileError: it is no safetensors file, or a tensor leaves it.
        UnsupportedError: a dtype that alula does not have.
        LimitError: the header is longer than that of any model.
    """
    path = Path(path)
    data = map_file(path, "a safetensors file")
    size = int.from_bytes(data[:8], "little")
    if len(data) > 8 and data[8] == ord("{") and size > _LONGEST_HEADER:  # noqa: PLR2004  the header's length field
        raise LimitError(path.name, f"headers of at most {_LONGEST_HEADER} bytes", f"found {size}")
    if size > len(data) - 8:
        raise ModelFileError(path.name, "needs a safetensors file", describe(data))
    header = _header(data[8 : 8 + size], path.name)
    body = data[8 + size :]
    entries = {name: _entry(entry, f"{path.name}, tensor {shown(name)}") for name, entry in header.items()}
    _check_apart(entries, len(body), path.name)
    return {name: view_array(e.where, body[e.start : e.end], e.dtype, e.shape) for name, e in entries.items()}


def _header(data: memoryview, name: str) -> Mapping[str, object]:
    try:
        header = json.loads(bytes(data), object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(name, "needs a header in JSON", shown(str(error))) from None
    if not isinstance(header, dict):
        raise ModelFileError(name, "needs a header with tensors by name", f"found a {type(header).__name__}")
    header.pop(_METADATA, None)
    return header


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        msg = "one name stands twice"
        raise ValueError(msg)
    return made


def _entry(entry: object, where: str) -> _Entry:
    match entry:
        case {"dtype": str(code), "shape": list(dims), "data_offsets": [int(start), int(end)]}:
            pass
        case _:
            raise ModelFileError(where, "needs dtype, shape and data_offsets", "found others")
    if code not in _DTYPES:
        raise UnsupportedError(where, "needs a dtype that alula has", f"found {shown(code)}")
    if not all(type(dim) is int for dim in dims):
        raise ModelFileError(where, "needs a shape of whole numbers", "found others")
    dtype = _DTYPES[code]
    return _Entry(where, dtype, checked_shape(where, dims, dtype.itemsize), start, end)


def _check_apart(entries: Mapping[str, _Entry], size: int, name: str) -> None:
    """Tensors lie in the file and share no bytes, as the format demands."""
    end = 0
    for entry in sorted(entries.values(), key=lambda entry: (entry.start, entry.end)):
        if not end <= entry.start <= entry.end <= size:
            found = f"bytes {entry.start} to {entry.end} after byte {end} of {size}"
            raise ModelFileError(entry.where, "needs bytes of its own in the file", found)
        end = entry.end
    if end != size:
        raise ModelFileError(name, f"needs {end} bytes after its header", f"found {size}")
