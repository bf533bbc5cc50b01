"""All settings, in one table; code receives values and never reads the environment.

In: environment variables. Out: `Settings`. The reference page is generated from `TABLE`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, cast

from alula.base.errors import SettingsError

_MOST_DIGITS = 18


@dataclass(frozen=True)
class Settings:
    """The values in force."""

    cache: Path
    threads: int
    target: str
    check: bool
    verify: Literal["all", "code"]
    jobs: int
    plans: int = 8
    cache_bytes: int = 4 << 30
    loop_limit: int = 1_000_000
    node_limit: int = 250_000
    nesting_limit: int = 16


@dataclass(frozen=True)
class Setting:
    """One row: the field, its environment variable, how text becomes a value, the default, and a sentence."""

    field: str
    variable: str
    parse: Callable[[str], Any]
    default: str
    text: str


def _count(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 1024:  # noqa: PLR2004  no machine that alula is for has more
        raise ValueError
    return value


def _plans(text: str) -> int:
    return _count(text) or 1


def _size(text: str) -> int:
    """A number of bytes; K, M, G, T behind it count in steps of 1024."""
    number, unit = (text[:-1], text[-1].upper()) if text[-1:].isalpha() else (text, "")
    if not number.isascii() or not number.isdigit() or len(number) > _MOST_DIGITS:
        raise ValueError
    return int(number) << {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[unit]


def _trips(text: str) -> int:
    if not 1 <= len(text) <= _MOST_DIGITS or int(text) < 1:
        raise ValueError
    return int(text)


def _nodes(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 1_000_000):  # noqa: PLR2004  a format's table
        raise ValueError
    return int(text)


def _nesting(text: str) -> int:
    # Readers call themselves for graphs inside graphs; Python's stack holds some thousand calls.
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 64):  # noqa: PLR2004
        raise ValueError
    return int(text)


def _switch(text: str) -> bool:
    return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}[text.lower()]


def _hashes(text: str) -> Literal["all", "code"]:
    if text not in {"all", "code"}:
        raise ValueError
    return cast("Literal['all', 'code']", text)


TABLE: tuple[Setting, ...] = (
    Setting("cache", "ALULA_CACHE", Path, "", "Folder of compiled plans and fetched files; empty: ~/.cache/alula."),
    Setting("threads", "ALULA_THREADS", _count, "0", "Worker threads of a run; 0: as many as this process may use."),
    Setting("target", "ALULA_TARGET", str, "", "Instruction set to compile for; empty: this machine's best."),
    Setting("check", "ALULA_CHECK", _switch, "0", "Run every stage's checker after each pass: 1 or 0."),
    Setting("verify", "ALULA_VERIFY", _hashes, "all", "Which hashes opening a plan checks: all or code."),
    Setting("jobs", "ALULA_JOBS", _count, "0", "Processes that compile kernels; 0: as many as this process may use."),
    Setting("plans", "ALULA_PLANS", _plans, "8", "Plans that a session keeps open for a model of changing shapes."),
    Setting("cache_bytes", "ALULA_CACHE_BYTES", _size, "4G", "Most bytes of compiled plans and kernels in the cache."),
    Setting("loop_limit", "ALULA_LOOP_LIMIT", _trips, "1000000", "Trips that all loops of one run may make together."),
    Setting("node_limit", "ALULA_NODE_LIMIT", _nodes, "250000", "Most nodes of a model, its functions written out."),
    Setting("nesting_limit", "ALULA_NESTING_LIMIT", _nesting, "16", "Most graphs, or functions, inside one another."),
)


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The settings that an environment says.

    Raises:
        SettingsError: a variable holds a bad value.
    """
    values = {}
    for row in TABLE:
        text = environment.get(row.variable, row.default)
        try:
            values[row.field] = row.parse(text)
        except (ValueError, KeyError):
            needed = f"needs a value for: {row.text.rstrip('.')}"
            raise SettingsError(row.variable, needed, f"it holds {text!r}", f"unset {row.variable}") from None
    if not environment.get("ALULA_CACHE"):
        home = environment.get("XDG_CACHE_HOME") or str(Path(environment.get("HOME", "/tmp")) / ".cache")  # noqa: S108
        values["cache"] = Path(home) / "alula"
    return Settings(**{field.name: values[field.name] for field in fields(Settings)})
