"""The EXIF orientation of a picture: read from its TIFF block, applied to its pixels.

In: the bytes of an EXIF block; pixels (H, W, 3). Out: a number from 1 to 8; pixels standing upright.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

UPRIGHT = 1
_TAG = 0x0112  # Exif 2.32 (CIPA DC-008), 4.6.4 A: Orientation, one SHORT
_SHORT = 3
_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}  # TIFF 6.0, section 2: byte order, then 42


def exif_orientation(block: bytes | memoryview) -> int:
    r"""The orientation that an EXIF block asks for, 1 to 8.

    A block that is damaged or silent about it means 1: pixels count more than their notes.

    Args:
        block: a TIFF structure, without the `Exif\0\0` that JPEG puts before it.
    """
    order = _ORDERS.get(bytes(block[:4]))
    if order is None:
        return UPRIGHT
    try:
        (at,) = struct.unpack_from(order + "I", block, 4)
        (count,) = struct.unpack_from(order + "H", block, at)
        for entry in range(at + 2, at + 2 + 12 * count, 12):
            tag, kind, length, value = struct.unpack_from(order + "HHIH", block, entry)
            if (tag, kind, length) == (_TAG, _SHORT, 1):
                return value if 1 <= value <= len(_UPRIGHT_VIEWS) else UPRIGHT
    except struct.error:
        return UPRIGHT
    return UPRIGHT


def upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Pixels as the camera saw them: a contiguous array, the same one for orientation 1."""
    return np.ascontiguousarray(_UPRIGHT_VIEWS[orientation - 1](pixels))


# Where row 0 and column 0 of the stored picture belong: Exif 2.32, table 6, values 1 to 8 in order.
_UPRIGHT_VIEWS = (
    lambda p: p,  # top, left
    lambda p: p[:, ::-1],  # top, right: mirrored
    lambda p: p[::-1, ::-1],  # bottom, right: half a turn
    lambda p: p[::-1],  # bottom, left: upside down mirrored
    lambda p: p.transpose(1, 0, 2),  # left, top: mirrored at the diagonal
    lambda p: p.transpose(1, 0, 2)[:, ::-1],  # right, top: needs a quarter turn clockwise
    lambda p: p[::-1, ::-1].transpose(1, 0, 2),  # right, bottom: mirrored at the other diagonal
    lambda p: p.transpose(1, 0, 2)[::-1],  # left, bottom: needs a quarter turn counter-clockwise
)
