"""Libraries that alula uses where they are installed, and the extra that brings each.

In: an ImportError. Out: a MissingError that says what to install.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from alula.base.errors import MissingError

EXTRAS: Mapping[str, str] = MappingProxyType(
    {
        "numpy": "compile",
        "llvmlite": "compile",
        "ml_dtypes": "compile",
        "PIL": "image",
        "simplejpeg": "image",
        "httptools": "serve",
        "msgspec": "serve",
    }
)


def missing_library(error: ImportError, where: str) -> MissingError | None:
    """What to say of a library that is not there; None if it is not one of an extra."""
    library = (error.name or "").partition(".")[0]
    if library not in EXTRAS:
        return None
    hint = f"pip install alula[{EXTRAS[library]}], or alula[all]"
    return MissingError(where, f"needs the library {library}", "it is not installed", hint)
