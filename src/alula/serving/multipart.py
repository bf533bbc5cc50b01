"""The parts of a multipart/form-data body, as views of it.

In: the body and its content type (RFC 7578, RFC 2046). Out: `Part`s; nothing is copied but their headers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from alula.base.errors import LimitError, RequestError

MOST_PARTS = 16
_MOST_HEAD_BYTES = 4096
_LINE = b"\r\n"
# RFC 2046, 5.1.1: 1 to 70 of these characters, not ending in a space.
_BOUNDARY = re.compile(r"""boundary=(?:"([^"]{1,70})"|([\w'()+,./:=?-]{1,70}))(?:;|$)""", re.ASCII)
_FIELD = re.compile(rb'[;\s]name="([^"\r\n]{0,200})"')
_FILE = re.compile(rb"[;\s]filename\*?=")


@dataclass(frozen=True)
class Part:
    """One field of a form; `data` is a view of the body."""

    name: str
    is_file: bool
    data: memoryview


def read_parts(body: bytes | bytearray, content_type: str) -> list[Part]:
    """Split a form into its parts.

    Raises:
        RequestError: no boundary, or a body that does not keep to it.
        LimitError: more than `MOST_PARTS` parts, or a part with a large head.
    """
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise _bad("needs a boundary of 1 to 70 characters in its content type", f"got {content_type!r:.100}")
    delimiter = b"\r\n--" + (found[1] or found[2]).encode("latin-1", "replace")
    view = memoryview(body)
    if not body.startswith(delimiter[2:]):
        raise _bad("needs to start with its boundary", f"starts with {bytes(view[:40])!r}")
    at = len(delimiter) - 2
    parts: list[Part] = []
    while bytes(view[at : at + 2]) != b"--":
        if len(parts) == MOST_PARTS:
            raise LimitError("multipart body", f"may have {MOST_PARTS} parts", "it has more")
        end = body.find(delimiter, at)
        if end < 0:
            raise _bad("needs to end with its boundary and --", "it does not", "send the whole body")
        parts.append(_part(view, at, end))
        at = end + len(delimiter)
    return parts


def _part(view: memoryview, at: int, end: int) -> Part:
    head = bytes(view[at : min(end, at + _MOST_HEAD_BYTES)])
    if not head.startswith(_LINE):
        raise _bad("needs a line end after each boundary", f"found {head[:20]!r}")
    size = head.find(_LINE * 2)
    if size < 0 and len(head) == _MOST_HEAD_BYTES:
        raise LimitError("multipart body", f"may have {_MOST_HEAD_BYTES} bytes of headers a part", "it has more")
    if size < 0:
        raise _bad("needs an empty line after the headers of a part", "there is none")
    lines = head[:size].lower().split(_LINE)
    disposition = next((line for line in lines if line.startswith(b"content-disposition:")), b"")
    name = _FIELD.search(disposition)
    if name is None:
        raise _bad("needs content-disposition with a name in each part", f"found {head[:size]!r:.100}")
    return Part(name[1].decode("utf-8", "replace"), _FILE.search(disposition) is not None, view[at + size + 4 : end])


def _bad(needed: str, found: str, hint: str = "curl -F image=@picture.jpg") -> RequestError:
    return RequestError("multipart body", needed, found, hint)
