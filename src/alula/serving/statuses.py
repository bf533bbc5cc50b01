"""The one table from errors to HTTP statuses, and errors as JSON.

In: errors with their four parts. Out: a status, and a `Response` that says the same as standard error does.
"""

from __future__ import annotations

from alula.base import errors
from alula.base.errors import AlulaError
from alula.serving.messages import Response, json_response

# The class decides where it stands here ...
BY_CLASS: dict[type[AlulaError], int] = {
    errors.RequestError: 400,  # malformed: JSON, base64, multipart, parameters
    errors.InputError: 400,
    errors.MissingError: 404,
    errors.LimitError: 413,  # body, file or pixels beyond a limit
    errors.UnsupportedError: 415,  # a content type or picture format that is not served
    errors.ImageError: 422,  # well delivered, but no picture, truncated or damaged
    errors.BusyError: 503,  # with Retry-After
    errors.LateError: 504,
    errors.InternalError: 500,
}
# ... else its kind does: the server's own files and settings are no fault of the client.
BY_KIND: dict[str, int] = {"invalid": 500, "missing": 404, "refused": 413, "busy": 503, "late": 504, "broken": 500}
# What the HTTP front finds wrong before there is a request; the word is the front's.
BY_WORD: dict[str, int] = {
    "malformed": 400,
    "method": 405,
    "slow": 408,
    "body": 413,
    "expectation": 417,
    "headers": 431,
    "busy": 503,
    "version": 505,
}
REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    417: "Expectation Failed",
    422: "Unprocessable Content",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
}
RETRY_AFTER_SECONDS = 1


def status_of(error: AlulaError) -> int:
    """The status of an error, by its class, else by its kind."""
    for known in type(error).__mro__:
        if known in BY_CLASS:
            return BY_CLASS[known]
    return BY_KIND[error.kind]


def error_response(error: AlulaError, request_id: str, status: int = 0, allow: str = "") -> Response:
    """The error as JSON; `status` overrules the table where the front's word decides, `allow` lists methods."""
    status = status or status_of(error)
    parts = {
        "kind": error.kind,
        "where": error.where,
        "needed": error.needed,
        "found": error.found,
        "hint": error.hint,
        "message": f"{type(error).__name__}: {error.message}",
    }
    headers: tuple[tuple[str, str], ...] = (("allow", allow),) if allow else ()
    if status == BY_WORD["busy"]:
        headers += (("retry-after", str(RETRY_AFTER_SECONDS)),)
    return json_response(status, {"error": parts, "request_id": request_id}, headers)
