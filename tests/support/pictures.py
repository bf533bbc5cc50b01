"""Pictures that tests make for themselves. In: sizes and seeds. Out: pixels and encoded files."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth colour noise, uint8 (height, width, 3): structure at every scale, nothing clipped."""
    rough = np.random.default_rng(seed).integers(0, 256, (-(-height // 4), -(-width // 4), 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(rough).resize((width, height), Image.Resampling.BILINEAR))


def plain(red: int, green: int, blue: int, side: int = 32) -> NDArray[np.uint8]:
    """A square of one colour."""
    return np.full((side, side, 3), (red, green, blue), np.uint8)


def jpeg(pixels: NDArray[np.uint8], **options: Any) -> bytes:
    """Pixels as a baseline JPEG file."""
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), **options))


def saved(image: Image.Image, name: str, **options: Any) -> bytes:
    """A Pillow image as a file of a format."""
    file = io.BytesIO()
    image.save(file, name, **options)
    return file.getvalue()


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels as a PNG file."""
    return saved(Image.fromarray(pixels), "PNG")


def png_chunk(name: bytes, body: bytes) -> bytes:
    """One chunk with its length and checksum."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_of(*chunks: bytes, width: int = 4, height: int = 4, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG built by hand: header, the given chunks, end."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + b"".join(chunks) + png_chunk(b"IEND", b"")


def exif(orientation: int, order: str = "<") -> bytes:
    """A TIFF block that holds nothing but an orientation."""
    head = b"II*\0" if order == "<" else b"MM\0*"
    return head + struct.pack(order + "IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
