"""Checked reading of JSON that may be hostile: every access says what it wants and where it stands.

In: what `json.loads` returned. Out: values of the type asked for, or a PlanFileError that names the field.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from alula.base.errors import PlanFileError
from alula.base.tensors import DType

# No size or offset that today's machines can mean is larger; sums of a few stay exact and far below 2**63.
LARGEST = 1 << 48
_RANKS = 32


def parse_json(data: bytes, where: str) -> Fields:
    """The object that `data` holds.

    Raises:
        PlanFileError: the bytes are no JSON object, are nested too deeply, or hold numbers that JSON does not know.
    """
    try:
        return Fields(json.loads(data.decode(), parse_constant=_no_constant), where)
    except (ValueError, RecursionError) as error:
        raise PlanFileError(where, "needs a header that is JSON", str(error)[:200] or "nested too deeply") from error


def _no_constant(name: str) -> NoReturn:
    msg = f"the constant {name}"
    raise ValueError(msg)


class Fields:
    """One JSON object and where it stands; reading a field checks it."""

    def __init__(self, raw: object, where: str) -> None:
        if not isinstance(raw, dict):
            raise PlanFileError(where, "needs a JSON object", f"found {_kind(raw)}")
        self.raw: Mapping[str, Any] = raw
        self.where = where

    def has(self, name: str) -> bool:
        """Whether the field is there."""
        return name in self.raw

    def text(self, name: str) -> str:
        """A string."""
        value = self.raw.get(name)
        return value if isinstance(value, str) else self.refuse(name, "a string")

    def count(self, name: str, most: int = LARGEST) -> int:
        """A whole number from 0 to `most`."""
        return self._counted(self.raw.get(name), name, most)

    def counts(self, name: str, length: int | None = None, most: int = LARGEST) -> tuple[int, ...]:
        """A list of whole numbers from 0 to `most`; `length` of them where that is given."""
        items = self.items(name)
        if length is not None and len(items) != length:
            self.refuse(name, f"{length} numbers")
        return tuple(self._counted(item, name, most) for item in items)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings."""
        items = self.items(name)
        return tuple(item if isinstance(item, str) else self.refuse(name, "strings") for item in items)

    def items(self, name: str) -> list[Any]:
        """A list of anything."""
        value = self.raw.get(name)
        return value if isinstance(value, list) else self.refuse(name, "a list")

    def inner(self, name: str) -> Fields:
        """An object."""
        return Fields(self.raw.get(name), f"{self.where}, {name}")

    def list_of(self, name: str) -> list[Fields]:
        """A list of objects."""
        return [Fields(item, f"{self.where}, {name}[{index}]") for index, item in enumerate(self.items(name))]

    def dtype(self, name: str) -> DType:
        """The name of an element type."""
        try:
            dtype = DType(self.text(name))
        except ValueError:
            return self.refuse(name, "an element type")
        # Strings have no fixed size, so a plan has no place for them.
        return dtype if dtype is not DType.STRING else self.refuse(name, "an element type of fixed size")

    def shape(self, name: str) -> tuple[int, ...]:
        """A list of dimensions whose product, of those that are not 0, is below the largest size."""
        dims = self.counts(name)
        total = 1
        for dim in dims:
            total *= max(dim, 1)
            if total > LARGEST:
                self.refuse(name, f"at most {LARGEST} elements")
        return dims if len(dims) <= _RANKS else self.refuse(name, f"at most {_RANKS} dimensions")

    def refuse(self, name: str, needed: str) -> NoReturn:
        """Raise: the field is not what it has to be."""
        raise PlanFileError(f"{self.where}, {name}", f"needs {needed}", f"found {_kind(self.raw.get(name))}")

    def _counted(self, value: object, name: str, most: int) -> int:
        # A JSON true is an int to Python.
        if type(value) is not int or not 0 <= value <= most:
            self.refuse(name, f"a whole number from 0 to {most}")
        return value


def _kind(value: object) -> str:
    if isinstance(value, (dict, list)):
        return f"a {type(value).__name__} of {len(value)}"
    shown = repr(value) if not isinstance(value, int) or abs(value) <= LARGEST else "a huge number"
    return shown if len(shown) <= 80 else shown[:77] + "..."  # noqa: PLR2004  a line of text
