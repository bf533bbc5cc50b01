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
    """Base of all of them; ONNX Runtime's own derive from Exception alone."""


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
    (ShapeError, InvalidGraph),
    (UnsupportedError, NotImplemented),
    (InputError, InvalidArgument),
    (RequestError, InvalidArgument),
    (LimitError, RuntimeException),
)


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
        raise kind(f"[ONNXRuntimeError] {kind.__name__} : {error.message}") from error
