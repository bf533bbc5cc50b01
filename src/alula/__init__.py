"""alula: models in, machine code out, answers at once.

In: a model or plan file. Out: a Session.

    session = alula.open("model.onnx")
    logits = session.run({"images": pixels})["logits"]
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from alula.base.errors import AlulaError
from alula.base.extras import missing_library
from alula.base.session import OpenOptions, Session
from alula.base.tensors import DType, Tensor, TensorSpec

if TYPE_CHECKING:
    from alula.engine.runtime.header import HostCall
    from alula.engine.runtime.runner import Host

__version__ = "0.1.0"
__all__ = ["AlulaError", "DType", "OpenOptions", "Session", "Tensor", "TensorSpec", "__version__", "open"]


def open(path: str | os.PathLike[str], options: OpenOptions = OpenOptions()) -> Session:  # noqa: A001, B008  alula.open
    """Open a model for running.

    A `.alula` plan opens in milliseconds with nothing but the standard library. Any other model file is compiled at
    the first use (needs `pip install alula[compile]`) and comes from the cache after that.

    Args:
        path: a `.alula` plan or an ONNX model.
        options: provider, threads, shapes, target.

    Returns:
        A session; close it, or let it go with its last reference.

    Raises:
        AlulaError: the file is missing, damaged, or needs what alula does not have.
    """
    from alula.base.settings import read_settings
    from alula.engine.runtime.file import is_plan_file
    from alula.engine.runtime.shaped import open_session

    settings = read_settings(os.environ)
    threads = options.threads or settings.threads or None
    if is_plan_file(path):
        return open_session(path, threads=threads, verify=settings.verify, host=_host_of(settings.loop_limit))
    try:
        from alula.engine.sessions.opener import open_model
    except ImportError as error:
        raise missing_library(error, f"compiling {os.fspath(path)}") or error from None

    return open_model(path, options, settings)


def _host_of(loop_limit: int) -> Host:
    """Runs a step that has no kernel through its numpy reference; loads numpy at the first such step."""

    def run(step: HostCall, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> None:
        try:
            from alula.engine.sessions.host import host_within
        except ImportError as error:
            raise missing_library(error, "this plan's host steps") or error from None
        host_within(loop_limit)(step, inputs, outputs)

    return run
