"""The allow-list of PyTorch files: the only names a weight file may mention, and what alula makes of each.

In: a module and a name, arguments. Out: plain records and values. Nothing is imported or called by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from alula.base.errors import ModelFileError, UnsupportedError
from alula.base.tensors import DType
from alula.engine.importers.arrays import PACKED
from alula.engine.importers.files import shown
from alula.engine.importers.torch_pickle_tensors import Storage, StoredTensor

_HINT = "save weights only: torch.save(model.state_dict(), path)"

# torch/storage.py and torch/__init__.py; numpy's and torch's names of the same types agree but for these.
_STORAGES = {
    "FloatStorage": DType.FLOAT32,
    "DoubleStorage": DType.FLOAT64,
    "HalfStorage": DType.FLOAT16,
    "BFloat16Storage": DType.BFLOAT16,
    "CharStorage": DType.INT8,
    "ShortStorage": DType.INT16,
    "IntStorage": DType.INT32,
    "LongStorage": DType.INT64,
    "ByteStorage": DType.UINT8,
    "BoolStorage": DType.BOOL,
}
_MOST_DIMS = 64
_DTYPES = {dtype.value: dtype for dtype in DType if dtype is not DType.STRING and dtype not in PACKED}


@dataclass(frozen=True)
class Name:
    """A name that a file mentions and that is on the allow-list."""

    module: str
    name: str

    def __str__(self) -> str:
        """Print as Python writes it."""
        return f"{self.module}.{self.name}"


def allowed(where: str, module: str, name: str) -> Name:
    """The name, when a weight file may mention it.

    Raises:
        UnsupportedError: it may not.
    """
    known = Name(module, name)
    torch_type = module == "torch" and (name in _STORAGES or name in _DTYPES)
    if torch_type or str(known) in _CALLS or known == _UNTYPED:
        return known
    raise UnsupportedError(where, "may hold tensors only", f"it asks for {shown(str(known))}", _HINT)


def call(where: str, function: object, arguments: object) -> object:
    """What the allowed `function` makes of its arguments.

    Raises:
        ModelFileError: it is no function of the list, or the arguments are not its own.
    """
    make = _CALLS.get(str(function)) if isinstance(function, Name) else None
    if make is None or not isinstance(arguments, tuple):
        found = str(function) if isinstance(function, Name) else f"a {type(function).__name__}"
        raise ModelFileError(where, "may call functions of the allow-list only", f"found {found}")
    try:
        return make(*arguments)
    except (TypeError, ValueError):
        raise ModelFileError(where, f"{function} needs arguments of its own kind", "found others") from None


def storage(where: str, identity: object) -> Storage:
    """The storage behind a persistent id: ("storage", type, key, device, count[, None]).

    Raises:
        ModelFileError: the id has another form.
    """
    match identity:
        case ("storage", Name() as kind, str(key), str(), int(count), *rest) if count >= 0 and rest in ([], [None]):
            if kind == _UNTYPED:
                return Storage(key, None, count)
            if kind.name in _STORAGES:
                return Storage(key, _STORAGES[kind.name], count)
    raise ModelFileError(where, "needs a storage by type, key, device and count", "found another persistent id")


_UNTYPED = Name("torch.storage", "UntypedStorage")


def _ordered_dict(pairs: object = None) -> dict[str | int, object]:
    """`collections.OrderedDict([pairs])`; Python 2 wrote the pairs, Python 3 sets the items afterwards."""
    made: dict[str | int, object] = {}
    if pairs is None:
        return made
    if not isinstance(pairs, list):
        raise TypeError
    for pair in pairs:
        key, value = pair if isinstance(pair, (list, tuple)) else ()
        if not isinstance(key, (str, int)):
            raise TypeError
        made[key] = value
    pairs.clear()  # used up: a stream that hands over one long list again and again would take for ever
    return made


def _tensor(stored: object, offset: object, size: object, stride: object, *_rest: object) -> StoredTensor:
    """`torch._utils._rebuild_tensor[_v2](storage, storage_offset, size, stride, requires_grad, hooks, metadata)`."""
    if not isinstance(stored, Storage) or stored.dtype is None or not isinstance(offset, int):
        raise TypeError
    return StoredTensor(stored, stored.dtype, offset, _numbers(size), _numbers(stride))


def _tensor_v3(*arguments: object) -> StoredTensor:
    """`_rebuild_tensor_v3(storage, storage_offset, size, stride, requires_grad, hooks, dtype, metadata)`."""
    stored, offset, size, stride, _grad, _hooks, dtype, *_metadata = arguments
    if not isinstance(stored, Storage) or not isinstance(offset, int) or not isinstance(dtype, Name):
        raise TypeError
    if dtype.name not in _DTYPES:
        raise TypeError
    return StoredTensor(stored, _DTYPES[dtype.name], offset, _numbers(size), _numbers(stride))


def _parameter(data: object, *_rest: object) -> StoredTensor:
    """`torch._utils._rebuild_parameter(data, requires_grad, hooks[, state])`."""
    if not isinstance(data, StoredTensor):
        raise TypeError
    return data


def _numbers(values: object) -> tuple[int, ...]:
    if not isinstance(values, tuple) or len(values) > _MOST_DIMS:
        raise TypeError
    found = tuple(value for value in values if isinstance(value, int))
    if len(found) != len(values):
        raise TypeError
    return found


def _size(values: object) -> tuple[int, ...]:
    return _numbers(tuple(values) if isinstance(values, list) and len(values) <= _MOST_DIMS else values)


def _device(*names: object) -> str:
    return str(names[0]) if names and isinstance(names[0], str) else ""


_CALLS: Mapping[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.Size": _size,
    "torch.device": _device,
}
