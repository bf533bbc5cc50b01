"""Fills the holes that a compiler leaves for addresses, for x86-64 and AArch64.

In: image bytes, a hole, the target's and the hole's offsets in the image. Out: patched bytes. Only kinds that depend
on the distance of two places are known: the image runs wherever it is mapped.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from alula.base.errors import InternalError

# e_machine of the ELF header.
X86_64, AARCH64 = 62, 183

# (image, offset of the hole, target + addend); all offsets count from the image's start, which lies on a page border.
Patch = Callable[[bytearray, int, int], None]

_PAGE = 0xFFF


def patch(machine: int, kind: int, where: str) -> Patch:
    """The function for one kind of relocation.

    Raises:
        InternalError: the kind is unknown: absolute, or through a table that images do not have.
    """
    known = _KINDS.get((machine, kind))
    if known is None:
        raise InternalError(where, "relocations relative to the image", f"kind {kind} of machine {machine}")
    return known


def _word(image: bytearray, hole: int) -> int:
    return int.from_bytes(image[hole : hole + 4], "little")


def _put_word(image: bytearray, hole: int, word: int) -> None:
    image[hole : hole + 4] = (word & 0xFFFFFFFF).to_bytes(4, "little")


def _distance(form: str) -> Patch:
    """S + A - P in `form`."""

    def apply(image: bytearray, hole: int, target: int) -> None:
        struct.pack_into(form, image, hole, target - hole)

    return apply


def _branch26(image: bytearray, hole: int, target: int) -> None:
    distance = (target - hole) >> 2
    if not -(1 << 25) <= distance < 1 << 25:
        raise InternalError("image", "branches of at most 128 MiB", f"{target - hole} bytes")
    _put_word(image, hole, _word(image, hole) & 0xFC000000 | distance & 0x03FFFFFF)


def _page21(image: bytearray, hole: int, target: int) -> None:
    """ADRP: the distance in pages of 4 KiB."""
    pages = (target >> 12) - (hole >> 12)
    word = _word(image, hole) & 0x9F00001F
    _put_word(image, hole, word | (pages & 3) << 29 | (pages >> 2 & 0x7FFFF) << 5)


def _low12(scale: int) -> Patch:
    """The offset inside a page, in units of 1 << scale, in bits 10 to 21."""

    def apply(image: bytearray, hole: int, target: int) -> None:
        low = (target & _PAGE) >> scale
        _put_word(image, hole, _word(image, hole) & ~(0xFFF << 10) | low << 10)

    return apply


# System V ABI for x86-64, table 4.10; ELF for the Arm 64-bit Architecture (IHI 0056), 5.7.
_KINDS: dict[tuple[int, int], Patch] = {
    (X86_64, 2): _distance("<i"),  # PC32
    (X86_64, 4): _distance("<i"),  # PLT32
    (X86_64, 24): _distance("<q"),  # PC64
    (AARCH64, 260): _distance("<q"),  # PREL64
    (AARCH64, 261): _distance("<i"),  # PREL32
    (AARCH64, 275): _page21,  # ADR_PREL_PG_HI21
    (AARCH64, 277): _low12(0),  # ADD_ABS_LO12_NC
    (AARCH64, 278): _low12(0),  # LDST8_ABS_LO12_NC
    (AARCH64, 282): _branch26,  # JUMP26
    (AARCH64, 283): _branch26,  # CALL26
    (AARCH64, 284): _low12(1),  # LDST16_ABS_LO12_NC
    (AARCH64, 285): _low12(2),  # LDST32_ABS_LO12_NC
    (AARCH64, 286): _low12(3),  # LDST64_ABS_LO12_NC
    (AARCH64, 299): _low12(4),  # LDST128_ABS_LO12_NC
}
