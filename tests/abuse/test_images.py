"""Hostile pictures: each gives the right error, quickly, and takes no memory."""

from __future__ import annotations

import resource
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image
from support.pictures import exif, jpeg, noise, png, png_chunk, png_of, saved

from alula.base.errors import ImageError, LimitError, UnsupportedError
from alula.imaging.decode import decode
from alula.imaging.picture import DecodeLimits

JPEG = jpeg(noise(40, 48))
PNG = png(noise(20, 24))
SMALL = DecodeLimits(file_bytes=1 << 20, pixels=1 << 16)
EMPTY_PIXELS = png_chunk(b"IDAT", zlib.compress(b""))


def _jpeg_of_size(height: int, width: int) -> bytes:
    at = JPEG.index(b"\xff\xc0")
    return JPEG[: at + 5] + struct.pack(">HH", height, width) + JPEG[at + 9 :]


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.parametrize(
    "bomb",
    [
        png_of(EMPTY_PIXELS, width=50_000, height=50_000),
        png_of(EMPTY_PIXELS, width=0x7FFFFFFF, height=0x7FFFFFFF),
        png_of(png_chunk(b"IDAT", zlib.compress(bytes(10_000_000), 9)), width=30_000, height=30_000),
        _jpeg_of_size(65_500, 65_500),
    ],
    ids=["png-50000", "png-largest", "png-zeros", "jpeg"],
)
def test_bombs_are_refused_by_their_header(bomb: bytes) -> None:
    """Attack: a few bytes announce thousands of millions of pixels; memory grows by less than 1 MB."""
    with pytest.raises(LimitError, match="40000000 pixels"):
        decode(png_of(EMPTY_PIXELS, width=50_000, height=50_000))
    before = _peak_kib()

    with pytest.raises(LimitError, match="40000000 pixels"):
        decode(bomb)

    assert _peak_kib() - before < 1024


def test_text_chunks_never_unpack() -> None:
    """Attack: compressed text and profiles of 100 MB inside a small picture; the decoder never sees them."""
    packed = zlib.compress(bytes(100_000_000), 9)
    text, profile = png_chunk(b"zTXt", b"k\0\0" + packed), png_chunk(b"iCCP", b"k\0\0" + packed)
    data = PNG[:33] + text + profile + PNG[33:]
    decode(PNG)
    before = _peak_kib()

    picture = decode(data)

    assert picture.width == 24
    assert _peak_kib() - before < 1024


def test_more_image_data_than_pixels_is_never_unpacked() -> None:
    """Attack: a 1 x 1 picture whose data unpacks to 100 MB."""
    data = png_of(png_chunk(b"IDAT", zlib.compress(bytes(100_000_000), 9)), width=1, height=1)
    decode(PNG)
    before = _peak_kib()

    assert decode(data).width == 1
    assert _peak_kib() - before < 2048


def test_a_large_file_is_refused_by_its_size() -> None:
    """The file's size is checked before its first byte."""
    with pytest.raises(LimitError, match="may have 100 bytes"):
        decode(JPEG, DecodeLimits(file_bytes=100))


