"""Hostile requests over real sockets: each gets the right error as JSON or is cut off, and the server stays up."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from support.pictures import jpeg, noise, plain, png, png_chunk, png_of
from support.server import Reply, Running, post_bytes, read_reply, running

from alula.serving.settings import ServeSettings, WireLimits

WIRE = WireLimits(
    body_bytes=200_000, bodies_bytes=1_000_000, connections=20, idle_seconds=1.0, read_seconds=0.6, write_seconds=0.6
)
RED = jpeg(plain(220, 20, 10))
BOMB = png_of(png_chunk(b"IDAT", b"x"), width=50_000, height=50_000)
PREDICT = b"POST /v1/predict HTTP/1.1\r\nHost: t\r\n"
FORM = "multipart/form-data; boundary=b"


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """A server with tight limits, which must answer well after every attack."""
    with running(ServeSettings(port=0, wire=WIRE)) as one:
        yield one


@pytest.fixture(autouse=True)
def _stays_up(server: Running) -> Iterator[None]:
    yield
    assert server.post(RED, "image/jpeg").json["predictions"][0]["label"] == "red"


def _json(image: object, **more: object) -> bytes:
    return json.dumps({"image": image, **more}).encode()


def _field(name: bytes, data: bytes) -> bytes:
    return b"--b\r\nContent-Disposition: form-data; name=" + name + b"\r\n\r\n" + data + b"\r\n"


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        # no picture, or a damaged one
        (b"", "image/jpeg", 422),
        (b"this is text", "image/png", 422),
        (RED[:-20], "image/jpeg", 422),
        (png(noise(9, 9))[:-20], "image/png", 422),
        (png(noise(9, 9)).replace(b"IDAT", b"IDAX"), "image/png", 422),
        (BOMB, "image/png", 413),
        (b"GIF89a" + bytes(40), "image/png", 415),
        # content types
        (RED, "text/plain", 415),
        (RED, "", 415),
        (RED, "application/x-www-form-urlencoded", 415),
        (RED, "image/jpeg\tx", 415),
        # JSON
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"null", "application/json", 400),
        (b"\xff\xfe{}", "application/json", 400),
        (b'{"image": "\xff"}', "application/json", 400),
        (b'{"image": "' + b"\\ud800" + b'"}', "application/json", 400),
        (_json("not base64!"), "application/json", 400),
        (_json("data:image/png;base64,AAAA"), "application/json", 400),
        (_json(7), "application/json", 400),
        (_json(None), "application/json", 400),
        (_json("AAAA", top=0), "application/json", 400),
        (_json("AAAA", top="5"), "application/json", 400),
        (_json("AAAA", top=10**400), "application/json", 400),
        (_json("AAAA", more=1), "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"image":' * 20_000, "application/json", 400),
        (b'{"image":' + b"[" * 100_000, "application/json", 400),
        (b'{"x":[' + b"[]," * 50_000 + b"[]]}", "application/json", 400),
        (_json(base64.b64encode(b"text").decode()), "application/json", 422),
        (_json(base64.b64encode(BOMB).decode()), "application/json", 413),
        # forms
        (b"", FORM, 400),
        (b"--b--\r\n", FORM, 400),
        (b"--b", FORM, 400),
        (_field(b'"image"', RED), FORM, 400),
        (b"--c\r\n\r\n--c--", FORM, 400),
        (_field(b'"image"', RED) + b"--b--", "multipart/form-data", 400),
        (_field(b'"image"', RED) + b"--b--", "multipart/form-data; boundary=" + "x" * 80, 400),
        (_field(b'"other"', RED) + b"--b--", FORM, 400),
        (_field(b"image", RED) + b"--b--", FORM, 400),
        (b"--b\r\nno head" + RED + b"\r\n--b--", FORM, 400),
        (b"--b\r\nA: " + b"x" * 9000 + b"\r\n\r\n\r\n--b--", FORM, 413),
        (_field(b'"x"', b"") * 200 + b"--b--", FORM, 413),
        (_field(b'"image"', b"text") + b"--b--", FORM, 422),
        (_field(b'"top"', b"five") + _field(b'"image"', RED) + b"--b--", FORM, 400),
        (_field(b'"top"', b"\xff" * 5000) + _field(b'"image"', RED) + b"--b--", FORM, 400),
    ],
)
def test_bad_content_has_its_status(server: Running, body: bytes, kind: str, status: int) -> None:
    """Attack: every kind of wrong content; the status tells whose fault it is, the error what to do."""
    reply = server.post(body, kind)

    assert (reply.status, reply.error["message"][:1] != "") == (status, True)
    assert reply.headers["connection"] == "keep-alive"


@pytest.mark.parametrize("top", ["0", "-1", "1001", "x", "", "1e3", "9" * 5000, "%31", "\u0665"])
def test_bad_top_is_refused(server: Running, top: str) -> None:
    """Attack: numbers that are none, or too large."""
    assert server.post(RED, "image/jpeg", f"/v1/predict?top={top}").status in {400, 431}


@pytest.mark.parametrize(
    "path",
    [
        "/v1/../v1/predict",
        "//v1/predict",
        "/v1/predict/",
        "/V1/predict",
        "/%2e%2e/etc/passwd",
        "/../../etc/passwd",
        "/*",
    ],
)
def test_path_tricks_lead_nowhere(server: Running, path: str) -> None:
    """Attack: other spellings of a path, which a filter in front might not know."""
    assert server.post(RED, "image/jpeg", path).status == 404


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /v1/predict HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 400),  # no host
        (PREDICT + b"Host: u\r\nContent-Length: 0\r\n\r\n", 400),
        (PREDICT + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
        (PREDICT + b"Content-Length: 3, 4\r\n\r\nabc", 400),
        (PREDICT + b"Content-Length: -1\r\n\r\n", 400),
        (PREDICT + b"Content-Length: 0x10\r\n\r\n", 400),
        (PREDICT + b"Content-Length: 99999999999999999999999\r\n\r\n", 400),
        (PREDICT + b"Content-Length: 200001\r\n\r\n", 413),
        (PREDICT + b"Content-Length: 4000000000\r\nExpect: 100-continue\r\n\r\n", 413),
        (PREDICT + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (PREDICT + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400),
        (PREDICT + b"Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n", 400),
        (PREDICT + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (PREDICT + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (PREDICT + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", 400),
        (PREDICT + b"Content-Type: a\r\nContent-Type: b\r\nContent-Length: 0\r\n\r\n", 400),
        (PREDICT + b"Expect: magic\r\nContent-Length: 3\r\n\r\n", 417),
        (PREDICT + b"X y: z\r\n\r\n", 400),
        (PREDICT + b"Host : z\r\n\r\n", 400),
        (PREDICT + b"X: a\0b\r\n\r\n", 400),
        (PREDICT + b"X: a\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: t\n\n", 400),
        (b"GET / HTTP/3.0\r\nHost: t\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"BREW / HTTP/1.1\r\nHost: t\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # TLS
        (b"\0" * 100, 400),
        (b"CONNECT evil:80 HTTP/1.1\r\nHost: t\r\n\r\n", 404),
        (b"GET http://other/../healthz HTTP/1.1\r\nHost: t\r\n\r\n", 404),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: t\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: t\r\n" + b"A: b\r\n" * 100 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: t\r\n" + b"".join(b"A%d: b\r\n" % n for n in range(100)) + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: t\r\nA: " + b"b" * 400_000, 431),
        (PREDICT + b"Content-Encoding: gzip\r\nContent-Length: 0\r\n\r\n", 415),
    ],
)
def test_bad_heads_have_their_status(server: Running, head: bytes, status: int) -> None:
    """Attack: requests that two readers would understand differently (smuggling), oversized or foreign ones."""
    reply = server.send(head)

    assert reply.status == status
    assert reply.error["needed"]


def test_repeated_header_of_one_name_counts_as_lines(server: Running) -> None:
    """Attack: one name a thousand times is as large as a thousand names."""
    assert server.send(b"GET / HTTP/1.1\r\nHost: t\r\n" + b"A: bcdefgh\r\n" * 1500 + b"\r\n").status == 431


@pytest.mark.parametrize("after", [b"", b"GET /healthz HTTP/1.1\r\nHost: t\r\n\r\n"])
def test_nothing_is_read_as_a_request_after_a_broken_one(server: Running, after: bytes) -> None:
    """Attack: a request hidden behind one whose length is in doubt."""
    with server.connect() as link:
        link.sendall(PREDICT + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + after)

        assert read_reply(link).status == 400
        assert link.recv(1) == b""


def test_an_announced_flood_is_refused_before_it_comes(server: Running) -> None:
    """Attack: a body of 4 GB; the answer arrives although the client is still sending."""
    with server.connect() as link:
        link.sendall(PREDICT + b"Content-Type: image/png\r\nContent-Length: 4000000000\r\n\r\n" + bytes(300_000))
        reply = read_reply(link)

    assert (reply.status, reply.error["found"]) == (413, "4000000000 are announced")


@pytest.mark.parametrize("piece", [b"1000\r\n" + bytes(4096) + b"\r\n", b"1;" + b"x" * 4000 + b"\r\na\r\n"])
def test_chunks_are_counted(server: Running, piece: bytes) -> None:
    """Attack: a chunked body without end, in its data or in its chunk extensions."""
    with server.connect() as link:
        link.sendall(PREDICT + b"Content-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n")
        reply = _flood(link, piece)

    assert reply.status == 413


def test_trailers_are_counted(server: Running) -> None:
    """Attack: a trailer without end after a small chunked body."""
    with server.connect() as link:
        link.sendall(PREDICT + b"Transfer-Encoding: chunked\r\n\r\n0\r\nA: ")
        reply = _flood(link, b"x" * 8192)

    assert reply.status == 413


def test_a_lying_length_is_cut_off_by_time(server: Running) -> None:
    """Attack: 1000 bytes announced, 10 sent."""
    with server.connect() as link:
        link.sendall(PREDICT + b"Content-Type: image/png\r\nContent-Length: 1000\r\n\r\n0123456789")
        reply = read_reply(link)

    assert (reply.status, reply.error["kind"]) == (408, "late")


def test_a_slow_head_is_cut_off_by_time(server: Running) -> None:
    """Attack (slowloris): one header byte now and then keeps the connection busy, not past its time."""
    with server.connect() as link:
        link.sendall(b"GET / HTTP/1.1\r\n")
        link.settimeout(0.1)
        data = b""
        for _ in range(60):
            try:
                link.sendall(b"X")
                data += link.recv(4096)
            except TimeoutError:
                continue
            except OSError:
                break
            if data:
                break

    assert data.startswith(b"HTTP/1.1 408 ")


def test_silent_connections_are_closed(server: Running) -> None:
    """Attack: connections that never say a word."""
    with server.connect() as link:
        assert link.recv(1) == b""


def test_connections_beyond_the_limit_are_told_so(server: Running) -> None:
    """Attack: more connections than there are places; those beyond get 503 at once."""
    links = [server.connect() for _ in range(30)]
    try:
        reply = read_reply(links[-1])
    finally:
        for link in links:
            link.close()
    _until_connections(server, 0)

    assert (reply.status, reply.error["kind"], reply.headers["retry-after"]) == (503, "busy", "1")


def test_bodies_together_have_a_limit(server: Running) -> None:
    """Attack: many half-sent bodies; memory for all of them together is bounded."""
    links = [server.connect() for _ in range(6)]
    try:
        for link in links:
            link.sendall(PREDICT + b"Content-Type: image/png\r\nContent-Length: 190000\r\n\r\n")
            time.sleep(0.02)
        reply = read_reply(links[-1])
        held = server.app.metrics.body_bytes
    finally:
        for link in links:
            link.close()
    _until_connections(server, 0)

    assert (reply.status, reply.error["kind"], held) == (503, "busy", 950_000)
    assert server.app.metrics.body_bytes == 0


def test_a_client_that_does_not_read_is_cut_off(server: Running) -> None:
    """Attack: thousands of requests sent ahead, no answer read; the server neither stalls nor hoards."""
    with server.connect() as link:
        link.settimeout(0.2)
        sent = 0
        try:
            while sent < 40_000_000:
                sent += link.send(b"GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n" * 500)
        except OSError:
            pass
        assert sent < 40_000_000
        _until_connections(server, 0)


def test_no_place_stays_taken(server: Running) -> None:
    """After all attacks no request is counted as under way and no body as held."""
    _until_connections(server, 0)
    figures = server.get("/metrics").body.decode().splitlines()

    assert "alula_requests_in_flight 1" in figures  # this one
    assert "alula_body_bytes 0" in figures


@settings(max_examples=60)
@given(some.binary(max_size=60), some.integers(0, 200), some.sampled_from([RED[:200], b"{}", b"--b\r\n"]))
def test_mutated_requests_get_an_answer_or_a_closed_door(server: Running, noise_: bytes, at: int, body: bytes) -> None:
    """Attack: random bytes anywhere in a request; whatever comes back is HTTP."""
    data = post_bytes(body, "application/json")
    with server.connect() as link:
        link.sendall(data[:at] + noise_ + data[at:])
        link.shutdown(socket.SHUT_WR)
        try:
            reply = read_reply(link)
        except ConnectionError:
            return

    assert 400 <= reply.status < 500


def _flood(link: socket.socket, piece: bytes) -> Reply:
    """Send until the server has had enough, then read what it says."""
    link.settimeout(5)
    try:
        for _ in range(2000):
            link.sendall(piece)
    except OSError:
        pass
    return read_reply(link)


def _until_connections(server: Running, number: int) -> None:
    end = time.monotonic() + 10
    while server.app.metrics.connections > number:
        assert time.monotonic() < end, "connections stay open"
        time.sleep(0.01)
