"""Reads relocatable ELF64 objects, little-endian, as LLVM writes them (System V ABI, chapter 4; gABI 4.1).

In: bytes of a `.o`. Out: `ElfObject`: sections that are loaded, symbols, relocations. Trusts its input: LLVM made it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from alula.base.errors import InternalError

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQq")

_RELA, _NOBITS, _SYMTAB = 4, 8, 2
_WRITE, _ALLOC = 1, 2
UNDEFINED, ABSOLUTE = 0, 0xFFF1
LOCAL = 0


@dataclass(frozen=True)
class Section:
    """Bytes that are loaded, at an index of the object's section table."""

    index: int
    name: str
    data: bytes
    alignment: int


@dataclass(frozen=True)
class Symbol:
    """A name for a place: `value` bytes into section `section`."""

    name: str
    binding: int
    section: int
    value: int


@dataclass(frozen=True)
class Relocation:
    """A hole in section `section` at `offset`, to be filled with an address made of a symbol and `addend`."""

    section: int
    offset: int
    kind: int
    symbol: int
    addend: int


@dataclass(frozen=True)
class ElfObject:
    """What the linker needs of one object file."""

    machine: int
    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...]
    relocations: tuple[Relocation, ...]


def read_object(name: str, data: bytes) -> ElfObject:
    """Take an object apart.

    Raises:
        InternalError: it is no relocatable ELF64 object, or wants memory that is written to.
    """
    if data[:6] != b"\x7fELF\x02\x01" or len(data) < _HEADER.size:
        raise InternalError(name, "an ELF64 object", f"it begins with {data[:6]!r}")
    fields = _HEADER.unpack_from(data)
    machine, table, size, count, names = fields[2], fields[6], fields[11], fields[12], fields[13]
    headers = [_SECTION.unpack_from(data, table + size * index) for index in range(count)]
    strings = _bytes_of(data, headers[names])
    loaded: list[Section] = []
    for index, header in enumerate(headers):
        section = _loaded(name, index, _text(strings, header[0]), header, data)
        if section is not None:
            loaded.append(section)
    kept = {section.index for section in loaded}
    relocations = tuple(
        relocation
        for header in headers
        if header[1] == _RELA and header[7] in kept
        for relocation in _relocations(header[7], _bytes_of(data, header))
    )
    return ElfObject(machine, tuple(loaded), _symbols(data, headers), relocations)


def _loaded(name: str, index: int, title: str, header: tuple[int, ...], data: bytes) -> Section | None:
    """The section, if it has to be in the image; unwinding tables do not: nothing here unwinds."""
    kind, flags, size, alignment = header[1], header[2], header[5], header[8]
    if not flags & _ALLOC or title == ".eh_frame" or not size:
        return None
    if flags & _WRITE or kind == _NOBITS:
        raise InternalError(name, "code and constants only", f"section {title} is writable data")
    return Section(index, title, _bytes_of(data, header), max(1, alignment))


def _symbols(data: bytes, headers: list[tuple[int, ...]]) -> tuple[Symbol, ...]:
    for header in headers:
        if header[1] == _SYMTAB:
            strings = _bytes_of(data, headers[header[6]])
            return tuple(
                Symbol(_text(strings, entry[0]), entry[1] >> 4, entry[3], entry[4])
                for entry in _SYMBOL.iter_unpack(_bytes_of(data, header))
            )
    return ()


def _relocations(section: int, table: bytes) -> list[Relocation]:
    return [
        Relocation(section, offset, info & 0xFFFFFFFF, info >> 32, addend)
        for offset, info, addend in _RELOCATION.iter_unpack(table)
    ]


def _bytes_of(data: bytes, header: tuple[int, ...]) -> bytes:
    return data[header[4] : header[4] + header[5]]


def _text(strings: bytes, start: int) -> str:
    return strings[start : strings.index(b"\0", start)].decode()