@pytest.mark.parametrize("data", [JPEG, saved(Image.fromarray(noise(40, 48)), "JPEG", progressive=True), PNG])
def test_every_truncation_is_an_error(data: bytes) -> None:
    """A part of a picture is no picture: the model would answer about something else."""
    for cut in range(0, len(data), max(1, len(data) // 150)):
        with pytest.raises(ImageError):
            decode(data[:cut])


def test_truncated_inside_whole_chunks_is_an_error() -> None:
    """Attack: all checksums are right, but the packed pixels stop half-way."""
    packed = zlib.compress(b"".join(b"\0" + bytes(12) for _ in range(4)))

    for part in (b"", packed[: len(packed) // 2], packed[:-5], b"\0" * 40):
        with pytest.raises(ImageError):
            decode(png_of(png_chunk(b"IDAT", part)))


def test_no_image_data_is_an_error() -> None:
    """Attack: a header and an end."""
    with pytest.raises(ImageError):
        decode(png_of())


def test_wrong_checksum_is_an_error() -> None:
    """A flipped bit in transit is seen, not shown."""
    at = PNG.index(b"IDAT") + 10
    damaged = PNG[:at] + bytes([PNG[at] ^ 1]) + PNG[at + 1 :]

    with pytest.raises(ImageError, match="checksum"):
        decode(damaged)


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"hello, this is text" * 9, b"<svg/>", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\0\0", bytes(5000)]
)
def test_what_is_no_picture_is_an_error(data: bytes) -> None:
    """Attack: text, zeros or a bare signature under a picture's name."""
    with pytest.raises(ImageError):
        decode(data)


def test_endless_small_segments_and_chunks_are_cut_short() -> None:
    """Attack: millions of empty segments or chunks, to keep a core busy."""
    with pytest.raises(ImageError, match="1024 segments"):
        decode(b"\xff\xd8" + b"\xff\xe2\0\2" * 100_000)
    with pytest.raises(LimitError, match="16384 chunks"):
        decode(png_of(*[png_chunk(b"tEXt", b"")] * 20_000))


def test_many_progressive_scans_are_refused() -> None:
    """Attack: a progressive JPEG with thousands of scans, each a walk over all pixels."""
    data = saved(Image.fromarray(noise(40, 48)), "JPEG", progressive=True)
    scan = data.index(b"\xff\xda")

    with pytest.raises(LimitError, match="may have 64 scans"):
        decode(data[:-2] + data[scan:-2] * 30 + data[-2:])


@pytest.mark.parametrize("kind", [0xC3, 0xC9, 0xCA, 0xCB])
def test_other_coding_processes_are_refused(kind: int) -> None:
    """Lossless and arithmetic files have their own status: the file may be sound."""
    with pytest.raises(UnsupportedError, match="Huffman"):
        decode(JPEG.replace(b"\xff\xc0", bytes([0xFF, kind]), 1))


def test_twelve_bits_a_sample_are_refused() -> None:
    """A medical JPEG is not squeezed into 8 bits silently."""
    at = JPEG.index(b"\xff\xc0")

    with pytest.raises(UnsupportedError, match="8 bits a sample, it has 12"):
        decode(JPEG[: at + 4] + b"\x0c" + JPEG[at + 5 :])


def test_unknown_critical_chunk_is_refused() -> None:
    """Apple's CgBI swaps colours; decoding it as PNG would give wrong ones."""
    with pytest.raises(UnsupportedError, match="CgBI"):
        decode(png_of(png_chunk(b"CgBI", bytes(4))))


def test_an_exif_block_that_points_everywhere_does_no_harm() -> None:
    """Attack: offsets and counts beyond the block."""
    blocks = [b"II*\0" + struct.pack("<I", at) + b"\xff" * 40 for at in (0, 8, 39, 47, 0xFFFFFFFF)]

    for block in [*blocks, exif(6)[:20]]:
        assert decode(saved(Image.fromarray(noise(8, 8)), "JPEG", exif=b"Exif\0\0" + block)).width == 8


@settings(max_examples=150)
@given(
    some.sampled_from([JPEG, PNG, saved(Image.fromarray(noise(20, 24)), "JPEG", progressive=True)]),
    some.lists(some.tuples(some.floats(0, 1, exclude_max=True), some.integers(0, 255)), min_size=1, max_size=8),
)
def test_mutated_files_decode_or_fail_by_our_errors(data: bytes, changes: list[tuple[float, int]]) -> None:
    """Attack: any bytes changed anywhere; nothing but a picture within limits or an error of ours comes out."""
    mutant = bytearray(data)
    for place, value in changes:
        mutant[int(place * len(mutant))] = value

    try:
        picture = decode(mutant, SMALL)
    except (ImageError, LimitError, UnsupportedError):
        return

    assert picture.pixels.shape == (picture.height, picture.width, 3)


@settings(max_examples=60)
@given(some.binary(max_size=200), some.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", PNG[:33], JPEG[:40]]))
def test_random_tails_fail_by_our_errors(tail: bytes, head: bytes) -> None:
    """Attack: the right beginning, then anything."""
    with pytest.raises((ImageError, UnsupportedError, LimitError)):
        decode(head + tail, SMALL)
