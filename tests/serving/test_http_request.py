from __future__ import annotations

import pytest

from alula.serving.http_request import Incoming, Refusal, malformed, no_room, too_slow
from alula.serving.settings import WireLimits
from alula.serving.statuses import BY_WORD

LIMITS = WireLimits(body_bytes=1000, head_bytes=200, headers=4)


def _incoming(*headers: tuple[bytes, bytes], version: str = "1.1") -> Incoming:
    one = Incoming(0.0, version=version)
    for name, value in ((b"Host", b"test"), *headers):
        one.add_header(name, value, LIMITS)
    return one


def _word(refusal: Refusal | None) -> str:
    return "" if refusal is None else refusal.word


def test_repeated_headers_are_joined() -> None:
    """RFC 9110, 5.3: a list may be spread over lines, in order; names ignore case."""
    one = _incoming((b"X-List", b" a "), (b"x-list", b"b"))

    assert one.headers == {"host": "test", "x-list": "a, b"}
    assert one.check_whole_head(LIMITS) is None


@pytest.mark.parametrize("name", ["Host", "Content-Type", "Content-Length", "Transfer-Encoding", "Expect"])
def test_headers_that_frame_a_request_come_once(name: str) -> None:
    """Two lengths are two different requests to two readers: request smuggling."""
    one = _incoming((name.encode(), b"1"), (name.lower().encode(), b"1"))

    assert _word(one.check_whole_head(LIMITS)) == "malformed"


@pytest.mark.parametrize(
    ("version", "headers", "word"),
    [
        ("1.1", (), ""),
        ("1.0", (), ""),
        ("2.0", (), "version"),
        ("0.9", (), "version"),
        ("1.1", ((b"Expect", b"100-Continue"),), ""),
        ("1.1", ((b"Expect", b"a miracle"),), "expectation"),
        ("1.1", ((b"Content-Length", b"1000"),), ""),
        ("1.1", ((b"Content-Length", b"1001"),), "body"),
        ("1.1", ((b"Content-Length", b"9" * 30),), "body"),
    ],
)
def test_a_whole_head_is_taken_or_refused(version: str, headers: tuple[tuple[bytes, bytes], ...], word: str) -> None:
    """What the server cannot keep to is refused before the body comes."""
    assert _word(_incoming(*headers, version=version).check_whole_head(LIMITS)) == word


@pytest.mark.parametrize(("version", "word"), [("1.1", "malformed"), ("1.0", "")])
def test_host_is_needed_since_1_1(version: str, word: str) -> None:
    """RFC 9112, 3.2."""
    assert _word(Incoming(0.0, version=version).check_whole_head(LIMITS)) == word


def test_header_lines_have_a_limit() -> None:
    """The line beyond the limit is refused as it comes, also when its name is an old one."""
    one = _incoming((b"a", b""), (b"a", b""), (b"a", b""))

    assert _word(one.add_header(b"a", b"", LIMITS)) == "headers"


def test_head_bytes_have_a_limit() -> None:
    """Names, values and their four bytes of punctuation count; the limit itself is allowed."""
    assert Incoming(0.0).add_header(b"a", b"b" * 195, LIMITS) is None
    assert _word(Incoming(0.0).add_header(b"a", b"b" * 196, LIMITS)) == "headers"


def test_an_unfinished_head_is_cut() -> None:
    """A header line without an end never reaches `add_header`; its bytes are counted on the wire."""
    one = Incoming(0.0)

    assert one.check_wire(200, LIMITS) is None
    assert _word(one.check_wire(1, LIMITS)) == "headers"


def test_chunks_may_cost_as_much_as_they_carry() -> None:
    """One-byte chunks with long extensions, or endless trailers, end at twice the largest body."""
    one = _incoming((b"Transfer-Encoding", b"chunked"))
    one.open_body()

    assert one.check_wire(2 * LIMITS.body_bytes + LIMITS.head_bytes, LIMITS) is None
    assert _word(one.check_wire(1, LIMITS)) == "body"


@pytest.mark.parametrize("pieces", [(b"abcdef",), (b"ab", b"c", b"def")])
@pytest.mark.parametrize("header", [(b"Content-Length", b"6"), (b"Transfer-Encoding", b"chunked")])
def test_pieces_make_the_body(header: tuple[bytes, bytes], pieces: tuple[bytes, ...]) -> None:
    """Announced or chunked, in one piece or in many: the same bytes."""
    one = _incoming(header)
    one.open_body()
    for piece in pieces:
        one.take(piece)

    assert one.body is not None
    assert (bytes(one.body), one.filled) == (b"abcdef", 6)


@pytest.mark.parametrize(
    ("version", "header", "wants"),
    [
        ("1.1", (b"Content-Length", b"6"), True),
        ("1.1", (b"Transfer-Encoding", b"chunked"), True),
        ("1.1", (b"Content-Length", b"0"), False),
        ("1.0", (b"Content-Length", b"6"), False),
    ],
)
def test_continue_is_wanted_only_where_a_body_follows(version: str, header: tuple[bytes, bytes], wants: bool) -> None:  # noqa: FBT001
    """RFC 9110, 10.1.1: not for HTTP 1.0, not without a body."""
    assert _incoming((b"Expect", b"100-continue"), header, version=version).wants_continue is wants


@pytest.mark.parametrize("refusal", [malformed("x"), too_slow(LIMITS), no_room(LIMITS)], ids=lambda one: one.word)
def test_every_refusal_has_a_status(refusal: Refusal) -> None:
    """The word is one of the table's."""
    assert refusal.word in BY_WORD
