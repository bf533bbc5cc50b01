from __future__ import annotations

import json
from typing import get_args

import pytest

from alula.base import errors
from alula.base.errors import AlulaError
from alula.serving.statuses import BY_CLASS, BY_KIND, BY_WORD, REASONS, error_response, status_of

CLASSES = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, AlulaError)]


@pytest.mark.parametrize("error", CLASSES, ids=lambda one: one.__name__)
def test_every_error_has_a_status_with_a_reason(error: type[AlulaError]) -> None:
    """A new error class may not turn into a crash while it is being told."""
    response = error_response(error("here", "needs this", "found that"), "id-1")

    assert response.status in REASONS
    assert 400 <= response.status < 600


def test_every_kind_has_a_status() -> None:
    """The fallback table knows exactly the kinds that errors can have."""
    assert set(BY_KIND) == set(get_args(errors.Kind))


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.RequestError, 400),
        (errors.InputError, 400),
        (errors.MissingError, 404),
        (errors.LimitError, 413),
        (errors.UnsupportedError, 415),
        (errors.ImageError, 422),
        (errors.InternalError, 500),
        (errors.SettingsError, 500),
        (errors.PlanFileError, 500),
        (errors.ModelFileError, 500),
        (errors.BusyError, 503),
        (errors.LateError, 504),
    ],
)
def test_status_says_whose_fault_it_is(error: type[AlulaError], status: int) -> None:
    """4xx: the client can mend it. 5xx: it cannot, and a server's own bad file is not the client's."""
    assert status_of(error("here", "needs this", "found that")) == status


def test_a_subclass_stands_where_its_base_stands() -> None:
    """A finer error class needs no entry of its own."""

    class SmallPictureError(errors.ImageError):
        """A made-up one."""

    assert status_of(SmallPictureError("here", "needs this", "found that")) == BY_CLASS[errors.ImageError]


def test_every_status_of_the_tables_has_a_reason() -> None:
    """The status line of each refusal can be written."""
    assert {*BY_CLASS.values(), *BY_KIND.values(), *BY_WORD.values(), 200} <= set(REASONS)


def test_an_error_is_told_with_all_its_parts() -> None:
    """JSON says the same as standard error does."""
    error = errors.ImageError("body", "needs a picture", "got 3 bytes", "send all", "second line")

    told = json.loads(error_response(error, "id-1").body)

    assert told["request_id"] == "id-1"
    assert told["error"] == {
        "kind": "invalid",
        "where": "body",
        "needed": "needs a picture",
        "found": "got 3 bytes",
        "hint": "send all",
        "message": f"ImageError: {error}",
    }


def test_only_busy_answers_say_when_to_come_back() -> None:
    """Retry-After on other errors would make clients repeat what fails for ever."""
    busy = error_response(errors.BusyError("here", "needs room", "full"), "1")
    late = error_response(errors.LateError("here", "needs haste", "late"), "1")
    wrong = error_response(errors.RequestError("here", "needs GET", "got PUT"), "1", 405, "GET, HEAD")

    assert [dict(one.headers) for one in (busy, late, wrong)] == [{"retry-after": "1"}, {}, {"allow": "GET, HEAD"}]
    assert wrong.status == 405
