"""What a PNG file says about itself, and the few chunks of it that a decoder needs.

In: the file's bytes. Out: `PngHeader`, and a clean PNG of its image chunks only, each checked against its CRC.
Text, profile and other side chunks, which can unpack to many times their size, never reach the decoder.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from alula.base.errors import ImageError, LimitError, UnsupportedError
from alula.imaging.orientation import UPRIGHT, exif_orientation

SIGNATURE = b"\x89PNG\r\n\x1a\n"

# RFC 2083, 4.1.1: allowed bit depths of each colour type.
_DEPTHS = {0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}
_CRITICAL = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})
# Encoders write the image in chunks of 4 KiB or more: enough for 64 MiB.
_MOST_CHUNKS = 16384
_DEEP = 16


@dataclass(frozen=True)
class PngHeader:
    """The fields of a PNG's first chunk that decide how it is decoded."""

    width: int
    height: int
    depth: int
    colour: int


def read_png_header(data: memoryview) -> PngHeader:
    """Read the first chunk, which must be IHDR.

    Raises:
        ImageError: there is none, or its values are not those of a PNG.
    """
    if len(data) < len(SIGNATURE) + 25:
        raise _truncated(len(data))
    size, name, width, height, depth, colour = struct.unpack_from(">I4sIIBB", data, len(SIGNATURE))
    if (size, name) != (13, b"IHDR"):
        raise ImageError("PNG", "needs a header (IHDR) of 13 bytes first", f"{name!r} of {size} bytes is there")
    if not (width and height) or depth not in _DEPTHS.get(colour, ()):
        found = f"its header says {width} x {height}, depth {depth}, colour type {colour}"
        raise ImageError("PNG", "needs a size, and a depth that its colour type allows", found)
    return PngHeader(width, height, depth, colour)


def clean_png(data: memoryview, header: PngHeader) -> tuple[bytes, int]:
    """The image chunks of a PNG as a PNG of their own, and its EXIF orientation.

    A transparent colour (tRNS) is kept up to 8 bits a sample: it cannot be compared once 16 bits have become 8.

    Raises:
        ImageError: truncated, or a checksum does not fit.
        UnsupportedError: a critical chunk that PNG does not know, such as Apple's CgBI.
        LimitError: more chunks than any encoder writes.
    """
    kept: list[bytes | memoryview] = [SIGNATURE]
    orientation = UPRIGHT
    wanted = _CRITICAL | {b"tRNS"} if header.depth < _DEEP else _CRITICAL
    for name, chunk in _chunks(data):
        if name in wanted:
            kept.append(chunk)
        elif name == b"eXIf":
            orientation = exif_orientation(chunk[8:-4])
        elif not name[0] & 0x20:  # RFC 2083, 3.3: a capital first letter marks a critical chunk
            raise UnsupportedError("PNG", "needs critical chunks of the PNG standard", f"found {name!r}")
    return b"".join(kept), orientation


def _chunks(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Each chunk's name and all its bytes (length, name, body, CRC), up to IEND."""
    at = len(SIGNATURE)
    for _ in range(_MOST_CHUNKS):
        if at + 12 > len(data):
            raise _truncated(len(data))
        size, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + size
        if end > len(data):
            raise _truncated(len(data))
        (crc,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(data[at + 4 : end - 4]) != crc:
            raise ImageError("PNG", f"needs chunk {name!r} at byte {at} to match its checksum", "it does not", _AGAIN)
        yield name, data[at:end]
        if name == b"IEND":
            return
        at = end
    raise LimitError("PNG", f"may have {_MOST_CHUNKS} chunks", "it has more")


_AGAIN = "send the file again"


def _truncated(size: int) -> ImageError:
    return ImageError("PNG", "needs a whole file", f"it ends at byte {size}, before its last chunk (IEND)", _AGAIN)
