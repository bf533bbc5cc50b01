"""A model's preprocessing as text: the strict reader of `preprocess.toml`.

In: TOML text. Out: `Preprocessing`. For example:

    [input]
    layout = "NCHW"                 # or "NHWC"
    colour = "RGB"                  # or "BGR"
    [resize]
    short_side = 256                # or size = [height, width]
    kernel = "bicubic"              # or "nearest", "bilinear", "lanczos"
    [crop]
    centre = [224, 224]
    [normalise]
    mean = [127, 127, 127]
    deviation = [128, 128, 128]
    [output]
    scores = "logits"               # or "probabilities"
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from typing import Any

from alula.base.errors import SettingsError
from alula.imaging.preprocess import KERNELS, Normalise, Preprocessing, Resize

FILE_NAME = "preprocess.toml"
_MOST_CHARACTERS = 16384
_LONGEST_NAME = 256
_LARGEST_SIDE = 4096


def parse_preprocessing(text: str) -> Preprocessing:
    """Read a declaration; what it leaves out has the defaults of `Preprocessing`.

    Raises:
        SettingsError: no TOML, an unknown key, or a value that the key does not allow.
    """
    if len(text) > _MOST_CHARACTERS:
        raise _bad("the text", f"may have {_MOST_CHARACTERS} characters", len(text))
    try:
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise _bad("the text", "needs to be TOML", str(error)) from error
    top = _Table("", tables, ("input", "resize", "crop", "normalise", "output"))
    tensor = top.table("input", ("name", "layout", "colour", "dtype"))
    crop = top.table("crop", ("centre",))
    fields: dict[str, Any] = {
        "name": tensor.text("name"),
        "layout": tensor.choice("layout", ("NCHW", "NHWC")),
        "colour": tensor.choice("colour", ("RGB", "BGR")),
        "dtype": tensor.choice("dtype", ("float32", "uint8")),
        "resize": _resize(top) if "resize" in tables else None,
        "crop": crop.size("centre") if "crop" in tables else None,
        "normalise": _normalise(top.table("normalise", ("scale", "mean", "deviation"))),
        "scores": top.table("output", ("scores",)).choice("scores", ("logits", "probabilities")),
    }
    return Preprocessing(**fields)


def _resize(top: _Table) -> Resize:
    table = top.table("resize", ("size", "short_side", "kernel"))
    if ("size" in table.values) == ("short_side" in table.values):
        raise _bad("resize", "needs one of size and short_side", sorted(table.values))
    kernel = table.choice("kernel", ("bilinear", *KERNELS))
    if "size" in table.values:
        return Resize(kernel, size=table.size("size"))
    return Resize(kernel, short_side=table.side("short_side", table.values["short_side"]))


def _normalise(table: _Table) -> Normalise:
    scale = table.numbers("scale", [table.values.get("scale", 1.0)], 1)[0]
    mean = table.numbers("mean", table.values.get("mean", [0.0] * 3), 3)
    deviation = table.numbers("deviation", table.values.get("deviation", [1.0] * 3), 3)
    if scale == 0 or 0 in deviation:
        raise _bad("normalise", "needs scale and deviation other than 0", f"{scale}, {list(deviation)}")
    return Normalise(scale, (mean[0], mean[1], mean[2]), (deviation[0], deviation[1], deviation[2]))


class _Table:
    """A table of the text, its keys checked, its values read by type."""

    def __init__(self, path: str, values: object, keys: tuple[str, ...]) -> None:
        if not isinstance(values, Mapping):
            raise _bad(path, "needs to be a table", values)
        if unknown := sorted(values.keys() - set(keys)):
            raise _bad(path or "the text", f"knows the keys {', '.join(keys)}", unknown[0])
        self.path = path
        self.values: Mapping[str, Any] = values

    def table(self, key: str, keys: tuple[str, ...]) -> _Table:
        """An inner table; an empty one where it is left out."""
        return _Table(key, self.values.get(key, {}), keys)

    def text(self, key: str) -> str:
        """A short printable text; empty where it is left out."""
        value = self.values.get(key, "")
        if not isinstance(value, str) or len(value) > _LONGEST_NAME or not value.isprintable():
            raise _bad(f"{self.path}.{key}", f"needs a printable text of at most {_LONGEST_NAME} characters", value)
        return value

    def choice(self, key: str, allowed: tuple[str, ...]) -> str:
        """One of some words; the first where it is left out."""
        value = self.values.get(key, allowed[0])
        if not isinstance(value, str) or value not in allowed:
            raise _bad(f"{self.path}.{key}", f"needs one of {', '.join(sorted(set(allowed)))}", value)
        return value

    def side(self, key: str, value: object) -> int:
        """A number of pixels."""
        if type(value) is not int or not 1 <= value <= _LARGEST_SIDE:
            raise _bad(f"{self.path}.{key}", f"needs whole numbers from 1 to {_LARGEST_SIDE}", value)
        return value

    def size(self, key: str) -> tuple[int, int]:
        """A height and a width."""
        value = self.values.get(key)
        if not isinstance(value, list) or len(value) != 2:  # noqa: PLR2004  height and width
            raise _bad(f"{self.path}.{key}", "needs [height, width]", value)
        return self.side(key, value[0]), self.side(key, value[1])

    def numbers(self, key: str, value: object, count: int) -> tuple[float, ...]:
        """So many finite numbers."""
        good = isinstance(value, list) and len(value) == count
        if not good or not all(type(one) in {int, float} and math.isfinite(one) for one in value):  # type: ignore[attr-defined]
            raise _bad(f"{self.path}.{key}", f"needs {count} finite number{'s' * (count > 1)}", value)
        return tuple(float(one) for one in value)  # type: ignore[attr-defined]


def _bad(place: str, needed: str, found: object) -> SettingsError:
    return SettingsError(f"{FILE_NAME}: {place}", needed, f"found {found!s:.200}")
