"""A decoded picture, and the limits that decoding keeps.

In: nothing. Out: `Picture` (uint8 RGB, height x width x 3) and `DecodeLimits`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alula.base.errors import SettingsError

# Pillow's own guard (PIL.Image.MAX_IMAGE_PIXELS): above it Pillow warns and then refuses, whatever we allow.
LARGEST_PIXELS = 89_478_485


@dataclass(frozen=True)
class DecodeLimits:
    """What a picture may cost before any memory is taken for it.

    Args:
        file_bytes: largest encoded picture.
        pixels: largest width times height, as the header tells; a decoded picture takes 3 bytes a pixel.
        scans: most passes of a progressive JPEG; each pass costs a walk over all pixels.
        formats: names of the formats that may be decoded.
    """

    file_bytes: int = 20 << 20
    pixels: int = 40_000_000
    scans: int = 64
    formats: frozenset[str] = frozenset({"JPEG", "PNG"})

    def __post_init__(self) -> None:
        """Refuse limits that the decoders cannot keep."""
        if not 1 <= self.pixels <= LARGEST_PIXELS:
            raise SettingsError("DecodeLimits.pixels", f"needs 1 to {LARGEST_PIXELS}", f"got {self.pixels}")
        if min(self.file_bytes, self.scans) < 1:
            raise SettingsError("DecodeLimits", "needs limits of at least 1", f"got {self}")


@dataclass(frozen=True, eq=False)
class Picture:
    """Decoded pixels, standing upright.

    Args:
        pixels: uint8, shape (height, width, 3), red green blue, row-major and contiguous; owned by the picture.
        format: the format it was decoded from, such as `JPEG`.
        orientation: the EXIF orientation that has been applied, 1 to 8; 1 when there was none.
    """

    pixels: NDArray[np.uint8]
    format: str = ""
    orientation: int = 1

    @property
    def width(self) -> int:
        """Columns, after the orientation was applied."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Rows, after the orientation was applied."""
        return int(self.pixels.shape[0])
