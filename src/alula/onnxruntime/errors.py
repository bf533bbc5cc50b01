"""ONNX Runtime's exceptions, by the names that scripts catch.

In: an AlulaError. Out: the exception that ONNX Runtime raises in that place, with alula's text.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from alula.base.errors import (
    AlulaError,
    GraphError,
    InputError,
    LimitError,
    MissingError,
    ModelFileError,
    RequestError,
    ShapeError,
    UnsupportedError,
)


class OnnxRuntimeError(RuntimeError):
    """Base of all of them: a RuntimeError, which is what ONNX Runtime raises where it has no class of its own."""


class Fail(OnnxRuntimeError):  # noqa: N818  the name that scripts catch
    """Any other failure."""


class InvalidArgument(OnnxRuntimeError):  # noqa: N818  the name that scripts catch
    """An input's name, type or shape does not fit."""


class NoSuchFile(OnnxRuntimeError):  # noqa: N818  the name that scripts catch
    """The model file is not there."""


class NoModel(OnnxRuntimeError):  # noqa: N818  the name that scripts catch
    """There is no model."""


class EngineError(OnnxRuntimeError):
    """The engine failed."""


class RuntimeException(OnnxRuntimeError):  # noqa: N818  the name that scripts catch
    """The run failed."""


class InvalidProtobuf(OnnxRuntimeError):  # noqa: N818  the name that scripts catch
    """The file is no ONNX model."""


class ModelLoaded(OnnxRuntimeError):  # noqa: N818  the name that scripts catch
    """The model is loaded already."""


class NotImplemented(OnnxRuntimeError):  # noqa: A001, N818  the name that scripts catch
    """The model needs an operator, version or dtype that is not there."""


class InvalidGraph(OnnxRuntimeError):  # noqa: N818  the name that scripts catch
    """The graph breaks its own rules."""


class EPFail(OnnxRuntimeError):  # noqa: N818  the name that scripts catch
    """A provider failed."""


_NAMES: tuple[tuple[type[AlulaError], type[OnnxRuntimeError]], ...] = (
    (MissingError, NoSuchFile),
    (ModelFileError, InvalidProtobuf),
    (GraphError, InvalidGraph),
    (ShapeError, Fail),
    (UnsupportedError, NotImplemented),
    (InputError, InvalidArgument),
    (RequestError, InvalidArgument),
    (LimitError, RuntimeException),
)


# The numbers and words that ONNX Runtime's messages begin with.
_CODES: tuple[tuple[type[OnnxRuntimeError], int, str], ...] = (
    (Fail, 1, "FAIL"),
    (InvalidArgument, 2, "INVALID_ARGUMENT"),
    (NoSuchFile, 3, "NO_SUCHFILE"),
    (NoModel, 4, "NO_MODEL"),
    (EngineError, 5, "ENGINE_ERROR"),
    (RuntimeException, 6, "RUNTIME_EXCEPTION"),
    (InvalidProtobuf, 7, "INVALID_PROTOBUF"),
    (ModelLoaded, 8, "MODEL_LOADED"),
    (NotImplemented, 9, "NOT_IMPLEMENTED"),
    (InvalidGraph, 10, "INVALID_GRAPH"),
    (EPFail, 11, "EP_FAIL"),
)
_KINDS = {kind.__name__: (kind, f"[ONNXRuntimeError] : {number} : {word}") for kind, number, word in _CODES}


def refused(kind: str, text: str) -> OnnxRuntimeError:
    """The exception of a name, its text behind ONNX Runtime's number and word for it."""
    made, head = _KINDS[kind]
    return made(f"{head} : {text}")


@contextmanager
def translated() -> Iterator[None]:
    """Raise ONNX Runtime's exception in place of alula's.

    Raises:
        OnnxRuntimeError: as the table says; `Fail` for what is not in it.
    """
    try:
        yield
    except AlulaError as error:
        kind = next((theirs for ours, theirs in _NAMES if isinstance(error, ours)), Fail)
        raise refused(kind.__name__, error.message) from error
