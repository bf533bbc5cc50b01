"""Encoded pictures to pixels, by one stated policy.

In: the bytes of a JPEG or PNG file. Out: `Picture`, uint8 RGB (H, W, 3).

The policy:

    size         read from the header and checked before memory is taken for pixels
    damage       refused: a truncated or damaged file gives an error, never a part of a picture; but a PNG whose
                 encoder wrote too few rows, in a sound stream with sound checksums, is filled up with zeros
    orientation  the EXIF orientation is applied, once; a damaged EXIF block counts as none
    grey         repeated into red, green and blue
    palette      looked up
    alpha        composited on white, as a page shows it; a PNG's transparent colour too (up to 8 bits a sample)
    16 bits      the upper 8 are kept
    CMYK         Pillow's conversion: (255 - ink) (255 - black) / 255, Adobe's inverted inks turned back first
    profiles     gamma and ICC profiles are not applied
    animation    a PNG's default picture is used
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from alula.base.errors import AlulaError, ImageError, LimitError, UnsupportedError
from alula.imaging import jpeg_header, png_chunks
from alula.imaging.jpeg_header import read_jpeg_header
from alula.imaging.orientation import upright
from alula.imaging.picture import DecodeLimits, Picture
from alula.imaging.png_chunks import clean_png, read_png_header

_CMYK_COMPONENTS = 4
_DAMAGED = (ValueError, OSError, SyntaxError, EOFError, IndexError, MemoryError, OverflowError)


def decode(data: bytes | bytearray | memoryview, limits: DecodeLimits | None = None) -> Picture:
    """Decode a picture, by the policy at the head of this file. May be called from any thread.

    Args:
        data: the encoded file; read, never kept.
        limits: what it may cost; the defaults of `DecodeLimits` when left out.

    Raises:
        ImageError: no picture, truncated or damaged.
        LimitError: the file, or the picture its header announces, is larger than a limit; raised before
            memory is taken.
        UnsupportedError: a picture of a format or kind that is not decoded here.
    """
    limits = limits or DecodeLimits()
    view = memoryview(data).cast("B")
    if len(view) > limits.file_bytes:
        raise LimitError("picture", f"may have {limits.file_bytes} bytes", f"it has {len(view)}")
    name = format_of(view)
    if name not in limits.formats or name not in _DECODERS:
        known = ", ".join(sorted(limits.formats & _DECODERS.keys()))
        raise UnsupportedError("picture", f"needs one of {known}", f"it is {name}", "convert it")
    return _DECODERS[name](view, limits)


def format_of(data: memoryview) -> str:
    """The format of a file by its first bytes, such as `JPEG`; what a client calls it does not count.

    Raises:
        ImageError: the first bytes are those of no picture.
    """
    head = bytes(data[:16])
    for name, start, signature in _SIGNATURES:
        if head[start:].startswith(signature):
            return name
    found = f"it starts with {head!r}" if head else "it has no bytes"
    raise ImageError("picture", "needs the bytes of a picture", found, "send a JPEG or PNG file")


def _decode_jpeg(data: memoryview, limits: DecodeLimits) -> Picture:
    header = read_jpeg_header(data)
    _check_pixels("JPEG", header.width, header.height, limits)
    # Inside coded data 0xFF is followed by 0 or a restart marker (T.81, B.1.1.5): each hit begins a scan.
    if header.progressive and (scans := data.tobytes().count(b"\xff\xda")) > limits.scans:
        raise LimitError("JPEG", f"may have {limits.scans} scans", f"it has {scans}", "save it as baseline JPEG")
    try:
        if header.components == _CMYK_COMPONENTS:
            pixels = _pillow(data, "JPEG")
        else:
            pixels = simplejpeg.decode_jpeg(data, "RGB", strict=True)
    except _DAMAGED as error:
        raise _damaged("JPEG", error) from error
    return Picture(upright(pixels, header.orientation), "JPEG", header.orientation)


def _decode_png(data: memoryview, limits: DecodeLimits) -> Picture:
    header = read_png_header(data)
    _check_pixels("PNG", header.width, header.height, limits)
    clean, orientation = clean_png(data, header)
    try:
        pixels = _pillow(clean, "PNG")
    except _DAMAGED as error:
        raise _damaged("PNG", error) from error
    return Picture(upright(pixels, orientation), "PNG", orientation)


def _pillow(data: bytes | memoryview, name: str) -> NDArray[np.uint8]:
    """Decode with Pillow, one format allowed, and bring any of its modes to RGB."""
    with Image.open(io.BytesIO(data), formats=[name]) as image:
        image.load()
        if image.mode.startswith("I"):  # 16 bits of grey
            grey = (np.asarray(image) >> 8).astype(np.uint8)
            return np.repeat(grey[:, :, None], 3, axis=2)
        if image.has_transparency_data:
            over = image.convert("RGBA")
            return np.array(Image.alpha_composite(Image.new("RGBA", over.size, "white"), over).convert("RGB"))
        return np.array(image.convert("RGB"))


def _check_pixels(name: str, width: int, height: int, limits: DecodeLimits) -> None:
    if width * height > limits.pixels:
        found = f"its header says {width} x {height} = {width * height}"
        raise LimitError(name, f"may have {limits.pixels} pixels", found, "send a smaller picture")


def _damaged(name: str, error: Exception) -> AlulaError:
    return ImageError(name, "needs a whole, undamaged file", f"decoding stopped: {error}", "send the file again")


_DECODERS: dict[str, Callable[[memoryview, DecodeLimits], Picture]] = {"JPEG": _decode_jpeg, "PNG": _decode_png}

# Name, where the signature stands, its bytes. More than is decoded, so that an error can name what came.
_SIGNATURES = (
    ("JPEG", 0, jpeg_header.SIGNATURE),
    ("PNG", 0, png_chunks.SIGNATURE),
    ("GIF", 0, b"GIF8"),
    ("WebP", 8, b"WEBP"),
    ("BMP", 0, b"BM"),
    ("TIFF", 0, b"II*\0"),
    ("TIFF", 0, b"MM\0*"),
    ("AVIF", 4, b"ftypavif"),
    ("HEIC", 4, b"ftypheic"),
    ("JPEG 2000", 4, b"jP  \r\n\x87\n"),
    ("PDF", 0, b"%PDF"),
)
