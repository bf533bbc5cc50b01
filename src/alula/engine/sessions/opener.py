"""One door to all providers.

In: a model file and options. Out: a Session.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import cast

from alula.base.errors import MissingError, RequestError
from alula.base.session import OpenOptions, Session
from alula.base.settings import Settings
from alula.base.shapes import expand_shapes
from alula.engine.operators.nested import Limits
from alula.engine.sessions.compiler import import_limits, import_model
from alula.engine.sessions.native import open_native
from alula.engine.sessions.reference import ReferenceSession, prepare_reference

# Providers that need an outside library: the class to open, loaded at the first use.
_OUTSIDE = {
    "onnxruntime": ("alula.engine.sessions.onnxruntime", "OnnxRuntimeSession"),
    "openvino": ("alula.engine.sessions.openvino", "OpenVinoSession"),
}


def open_model(path: str | os.PathLike[str], options: OpenOptions, settings: Settings) -> Session:
    """Open a model with the provider that the options name.

    Raises:
        RequestError: there is no such provider.
        MissingError: the file, or the provider's library, is not there.
    """
    file = Path(path)
    if not file.exists():
        raise MissingError(str(file), "needs a model file", "there is none", "check the path")
    if options.provider == "native":
        return open_native(file, options, settings)
    if options.provider == "reference":
        declared = expand_shapes(options.shapes or {})
        shapes = declared[0] if len(declared) == 1 else None
        return ReferenceSession(
            prepare_reference(import_model(file, import_limits(settings)), shapes), Limits(settings.loop_limit)
        )
    if options.provider not in _OUTSIDE:
        names = ", ".join(["native", "reference", *_OUTSIDE])
        raise RequestError("provider", f"one of {names}", f"got {options.provider!r}")
    return open_outside(file, options.provider, options.threads or settings.threads)


def open_outside(path: Path, provider: str, threads: int) -> Session:
    """Open a model with an outside library.

    Raises:
        MissingError: the library is not installed.
    """
    module, name = _OUTSIDE[provider]
    try:
        opener = getattr(import_module(module), name)
    except ImportError:
        found = "it is not installed"
        raise MissingError(f"provider {provider}", "needs its library", found, f"pip install {provider}") from None
    return cast("Session", opener(path, threads))
