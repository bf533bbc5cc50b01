"""The errors that every room raises, each with where, needed, found and what to try.

Drawn once:

    AlulaError
    |-- ModelFileError     invalid   bytes that are no readable model or weight file
    |-- GraphError         invalid   a graph that breaks its own rules (cycle, undefined value)
    |-- ShapeError         invalid   shapes or dtypes inside a model that do not fit together
    |-- UnsupportedError   refused   an operator, version, dtype or feature that alula cannot run
    |-- PlanFileError      invalid   a .alula file that is damaged, foreign or made for another CPU
    |-- InputError         invalid   what a caller handed to a session does not fit the model
    |-- ImageError         invalid   bytes that are no readable picture
    |-- RequestError       invalid   a malformed request or command line
    |-- SettingsError      invalid   a setting or configuration file with a bad value
    |-- MissingError       missing   a file, package or member that is not there
    |-- LimitError         refused   something larger than its limit
    |-- BusyError          busy      a full queue; trying later helps
    |-- LateError          late      a deadline that has passed
    `-- InternalError      broken    alula's own mistake, found by one of its checkers

Only `serving` turns a kind into an HTTP or gRPC status, in one table.
"""

from __future__ import annotations

from typing import ClassVar, Literal

Kind = Literal["invalid", "missing", "refused", "busy", "late", "broken"]


class AlulaError(Exception):
    """Base of all errors that alula raises on purpose.

    Args:
        where: the place: a file, node, input or request field.
        needed: what the place requires.
        found: what was there instead.
        hint: a command or change that helps; may be empty.
        detail: further lines, shown between the first line and the hint.
    """

    kind: ClassVar[Kind] = "invalid"

    def __init__(self, where: str, needed: str, found: str, hint: str = "", detail: str = "") -> None:
        self.where = where
        self.needed = needed
        self.found = found
        self.hint = hint
        self.detail = detail
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """All four parts as text, without the class name."""
        lines = [f"{self.where}: {self.needed}, {self.found}"]
        lines += [f"  {line}" for line in self.detail.splitlines()]
        if self.hint:
            lines.append(f"  try: {self.hint}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[type[AlulaError], tuple[str, str, str, str, str]]:
        """Errors cross process borders whole."""
        return type(self), (self.where, self.needed, self.found, self.hint, self.detail)


class ModelFileError(AlulaError):
    """The bytes are no model or weight file that can be read."""


class GraphError(AlulaError):
    """A graph breaks its own rules: a cycle, an undefined or doubly defined value."""


class ShapeError(AlulaError):
    """Shapes or dtypes inside a model do not fit together."""


class UnsupportedError(AlulaError):
    """The model needs an operator, version, dtype or feature that alula does not have."""

    kind: ClassVar[Kind] = "refused"


class PlanFileError(AlulaError):
    """A .alula file is damaged, foreign, or made for another CPU."""


class InputError(AlulaError):
    """A caller's inputs or outputs do not fit the model's."""


class ImageError(AlulaError):
    """The bytes are no picture that can be read."""


class RequestError(AlulaError):
    """A request or command line is malformed."""


class SettingsError(AlulaError):
    """A setting or a configuration file holds a bad value."""


class MissingError(AlulaError):
    """A file, package or member is not there."""

    kind: ClassVar[Kind] = "missing"


class LimitError(AlulaError):
    """Something is larger than its limit."""

    kind: ClassVar[Kind] = "refused"


class BusyError(AlulaError):
    """A queue is full; trying later helps."""

    kind: ClassVar[Kind] = "busy"


class LateError(AlulaError):
    """A deadline has passed."""

    kind: ClassVar[Kind] = "late"


class InternalError(AlulaError):
    """A checker found a mistake of alula's own."""

    kind: ClassVar[Kind] = "broken"
