from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps
from support.pictures import exif, jpeg, noise, plain, png, png_chunk, png_of, saved

from alula.base.errors import SettingsError, UnsupportedError
from alula.imaging.decode import decode, format_of
from alula.imaging.orientation import exif_orientation
from alula.imaging.picture import DecodeLimits


def _pillow_rgb(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_jpeg_decodes_to_the_pixels_that_pillow_gives() -> None:
    """Preprocessing parity begins at the decoder: the same file gives the same pixels."""
    data = jpeg(noise(67, 45), quality=90)

    picture = decode(data)

    assert (picture.height, picture.width, picture.format) == (67, 45, "JPEG")
    assert picture.pixels.flags.c_contiguous
    np.testing.assert_array_equal(picture.pixels, _pillow_rgb(data))


def test_progressive_jpeg_decodes_like_pillow() -> None:
    """Progressive files are common on the web and pass the scan limit."""
    data = saved(Image.fromarray(noise(40, 56)), "JPEG", progressive=True)

    np.testing.assert_array_equal(decode(data).pixels, _pillow_rgb(data))


def test_png_is_lossless() -> None:
    """A PNG's pixels come back bit for bit, whatever kind of buffer holds the file."""
    pixels = noise(31, 17)

    assert np.array_equal(decode(memoryview(bytearray(png(pixels)))).pixels, pixels)


@pytest.mark.parametrize("name", ["JPEG", "PNG"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_exactly_once(name: str, order: str, orientation: int) -> None:
    """A phone's portrait picture stands upright: as ImageOps.exif_transpose turns it, and not twice."""
    block = exif(orientation, order)
    data = saved(Image.fromarray(noise(24, 40)), name, exif=b"Exif\0\0" + block)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")

    picture = decode(data)

    assert picture.orientation == orientation
    np.testing.assert_array_equal(picture.pixels, np.asarray(expected))


@pytest.mark.parametrize("block", [b"", b"II*\0", b"II*\0\xff\xff\xff\xff", exif(0), exif(9), exif(6)[:-8]])
def test_damaged_exif_counts_as_upright(block: bytes) -> None:
    """Pixels count more than their notes: a broken EXIF block loses no picture."""
    assert exif_orientation(block) == 1


def test_grey_is_repeated_into_three_channels() -> None:
    """Models see red, green and blue, whatever the file holds."""
    grey = Image.fromarray(noise(20, 30)).convert("L")

    for data in (saved(grey, "JPEG"), saved(grey, "PNG"), saved(grey.convert("1"), "PNG")):
        np.testing.assert_array_equal(decode(data).pixels, _pillow_rgb(data))


def test_palette_is_looked_up() -> None:
    """An indexed PNG gives colours, not indices."""
    image = Image.fromarray(noise(20, 30)).quantize(17)

    np.testing.assert_array_equal(decode(saved(image, "PNG")).pixels, np.asarray(image.convert("RGB")))


def test_alpha_is_composited_on_white() -> None:
    """A cut-out looks as on a page: colours hidden under full transparency do not reach the model."""
    pixels = np.dstack([plain(200, 100, 0), np.full((32, 32), 255, np.uint8)])
    pixels[:8, :, 3] = 0
    pixels[8:16, :, 3] = 51  # a fifth

    shown = decode(saved(Image.fromarray(pixels), "PNG")).pixels

    assert shown[0, 0].tolist() == [255, 255, 255]
    assert shown[31, 31].tolist() == [200, 100, 0]
    np.testing.assert_allclose(shown[8, 0], [255 - 11, 255 - 31, 255 - 51], atol=1)


def test_transparent_colour_of_a_palette_becomes_white() -> None:
    """GIF-like PNGs mark one palette entry as transparent; it is shown as the page behind it."""
    image = Image.new("P", (4, 4), 1)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((0, 0), 0)

    shown = decode(saved(image, "PNG", transparency=0)).pixels

    assert (shown[0, 0].tolist(), shown[1, 1].tolist()) == ([255] * 3, [40, 50, 60])


def test_sixteen_bits_keep_their_upper_eight() -> None:
    """Grey and colour PNGs of 16 bits follow the same rule."""
    deep = (np.arange(16).reshape(4, 4) * 4000).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in deep)
    colour_rows = b"".join(b"\0" + np.repeat(row, 3).astype(">u2").tobytes() for row in deep)
    grey = png_of(png_chunk(b"IDAT", zlib.compress(rows)), depth=16, colour=0)
    colour = png_of(png_chunk(b"IDAT", zlib.compress(colour_rows)), depth=16, colour=2)
    expected = np.repeat((deep >> 8).astype(np.uint8)[:, :, None], 3, axis=2)

    np.testing.assert_array_equal(decode(grey).pixels, expected)
    np.testing.assert_array_equal(decode(colour).pixels, expected)


def test_cmyk_follows_pillow() -> None:
    """Print files decode with Adobe's inverted inks turned back, not as a negative."""
    data = saved(Image.fromarray(noise(24, 24)).convert("CMYK"), "JPEG", quality=95)

    shown = decode(data).pixels

    np.testing.assert_array_equal(shown, _pillow_rgb(data))
    assert abs(shown.astype(int) - noise(24, 24)).mean() < 20


@pytest.mark.parametrize("name", ["GIF", "BMP", "TIFF", "WebP"])
def test_other_formats_are_refused_by_name(name: str) -> None:
    """Only what is on the list reaches a decoder; the error says what came."""
    data = saved(Image.fromarray(noise(8, 8)), name)

    with pytest.raises(UnsupportedError, match=f"needs one of JPEG, PNG, it is {name}"):
        decode(data)


def test_allow_list_can_shrink() -> None:
    """An operator who serves JPEG only can say so."""
    with pytest.raises(UnsupportedError, match="needs one of JPEG, it is PNG"):
        decode(png(noise(8, 8)), DecodeLimits(formats=frozenset({"JPEG"})))


def test_limits_that_pillow_would_overrule_are_refused() -> None:
    """A limit above Pillow's own guard would fail later, with another message."""
    with pytest.raises(SettingsError, match="89478485"):
        DecodeLimits(pixels=100_000_000)


def test_format_is_told_by_bytes() -> None:
    """A client's name for a file does not choose its decoder."""
    assert format_of(memoryview(png(noise(4, 4)))) == "PNG"
