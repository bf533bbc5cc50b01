"""One request being received: its head and body, each checked before memory is taken for it.

In: what an HTTP parser finds. Out: a body buffer to fill, or a `Refusal`.
"""

from __future__ import annotations

from dataclasses import dataclass

from alula.base.errors import AlulaError, BusyError, LateError, LimitError, RequestError, UnsupportedError
from alula.serving.settings import WireLimits

# Repeated, these would mean different things to different readers of the same request.
_ONCE = frozenset({"host", "content-type", "content-length", "transfer-encoding", "content-encoding", "expect"})


@dataclass(frozen=True)
class Refusal:
    """Why a request is not taken: a word of `statuses.BY_WORD` and the error to show. The connection ends with it."""

    word: str
    error: AlulaError


@dataclass
class Incoming:
    """The request on the wire. Changed only by its connection.

    `body` has its whole size from the start when the length was announced; else it grows chunk by chunk.
    """

    started: float
    url: bytes = b""
    method: str = ""
    version: str = ""
    keep_alive: bool = True
    head_bytes: int = 0
    lines: int = 0
    wire_bytes: int = 0
    body: bytearray | None = None
    announced: bool = False
    filled: int = 0
    repeated: str = ""

    def __post_init__(self) -> None:
        self.headers: dict[str, str] = {}

    def add_header(self, raw_name: bytes, raw_value: bytes, limits: WireLimits) -> Refusal | None:
        """Keep a header; repeated ones are joined by a comma (RFC 9110, 5.3)."""
        self.lines += 1
        self.head_bytes += len(raw_name) + len(raw_value) + 4
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip()
        if name in self.headers:
            self.repeated = self.repeated or (name if name in _ONCE else "")
            value = f"{self.headers[name]}, {value}"
        self.headers[name] = value
        return self.check_head(limits)

    def check_head(self, limits: WireLimits) -> Refusal | None:
        """Refuse a head that is too large, while it arrives."""
        if max(self.head_bytes, self.wire_bytes) <= limits.head_bytes and self.lines <= limits.headers:
            return None
        needed = f"may have {limits.head_bytes} bytes and {limits.headers} lines"
        return Refusal("headers", LimitError("request line and headers", needed, "they have more"))

    def check_wire(self, count: int, limits: WireLimits) -> Refusal | None:
        """Count bytes that come while this request is unfinished: one endless header or trailer is cut here.

        Chunks may cost as much as what they carry; a body of known length does not come this way.
        """
        self.wire_bytes += count
        if self.body is None:
            return self.check_head(limits)
        if self.wire_bytes > 2 * limits.body_bytes + limits.head_bytes:
            return body_too_large(limits, "its chunks and trailers take more than twice as many")
        return None

    def check_whole_head(self, limits: WireLimits) -> Refusal | None:
        """Refuse a head whose meaning is in doubt, or that announces too large a body."""
        if self.version not in {"1.0", "1.1"}:
            return Refusal("version", UnsupportedError("request", "needs HTTP 1.0 or 1.1", f"got {self.version}"))
        if self.repeated:
            error = RequestError(f"header {self.repeated}", "needs to come once", "it comes more often")
            return Refusal("malformed", error)
        if self.version == "1.1" and "host" not in self.headers:
            return Refusal("malformed", RequestError("header host", "needs to be there (RFC 9112, 3.2)", "it is not"))
        expectation = self.headers.get("expect", "100-continue").lower()
        if expectation != "100-continue":
            error = RequestError("header expect", "needs to be 100-continue", f"got {expectation!r:.50}")
            return Refusal("expectation", error)
        if self.length > limits.body_bytes:
            return body_too_large(limits, f"{self.length} are announced")
        return None

    @property
    def length(self) -> int:
        """The announced length of the body; 0 where none is. The parser has seen that it is a number."""
        return int(self.headers.get("content-length", "0"))

    @property
    def chunked(self) -> bool:
        """Whether the body comes in chunks; the parser refuses a length beside them."""
        return "transfer-encoding" in self.headers

    @property
    def wants_continue(self) -> bool:
        """Whether the client waits for `100 Continue` before it sends the body (RFC 9110, 10.1.1)."""
        return "expect" in self.headers and self.version == "1.1" and (self.chunked or self.length > 0)

    def open_body(self) -> None:
        """Take memory for the body; its head has been checked."""
        self.announced = not self.chunked
        self.body = bytearray(self.length)

    def take(self, data: bytes) -> None:
        """Add a piece of the body that came through the parser."""
        if self.body is None:
            return
        if self.announced:
            self.body[self.filled : self.filled + len(data)] = data
        else:
            self.body += data
        self.filled += len(data)


def body_too_large(limits: WireLimits, found: str) -> Refusal:
    """The refusal of a body, announced or counted."""
    return Refusal("body", LimitError("body", f"may have {limits.body_bytes} bytes", found, "send a smaller picture"))


def malformed(found: str) -> Refusal:
    """The refusal of bytes that are no HTTP."""
    return Refusal("malformed", RequestError("request", "needs to be well-formed HTTP", found))


def too_slow(limits: WireLimits) -> Refusal:
    """The refusal of a client that takes its time."""
    found = "it has not arrived whole"
    return Refusal("slow", LateError("request", f"needs to arrive within {limits.read_seconds:g} s", found))


def no_room(limits: WireLimits) -> Refusal:
    """The refusal of a body while too many others are in memory."""
    found = "others take them now"
    needed = f"needs room among the {limits.bodies_bytes} bytes of all bodies"
    return Refusal("busy", BusyError("body", needed, found, "try again later"))
