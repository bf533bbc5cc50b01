"""One HTTP/1 connection over httptools (the parser of Node.js) and asyncio.

In: bytes of a socket. Out: `Request`s for the app, one after the other, and their responses as bytes.

A body of known length is received straight into its own buffer, past the parser and without joining pieces. A client
that closes its side of the connection is taken to have gone: its request is cancelled if it has not been computed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING, Any

import httptools

from alula.serving.http_request import Incoming, Refusal, body_too_large, malformed, no_room, too_slow
from alula.serving.messages import Request, Response
from alula.serving.statuses import BY_WORD, REASONS, error_response

if TYPE_CHECKING:
    from alula.serving.http_front import Front

_LINGER_SECONDS = 2.0
# Requests sent ahead on one connection; with more waiting, reading stops.
_MOST_WAITING = 16


class HttpConnection(asyncio.BufferedProtocol):
    """Owned by its `Front`; all methods run in the event loop."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._limits = front.limits
        self._parser: Any = httptools.HttpRequestParser(self)
        self._incoming: Incoming | None = None
        self._direct: memoryview | None = None
        self._waiting: deque[tuple[Request, bool, int] | Refusal] = deque()
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._closing = False  # nothing more is read as a request
        self._held_bytes = 0
        self.deadline = inf

    # -- the transport calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start waiting for a first request."""
        self._transport: Any = transport
        self.deadline = perf_counter() + self._limits.read_seconds
        if not self._front.enter(self):
            self._refuse(self._front.full())

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        """Forget the connection; a request that waits is cancelled."""
        self._front.leave(self)
        self._hold(-self._held_bytes)
        if self._task is not None:
            self._task.cancel()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  asyncio's signature
        """Where the next bytes go: the rest of the body, else the front's receive buffer."""
        return self._front.receive if self._direct is None else self._direct

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes have come."""
        if self._direct is None:
            if not self._closing:
                self._feed(self._front.receive[:nbytes])
            return
        self._direct = self._direct[nbytes:]
        if not self._direct:
            self._direct = None
            self._parser = httptools.HttpRequestParser(self)
            self.on_message_complete()

    def eof_received(self) -> bool:
        """The client has gone."""
        return False

    def pause_writing(self) -> None:
        """The client does not read its answers: give it a while."""
        self._writable.clear()
        self.deadline = perf_counter() + self._limits.write_seconds

    def resume_writing(self) -> None:
        """The client reads again."""
        self._writable.set()

    # -- the parser calls these

    def on_message_begin(self) -> None:
        """A request begins."""
        self._incoming = Incoming(perf_counter())
        if self._task is None:
            self.deadline = self._incoming.started + self._limits.read_seconds

    def on_url(self, part: bytes) -> None:
        """A piece of the target."""
        if self._incoming is not None and not self._closing:
            self._incoming.url += part
            self._incoming.head_bytes += len(part)
            self._refuse(self._incoming.check_head(self._limits))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; those that trail a chunked body are not kept."""
        if self._incoming is not None and not self._closing and self._incoming.body is None:
            self._refuse(self._incoming.add_header(name, value, self._limits))

    def on_headers_complete(self) -> None:
        """The head is whole: check it, then take memory for the body."""
        one = self._incoming
        if one is None or self._closing:
            return
        one.method = self._parser.get_method().decode("ascii")
        one.version = self._parser.get_http_version()
        one.keep_alive = self._parser.should_keep_alive() and "upgrade" not in one.headers
        refusal = one.check_whole_head(self._limits)
        if refusal is None and not self._hold(one.length):
            refusal = no_room(self._limits)
        if refusal is not None:
            self._refuse(refusal)
            return
        one.open_body()
        if one.wants_continue and not self._waiting and self._task is None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        one = self._incoming
        if one is None or self._closing:
            return
        if not one.announced:
            if one.filled + len(data) > self._limits.body_bytes:
                self._refuse(body_too_large(self._limits, "more have come"))
                return
            if not self._hold(len(data)):
                self._refuse(no_room(self._limits))
                return
        one.take(data)

    def on_message_complete(self) -> None:
        """The request is whole: answer it after those before it."""
        one, self._incoming = self._incoming, None
        if one is None or self._closing or one.body is None:
            return
        path, _, query = one.url.decode("latin-1").partition("?")
        if not path.startswith("/"):
            path = _path_of(one.url)
        request_id = self._front.request_id(one.headers.get("x-request-id", ""))
        read = perf_counter() - one.started
        request = Request(one.method, path, query, one.headers, one.body, request_id, one.started, read)
        self._put((request, one.keep_alive, len(one.body)))

    # -- the front calls these

    def sweep(self, now: float) -> None:
        """End what takes too long: an idle wait, a slow request, an answer that nobody fetches, a last goodbye."""
        if now < self.deadline:
            return
        if self._incoming is not None and not self._closing and self._task is None:
            self._refuse(too_slow(self._limits))
        elif self._task is None or not self._writable.is_set():
            self._transport.abort()
        else:
            self.deadline = inf

    def drain(self) -> None:
        """Stop after the request under way, or being received; stop at once where there is none."""
        if self._task is None and self._incoming is None:
            self._transport.close()

    def abort(self) -> None:
        """Stop at once."""
        self._transport.abort()

    # -- inside

    def _feed(self, data: memoryview) -> None:
        if self._incoming is not None:
            self._refuse(self._incoming.check_wire(len(data), self._limits))
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._closing = True  # the offer is ignored, the request answered
        except httptools.HttpParserError as error:
            self._refuse(malformed(f"{error}"))
        one = self._incoming
        if one and one.announced and one.body and not self._closing:
            self._direct = memoryview(one.body)[one.filled :]

    def _hold(self, count: int) -> bool:
        """Count bytes of bodies, here and for the front; False when the front has no room for more."""
        if count > 0 and self._front.metrics.body_bytes + count > self._limits.bodies_bytes:
            return False
        self._held_bytes += count
        self._front.metrics.body_bytes += count
        return True

    def _refuse(self, refusal: Refusal | None) -> None:
        """Answer with an error, in its turn, then end: what follows on the wire cannot be trusted."""
        if refusal is not None and not self._closing:
            self._closing = True
            self._direct = None
            self._put(refusal)

    def _put(self, item: tuple[Request, bool, int] | Refusal) -> None:
        self._waiting.append(item)
        if self._task is None:
            self.deadline = inf
            self._task = asyncio.get_running_loop().create_task(self._work())
        elif len(self._waiting) >= _MOST_WAITING:
            self._transport.pause_reading()

    async def _work(self) -> None:
        """Answer what waits, in order."""
        while self._waiting:
            item = self._waiting.popleft()
            if isinstance(item, Refusal):
                self._end_with(item)
                return
            request, keep_alive, held = item
            response = await self._front.app.handle(request)
            keep_alive = keep_alive and not self._front.draining
            self._transport.write(self._front.encode(request, response, keep_alive=keep_alive))
            self._hold(-held)
            if not keep_alive:
                self._closing, self._task = True, None
                self.deadline = perf_counter() + self._limits.write_seconds
                self._transport.close()
                return
            await self._writable.wait()
        self._task = None
        if self._transport.is_closing():
            return
        self._transport.resume_reading()
        patience = self._limits.idle_seconds if self._incoming is None else self._limits.read_seconds
        self.deadline = perf_counter() + patience

    def _end_with(self, refusal: Refusal) -> None:
        """Send the error, and read on without looking for a moment: a reset would take the answer with it."""
        request_id = self._front.request_id("")
        response = error_response(refusal.error, request_id, BY_WORD[refusal.word])
        started = self._incoming.started if self._incoming else perf_counter()
        self._front.metrics.count("refused", response.status, perf_counter() - started)
        self._transport.write(self._front.encode_error(response, request_id))
        self._task, self._incoming = None, None
        self._transport.resume_reading()
        self.deadline = perf_counter() + _LINGER_SECONDS
        if self._transport.can_write_eof():
            self._transport.write_eof()


def _path_of(url: bytes) -> str:
    """The path of a target in absolute form (RFC 9112, 3.2.2); any other form names no path here."""
    try:
        return str((httptools.parse_url(url).path or b"/").decode("latin-1"))
    except httptools.HttpParserError:
        return url.decode("latin-1")


def encode_response(response: Response, extra: bytes, *, with_body: bool) -> bytes:
    """The response as bytes; `extra` holds whole header lines."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in response.headers)
    head = (
        f"HTTP/1.1 {response.status} {REASONS[response.status]}\r\ncontent-type: {response.content_type}\r\n"
        f"content-length: {len(response.body)}\r\n{lines}"
    )
    return b"".join((head.encode("latin-1"), extra, b"\r\n", response.body if with_body else b""))
