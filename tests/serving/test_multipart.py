from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alula.base.errors import LimitError, RequestError
from alula.serving.multipart import MOST_PARTS, read_parts

TYPE = "multipart/form-data; boundary=xyz"
DISPOSITION = b'Content-Disposition: form-data; name="image"'


def _form(*parts: tuple[bytes, bytes], boundary: bytes = b"xyz") -> bytes:
    """A form of (header lines, data)."""
    lines = [b"--%b\r\n%b\r\n\r\n%b\r\n" % (boundary, head, data) for head, data in parts]
    return b"".join(lines) + b"--" + boundary + b"--\r\n"


def test_parts_are_views_of_the_body() -> None:
    """A picture of many megabytes is not copied out of its form."""
    body = bytearray(_form((DISPOSITION, b"picture")))

    (part,) = read_parts(body, TYPE)
    body[body.index(b"picture") : body.index(b"picture") + 3] = b"PIC"

    assert bytes(part.data) == b"PICture"


@pytest.mark.parametrize(
    ("head", "name", "is_file"),
    [
        (b'Content-Disposition: form-data; name="image"; filename="a.png"', "image", True),
        (b'Content-Disposition: form-data; filename="a.png"; name="image"', "image", True),
        (b"content-disposition: form-data; name=\"image\"; filename*=utf-8''a.png", "image", True),
        (b'Content-Type: image/png\r\nCONTENT-DISPOSITION: form-data; NAME="image"', "image", False),
        (b'Content-Disposition: form-data; name="top"', "top", False),
        (b'Content-Disposition: form-data; name=""', "", False),
    ],
)
def test_names_and_files_are_told_by_the_disposition(head: bytes, name: str, is_file: bool) -> None:  # noqa: FBT001
    """RFC 7578, 4.2: the name is a parameter in any place; `filename` is not taken for `name`."""
    (part,) = read_parts(_form((head, b"x")), TYPE)

    assert (part.name, part.is_file) == (name, is_file)


@pytest.mark.parametrize(
    ("kind", "boundary"),
    [
        ("multipart/form-data; boundary=xyz; charset=utf-8", b"xyz"),
        ('multipart/form-data; boundary="a b"', b"a b"),
        ("multipart/form-data; boundary=----WebKit'()+_,-./:=?7", b"----WebKit'()+_,-./:=?7"),
        ("multipart/form-data; boundary=" + "b" * 70, b"b" * 70),
    ],
)
def test_boundaries_of_the_standard_are_understood(kind: str, boundary: bytes) -> None:
    """RFC 2046, 5.1.1: 1 to 70 characters, quoted where they hold a space."""
    (part,) = read_parts(_form((DISPOSITION, b"x"), boundary=boundary), kind)

    assert bytes(part.data) == b"x"


@pytest.mark.parametrize(
    "kind",
    ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=" + "b" * 71],
)
def test_content_type_without_a_boundary_is_refused(kind: str) -> None:
    """Without its boundary a form cannot be read, and no other is guessed."""
    with pytest.raises(RequestError, match="needs a boundary"):
        read_parts(_form((DISPOSITION, b"x")), kind)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "needs to start with its boundary"),
        (b"preamble\r\n" + _form((DISPOSITION, b"x")), "needs to start with its boundary"),
        (_form((DISPOSITION, b"x"))[:-10], "needs to end with its boundary"),
        (b"--xyzw\r\n" + DISPOSITION + b"\r\n\r\nx\r\n--xyz--", "needs a line end after each boundary"),
        (b"--xyz\r\n" + DISPOSITION + b"\r\n--xyz--", "needs an empty line"),
        (_form((b"Content-Type: image/png", b"x")), "content-disposition with a name"),
        (_form((b"Content-Disposition: form-data; name=image", b"x")), "content-disposition with a name"),
    ],
)
def test_bodies_that_break_the_form_are_refused(body: bytes, message: str) -> None:
    """A form that two readers could read in two ways is not read at all."""
    with pytest.raises(RequestError, match=message):
        read_parts(body, TYPE)


def test_most_parts_are_read_and_one_more_is_refused() -> None:
    """A body of a million tiny parts must not become a million objects."""
    most = [(DISPOSITION, b"x")] * MOST_PARTS

    assert len(read_parts(_form(*most), TYPE)) == MOST_PARTS
    with pytest.raises(LimitError, match=f"{MOST_PARTS} parts"):
        read_parts(_form(*most, (DISPOSITION, b"x")), TYPE)


def test_part_with_an_endless_head_is_refused() -> None:
    """The search for the end of a head stops after 4096 bytes."""
    with pytest.raises(LimitError, match="4096 bytes of headers"):
        read_parts(_form((DISPOSITION + b"\r\nx: " + b"y" * 4096, b"x")), TYPE)


@given(st.lists(st.binary(max_size=40).filter(lambda data: b"\r\n--xyz" not in b"\r\n" + data), max_size=5))
def test_data_comes_back_unchanged(pieces: list[bytes]) -> None:
    """Any bytes but the boundary are data: line ends, dashes and zeros too."""
    parts = read_parts(_form(*((DISPOSITION, piece) for piece in pieces)), TYPE)

    assert [bytes(part.data) for part in parts] == pieces
