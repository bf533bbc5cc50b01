"""The import contract of the rooms, as a plug-in of import-linter.

In: the table in pyproject.toml. Out: each import that its room's row does not allow.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output

_ROOT = "alula"


@dataclass(frozen=True)
class Row:
    """One room: its dotted name, the rooms and the outside libraries that it may import.

    A row that stands `alone` speaks for the room's `__init__` file only; what is inside has rows of its own.
    """

    room: str
    alone: bool
    rooms: tuple[str, ...]
    libraries: frozenset[str]

    def covers(self, module: str) -> bool:
        """Whether the row speaks for a module."""
        return module == self.room if self.alone else _inside(module, self.room)

    def allows(self, module: str) -> bool:
        """Whether the room may import a module."""
        if not _inside(module, _ROOT):
            library = module.split(".", maxsplit=1)[0]
            return library in self.libraries or library in sys.stdlib_module_names
        if self.covers(module):
            return True
        return any(_inside(module, room) if room != _ROOT else module == _ROOT for room in self.rooms)


def parse_row(text: str) -> Row:
    """A row such as `engine.graph: base; numpy` or `engine alone: base`."""
    room, _, allowed = text.partition(":")
    rooms, _, libraries = allowed.partition(";")
    name, *alone = room.split()
    return Row(_full(name), alone == ["alone"], tuple(map(_full, rooms.split())), frozenset(libraries.split()))


def row_of(module: str, rows: tuple[Row, ...]) -> Row | None:
    """The row with the longest name that speaks for a module."""
    return max((row for row in rows if row.covers(module)), key=lambda row: len(row.room), default=None)


class RoomsContract(Contract):
    """Every direct import, those for the type checker included, is allowed by the importing room's row."""

    type_name = "rooms"
    table = fields.ListField(subfield=fields.StringField())
    never = fields.ListField(subfield=fields.StringField(), required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: FBT001  import-linter's signature
        """Compare each import with the table."""
        del verbose
        # Import-linter puts the values in the place of the fields.
        rows = tuple(parse_row(text) for text in cast("list[str]", self.table))
        never = frozenset(cast("list[str] | None", self.never) or ())
        inside = sorted(module for module in graph.modules if _inside(module, _ROOT))
        broken = [line for module in inside for line in _broken_imports(graph, module, rows, never)]
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print the broken imports."""
        for line in check.metadata["broken"]:
            output.print_error(line, bold=False)


def _broken_imports(graph: ImportGraph, module: str, rows: tuple[Row, ...], never: frozenset[str]) -> list[str]:
    row = row_of(module, rows)
    if row is None:
        return [f"{module} stands in no room of the table"]
    imported = sorted(graph.find_modules_directly_imported_by(module))
    refused = [name for name in imported if name.split(".", maxsplit=1)[0] in never or not row.allows(name)]
    return [f"{module}{_line(graph, module, name)} imports {name}, which {row.room} may not" for name in refused]


def _line(graph: ImportGraph, importer: str, imported: str) -> str:
    details: list[Any] = list(graph.get_import_details(importer=importer, imported=imported))
    return f":{details[0]['line_number']}" if details else ""


def _inside(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _full(room: str) -> str:
    return room if room == _ROOT else f"{_ROOT}.{room}"
