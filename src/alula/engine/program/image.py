"""A small linker: several relocatable objects become one flat, position-independent image of code and constants.

In: objects by name. Out: `Image`: bytes that run wherever they are mapped read-execute on a page border, and the
offsets of the functions that other code may call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from alula.base.errors import InternalError
from alula.base.plan_format import ALIGNMENT, rounded_up
from alula.engine.program.elf import ABSOLUTE, LOCAL, UNDEFINED, ElfObject, read_object
from alula.engine.program.relocate import patch

# (object, section index) -> offset in the image
_Places = dict[tuple[str, int], int]


@dataclass(frozen=True)
class Image:
    """Linked code.

    Attributes:
        data: functions first, constants behind; no byte of it is ever written.
        symbols: offset of every global function.
    """

    data: bytes
    symbols: Mapping[str, int]


def link(objects: Mapping[str, bytes]) -> Image:
    """Join objects, in the given order.

    Raises:
        InternalError: a symbol is missing or stands twice, an address would be absolute, or an object has data that
            is written to.
    """
    parsed = {name: read_object(name, data) for name, data in objects.items()}
    image, places = _lay_out(parsed)
    symbols = _exports(parsed, places)
    for name, each in parsed.items():
        _relocate(name, each, image, places, symbols)
    return Image(bytes(image), symbols)


def _lay_out(objects: Mapping[str, ElfObject]) -> tuple[bytearray, _Places]:
    image = bytearray()
    places: _Places = {}
    found = [(name, section) for name, each in objects.items() for section in each.sections]
    # Functions together, constants together: each fills its own pages.
    for name, section in sorted(found, key=lambda pair: not pair[1].name.startswith(".text")):
        start = rounded_up(len(image), max(ALIGNMENT, section.alignment))
        image += bytes(start - len(image))
        places[name, section.index] = start
        image += section.data
    return image, places


def _exports(objects: Mapping[str, ElfObject], places: _Places) -> dict[str, int]:
    exports: dict[str, int] = {}
    for name, each in objects.items():
        for symbol in each.symbols:
            if symbol.binding == LOCAL or symbol.section in {UNDEFINED, ABSOLUTE}:
                continue
            if symbol.name in exports:
                raise InternalError(name, "every symbol defined once", f"{symbol.name} stands twice")
            exports[symbol.name] = places[name, symbol.section] + symbol.value
    return exports


def _relocate(name: str, each: ElfObject, image: bytearray, places: _Places, exports: Mapping[str, int]) -> None:
    for relocation in each.relocations:
        symbol = each.symbols[relocation.symbol]
        if symbol.section == UNDEFINED:
            target = exports.get(symbol.name)
        else:
            place = places.get((name, symbol.section))
            target = None if place is None else place + symbol.value
        if target is None:
            shown = symbol.name or f"section {symbol.section}"
            raise InternalError(name, "code that calls nothing outside itself", f"{shown} is undefined")
        hole = places[name, relocation.section] + relocation.offset
        patch(each.machine, relocation.kind, f"{name}: {symbol.name}")(image, hole, target + relocation.addend)
