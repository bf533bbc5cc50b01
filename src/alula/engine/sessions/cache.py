"""The cache of compiled plans: a file name that says everything the code depends on.

In: model bytes and compile options. Out: a path inside the cache folder.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from alula.engine.kernels.target import Target


def plan_path(
    folder: Path, model: Path, external: Iterable[str], target: Target, choices: Mapping[str, object]
) -> Path:
    """Where the plan of a model is kept.

    Args:
        folder: the cache folder.
        model: the model file.
        external: files that hold weights of the model, relative to its folder.
        target: the instruction set.
        choices: everything else that changes the plan, such as shapes; order does not matter.
    """
    digest = hashlib.sha256()
    for name in (model.name, *external):
        with (model.parent / name).open("rb") as stream:
            contents = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{name!r} {contents} ".encode())
    digest.update(f"{target!r} {sorted(choices.items())!r} {generator_fingerprint()}".encode())
    return folder / "plans" / f"{model.stem[:40]}-{target.name}-{digest.hexdigest()[:32]}.alula"


@lru_cache(maxsize=1)
def generator_fingerprint() -> str:
    """A digest of the compiler itself: alula's own source and the version of LLVM's wheel."""
    digest = hashlib.sha256()
    package = Path(__file__).parents[2]
    for room in ("base", "engine"):
        for source in sorted((package / room).rglob("*.py")):
            digest.update(source.read_bytes())
    digest.update(importlib.metadata.version("llvmlite").encode())
    return digest.hexdigest()
