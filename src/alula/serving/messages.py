"""A request and a response as the server's core sees them, whichever library speaks HTTP.

In: nothing. Out: `Request`, `Response`, `json_response`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Request:
    """One request, wholly received.

    Args:
        method: in capitals, such as `POST`.
        path: as sent, nothing decoded or folded: `/v1/../x` is another path than `/x`.
        query: what follows the first `?`, without it.
        headers: names in small letters; the values of a repeated header joined by commas.
        body: the bytes; views of them stay valid as long as they are held.
        id: names the request in answers and logs.
        started: when its first byte came, in seconds of `time.perf_counter`.
        read_seconds: from its first byte to its last.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes | bytearray
    id: str
    started: float
    read_seconds: float


@dataclass(frozen=True, slots=True)
class Response:
    """One answer; the front adds length, date and connection headers."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


def json_response(status: int, content: object, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """An answer of JSON; `content` is made of dicts, lists, texts and finite numbers."""
    return Response(status, msgspec.json.encode(content), headers=headers)
