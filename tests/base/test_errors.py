from __future__ import annotations

import multiprocessing
import pickle

import pytest

from alula.base import errors
from alula.base.errors import AlulaError, BusyError, GraphError, InternalError, LateError, LimitError, MissingError

CLASSES = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, AlulaError)]


def _raise_late() -> None:
    raise LateError("request 7", "an answer within 5 ms", "9 ms have passed", "raise the deadline", "queue: 6 ms")


def test_message_shows_all_parts_in_reading_order() -> None:
    """A user sees the place, the need, what was found, the details and then the way out."""
    error = GraphError(
        "conv1 (Conv)", "needs 64 channels", "x has 32", "alula show graph m.onnx", "model m\nafter fold"
    )

    text = str(error)

    assert text == (
        "conv1 (Conv): needs 64 channels, x has 32\n  model m\n  after fold\n  try: alula show graph m.onnx"
    )


def test_message_without_hint_and_detail_is_one_line() -> None:
    """Parts that are left out leave no trace in the message."""
    assert str(BusyError("queue", "room for 1 more", "it is full")) == "queue: room for 1 more, it is full"


@pytest.mark.parametrize("error", CLASSES)
def test_every_class_stands_in_the_drawn_tree(error: type[AlulaError]) -> None:
    """The tree at the head of the file is the list that a reader trusts: name and kind."""
    assert errors.__doc__ is not None
    drawn = [line.split() for line in errors.__doc__.splitlines()]

    assert any(error.__name__ in words and (error is AlulaError or error.kind in words) for words in drawn)


@pytest.mark.parametrize(
    ("error", "kind"),
    [(MissingError, "missing"), (LimitError, "refused"), (LateError, "late"), (InternalError, "broken")],
)
def test_kind_belongs_to_the_class(error: type[AlulaError], kind: str) -> None:
    """The server chooses a status by kind without an instance at hand."""
    assert error.kind == kind


@pytest.mark.parametrize("error", CLASSES)
def test_error_survives_a_copy_through_bytes(error: type[AlulaError]) -> None:
    """Worker processes hand errors back whole: class and all five texts."""
    copy = pickle.loads(pickle.dumps(error("a", "b", "c", "d", "e")))  # noqa: S301  our own bytes

    assert type(copy) is error
    assert (copy.where, copy.needed, copy.found, copy.hint, copy.detail) == ("a", "b", "c", "d", "e")


def test_error_crosses_a_process_border() -> None:
    """An error raised in a worker process arrives as itself, not as a broken pool."""
    with multiprocessing.get_context("fork").Pool(1) as pool, pytest.raises(LateError) as caught:
        pool.apply(_raise_late)

    assert caught.value.detail == "queue: 6 ms"
