"""The HTTP front: a listening socket, its connections, their shared limits.

In: an `App`. Out: a server that speaks HTTP/1 until it is told to drain.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from email.utils import formatdate
from itertools import count
from time import perf_counter, time

from alula.base.errors import BusyError
from alula.serving.app import App
from alula.serving.http_connection import HttpConnection, encode_response
from alula.serving.http_request import Refusal
from alula.serving.messages import Request, Response

_RECEIVE_BYTES = 256 << 10
_SWEEP_SECONDS = 0.25
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


class Front:
    """Owns the connections of one event loop."""

    def __init__(self, app: App) -> None:
        """Make a front that does not listen yet."""
        self.app = app
        self.limits = app.settings.wire
        self.metrics = app.metrics
        # One buffer for all connections: the loop fills it and hands it on before it turns to another socket.
        self.receive = memoryview(bytearray(_RECEIVE_BYTES))
        self.draining = False
        self._connections: set[HttpConnection] = set()
        self._prefix = secrets.token_hex(4)
        self._numbers = count(1)
        self._second, self._date = 0, b""
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None

    async def listen(self, host: str, port: int) -> tuple[str, int]:
        """Start to accept connections.

        Returns:
            The address that was taken.

        Raises:
            OSError: the address is taken or not this machine's.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: HttpConnection(self), host, port, backlog=1024)
        self._sweeper = loop.create_task(self._sweep())
        name = self._server.sockets[0].getsockname()
        return name[0], name[1]

    async def drain(self, seconds: float) -> None:
        """Accept nothing new, let requests under way finish, then close; after `seconds` close what is left."""
        self.draining = True
        self.app.ready = False
        if self._server is not None:
            self._server.close()
        for one in tuple(self._connections):
            one.drain()
        end = perf_counter() + seconds
        while self._connections and perf_counter() < end:  # noqa: ASYNC110  happens once, at the end
            await asyncio.sleep(0.01)
        for one in tuple(self._connections):
            one.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()
        await asyncio.sleep(0)

    def enter(self, connection: HttpConnection) -> bool:
        """Count a connection; False when there are too many."""
        self._connections.add(connection)
        self.metrics.connections = len(self._connections)
        return len(self._connections) <= self.limits.connections

    def leave(self, connection: HttpConnection) -> None:
        """Forget a connection."""
        self._connections.discard(connection)
        self.metrics.connections = len(self._connections)

    def full(self) -> Refusal:
        """What a connection beyond the limit is told."""
        needed = f"may have {self.limits.connections} open connections"
        return Refusal("busy", BusyError("server", needed, "all are taken", "try again later"))

    def request_id(self, wanted: str) -> str:
        """The client's own name for its request where it is harmless, else a new one."""
        return wanted if _REQUEST_ID.fullmatch(wanted) else f"{self._prefix}-{next(self._numbers)}"

    def encode(self, request: Request, response: Response, *, keep_alive: bool) -> bytes:
        """A response to a request, as bytes."""
        connection = b"keep-alive" if keep_alive else b"close"
        extra = self._extra(request.id, connection)
        return encode_response(response, extra, with_body=request.method != "HEAD")

    def encode_error(self, response: Response, request_id: str) -> bytes:
        """A response to what was no request, as bytes."""
        return encode_response(response, self._extra(request_id, b"close"), with_body=True)

    def _extra(self, request_id: str, connection: bytes) -> bytes:
        now = int(time())
        if now != self._second:
            self._second, self._date = now, formatdate(now, usegmt=True).encode("ascii")
        return b"x-request-id: %b\r\ndate: %b\r\nconnection: %b\r\n" % (request_id.encode(), self._date, connection)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(_SWEEP_SECONDS, self.limits.read_seconds / 4))
            now = perf_counter()
            for one in tuple(self._connections):
                one.sweep(now)
