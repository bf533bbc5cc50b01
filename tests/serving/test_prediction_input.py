from __future__ import annotations

import pytest

from alula.base.errors import RequestError, UnsupportedError
from alula.serving.messages import Request
from alula.serving.prediction_input import DEFAULT_TOP, MOST_TOP, PredictionInput, read_input


def _read(body: bytes, kind: str | None, query: str = "", **headers: str) -> PredictionInput:
    if kind is not None:
        headers["content-type"] = kind
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_input(Request("POST", "/v1/predict", query, named, body, "1", 0.0, 0.0))


def _form(*fields: tuple[str, bytes]) -> bytes:
    parts = [f"--b\r\nContent-Disposition: form-data; {name}\r\n\r\n".encode() + data for name, data in fields]
    return b"\r\n".join([*parts, b"--b--\r\n"])


@pytest.mark.parametrize(
    "kind", ["image/jpeg", "image/jpg", "IMAGE/PNG", "application/octet-stream; x=y", " image/png "]
)
def test_bare_picture_is_the_body_itself(kind: str) -> None:
    """No copy is made of a picture that comes alone."""
    body = b"picture"

    assert _read(body, kind).picture is body


@pytest.mark.parametrize("kind", [None, "", "text/plain", "image/webp", "image", "multipart/mixed; boundary=b"])
def test_other_content_types_are_refused(kind: str | None) -> None:
    """What is served is listed, nothing is guessed."""
    with pytest.raises(UnsupportedError, match="needs multipart/form-data, application/json"):
        _read(b"picture", kind)


def test_packed_bodies_are_refused() -> None:
    """A small body that unpacks to gigabytes is not unpacked at all."""
    with pytest.raises(UnsupportedError, match="header content-encoding: needs identity, got gzip"):
        _read(b"picture", "image/png", content_encoding="gzip")


def test_field_called_image_comes_before_other_files() -> None:
    """Two files in one form: the one with the documented name is meant."""
    body = _form(('name="photo"; filename="a"', b"first"), ('name="image"', b"second"))

    assert bytes(_read(body, "multipart/form-data; boundary=b").picture) == b"second"


def test_a_form_without_a_file_names_its_fields() -> None:
    """The user sees which names came in place of the right one."""
    with pytest.raises(RequestError, match=r"needs a file field, such as image, its fields are \['picture'\]"):
        _read(_form(('name="picture"', b"x")), "multipart/form-data; boundary=b")


def test_top_of_a_form_comes_before_that_of_the_query() -> None:
    """The nearer word counts."""
    body = _form(('name="image"', b"x"), ('name="top"', b"7"))

    assert _read(body, "multipart/form-data; boundary=b", "top=3").top == 7


@pytest.mark.parametrize(
    ("query", "top"),
    [("", DEFAULT_TOP), ("top=1", 1), (f"top={MOST_TOP}", MOST_TOP), ("a=b&top=2&top=3", 2), ("stop=9", DEFAULT_TOP)],
)
def test_top_is_read_from_the_query(query: str, top: int) -> None:
    """The first `top` counts; other names are not looked at."""
    assert _read(b"x", "image/png", query).top == top


@pytest.mark.parametrize("top", ["0", "-1", "1001", "1e2", "", "٣", "9" * 5000, "1.0", " 1"])
def test_top_outside_its_range_is_refused(top: str) -> None:
    """A number is ASCII digits, short, and from 1 to the most."""
    with pytest.raises(RequestError, match="needs a whole number from 1 to 1000"):
        _read(b"x", "image/png", f"top={top}")


def test_json_carries_base64() -> None:
    """The documented JSON form."""
    assert _read(b'{"image": "cGljdHVyZQ==", "top": 3}', "application/json") == PredictionInput(b"picture", 3)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"top": 3}',
        b'{"image": "cGl"}',
        b'{"image": "data:image/png;base64,cGljdHVyZQ=="}',
        b'{"image": 7}',
        b'{"image": "", "top": "3"}',
        b'{"image": "", "more": 1}',
        b'{"image": "\xff"}',
        b'{"image": ' + b"[" * 100_000,
    ],
)
def test_json_of_another_form_is_refused(body: bytes) -> None:
    """Unknown fields are misspelt fields; nesting beyond the form is not followed."""
    with pytest.raises(RequestError, match="JSON body: needs image, a base64 text"):
        _read(body, "application/json")


@pytest.mark.parametrize("top", [0, 1001, -5, 10**18])
def test_top_of_json_has_the_same_range(top: int) -> None:
    """All forms of request share one rule."""
    with pytest.raises(RequestError, match="needs a whole number from 1 to 1000"):
        _read(f'{{"image": "", "top": {top}}}'.encode(), "application/json")
