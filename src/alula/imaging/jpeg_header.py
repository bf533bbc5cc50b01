"""What a JPEG file says about itself before any pixel is decoded.

In: the file's bytes. Out: `JpegHeader`. Reads marker segments only (ITU-T T.81, annex B); takes no memory.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from alula.base.errors import ImageError, UnsupportedError
from alula.imaging.orientation import UPRIGHT, exif_orientation

SIGNATURE = b"\xff\xd8\xff"

# T.81, table B.1. Baseline, extended and progressive Huffman; then all other frame headers.
_FRAMES = {0xC0: False, 0xC1: False, 0xC2: True}
_OTHER_FRAMES = frozenset({0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_EXIF_SEGMENT = 0xE1
_SCAN = 0xDA
_END = 0xD9
# Real files have fewer than 400 segments before the frame: a 20 MB colour profile in pieces of 64 KiB.
_MOST_SEGMENTS = 1024


@dataclass(frozen=True)
class JpegHeader:
    """A JPEG's frame header, and the orientation of its EXIF block."""

    width: int
    height: int
    components: int
    progressive: bool
    orientation: int


def read_jpeg_header(data: memoryview) -> JpegHeader:
    """Walk the segments to the frame header.

    Raises:
        ImageError: the file ends or breaks before its frame header.
        UnsupportedError: lossless, hierarchical or arithmetic coding, or other than 8 bits a sample.
    """
    at, orientation = 2, UPRIGHT
    for _ in range(_MOST_SEGMENTS):
        marker, at = _next_marker(data, at)
        if marker in _ALONE:
            continue
        body = _segment(data, at)
        if marker in _FRAMES:
            return _frame(body, orientation, progressive=_FRAMES[marker])
        _refuse_other(marker)
        if marker == _EXIF_SEGMENT and orientation == UPRIGHT and bytes(body[:6]) == b"Exif\0\0":
            orientation = exif_orientation(body[6:])
        at += 2 + len(body)
    raise ImageError("JPEG", f"needs a frame header within {_MOST_SEGMENTS} segments", "none came")


def _next_marker(data: memoryview, at: int) -> tuple[int, int]:
    """The marker at `at` and the place behind it; any number of fill bytes may stand before (T.81, B.1.1.2)."""
    start = at
    while at < len(data) and data[at] == 0xFF:  # noqa: PLR2004  every marker begins with it
        at += 1
    if at >= len(data):
        raise _truncated()
    if at == start:
        raise ImageError("JPEG", f"needs a marker at byte {at}", f"byte {data[at]:#04x} is there")
    return data[at], at + 1


def _segment(data: memoryview, at: int) -> memoryview:
    if at + 2 > len(data):
        raise _truncated()
    (length,) = struct.unpack_from(">H", data, at)
    if length < 2:  # noqa: PLR2004  the length counts its own two bytes
        raise ImageError("JPEG", f"needs a segment of at least 2 bytes at byte {at}", f"its length is {length}")
    if at + length > len(data):
        raise _truncated()
    return data[at + 2 : at + length]


def _refuse_other(marker: int) -> None:
    if marker in _OTHER_FRAMES:
        found = f"this is coding process SOF{marker - 0xC0}"
        raise UnsupportedError("JPEG", "needs baseline or progressive Huffman coding", found, "save it as plain JPEG")
    if marker in {_SCAN, _END}:
        raise ImageError("JPEG", "needs a frame header before its first scan", "there is none")


def _frame(body: memoryview, orientation: int, *, progressive: bool) -> JpegHeader:
    try:
        precision, height, width, components = struct.unpack_from(">BHHB", body)
    except struct.error:
        raise ImageError("JPEG", "needs a whole frame header", f"it has {len(body)} bytes") from None
    if precision != 8:  # noqa: PLR2004  bits of a sample
        raise UnsupportedError("JPEG", "needs 8 bits a sample", f"it has {precision}", "save it as plain JPEG")
    if not (width and height):
        raise ImageError("JPEG", "needs a width and a height in its frame header", f"it says {width} x {height}")
    if components not in {1, 3, 4}:
        raise UnsupportedError("JPEG", "needs 1, 3 or 4 colour components", f"it has {components}")
    return JpegHeader(width, height, components, progressive, orientation)


def _truncated() -> ImageError:
    return ImageError("JPEG", "needs a whole file", "it ends before its frame header", "send the file again")
