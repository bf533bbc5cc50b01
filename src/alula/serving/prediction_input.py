"""What a prediction request asks: the picture's bytes and how many classes are wanted.

In: `Request` with a form, JSON or a bare picture. Out: `PredictionInput`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

from alula.base.errors import RequestError, UnsupportedError
from alula.serving.messages import Buffer, Request
from alula.serving.multipart import Part, read_parts

DEFAULT_TOP = 5
MOST_TOP = 1000
_RAW_TYPES = frozenset({"image/jpeg", "image/jpg", "image/png", "application/octet-stream"})
_KINDS = "multipart/form-data, application/json, image/jpeg, image/png or application/octet-stream"
_TOP = re.compile(r"[0-9]{1,6}", re.ASCII)


@dataclass(frozen=True)
class PredictionInput:
    """The encoded picture (a view of the body where possible) and the number of classes wanted."""

    picture: Buffer
    top: int


class _JsonBody(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON form; msgspec reads base64 into bytes and refuses everything else without building it."""

    image: bytes
    top: int = DEFAULT_TOP


def read_input(request: Request) -> PredictionInput:
    """Find the picture by the content type; what its bytes are is for the decoder to say.

    Raises:
        UnsupportedError: a content type or encoding that is not served.
        RequestError: a body that is not what its content type says.
    """
    if request.headers.get("content-encoding", "identity") != "identity":
        found = f"got {request.headers['content-encoding']:.50}"
        raise UnsupportedError("header content-encoding", "needs identity", found, "send the body unpacked")
    full = request.headers.get("content-type", "")
    kind = full.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return _from_form(read_parts(request.body, full), request)
    if kind == "application/json":
        return _from_json(request.body)
    if kind in _RAW_TYPES:
        return PredictionInput(request.body, _top_of_query(request.query))
    hint = "curl -F image=@picture.jpg, or -H 'content-type: image/jpeg' --data-binary @picture.jpg"
    raise UnsupportedError("header content-type", f"needs {_KINDS}", f"got {kind!r:.100}", hint)


def _from_form(parts: list[Part], request: Request) -> PredictionInput:
    named = [part for part in parts if part.name == "image"] or [part for part in parts if part.is_file]
    if not named:
        found = f"its fields are {[part.name for part in parts]!r:.100}"
        raise RequestError("multipart body", "needs a file field, such as image", found, "curl -F image=@picture.jpg")
    wanted = next((bytes(part.data[:20]).decode("latin-1") for part in parts if part.name == "top"), None)
    top = _top_of_query(request.query) if wanted is None else _top_of_text(wanted)
    return PredictionInput(named[0].data, top)


def _from_json(body: bytes | bytearray) -> PredictionInput:
    try:
        content = msgspec.json.decode(body, type=_JsonBody)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        hint = '{"image": "<base64, without data: before it>", "top": 5}'
        needed = "needs image, a base64 text, and may have top"
        raise RequestError("JSON body", needed, f"{error!s:.200}", hint) from None
    return PredictionInput(content.image, _checked_top(content.top))


def _top_of_query(query: str) -> int:
    values = [value for name, _, value in (pair.partition("=") for pair in query.split("&", 16)) if name == "top"]
    return _top_of_text(values[0]) if values else DEFAULT_TOP


def _top_of_text(text: str) -> int:
    if _TOP.fullmatch(text) is None:
        raise RequestError("top", f"needs a whole number from 1 to {MOST_TOP}", f"got {text!r:.50}")
    return _checked_top(int(text))


def _checked_top(top: int) -> int:
    if not 1 <= top <= MOST_TOP:
        raise RequestError("top", f"needs a whole number from 1 to {MOST_TOP}", f"got {top!s:.50}")
    return top
