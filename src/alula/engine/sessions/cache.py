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

_CHUNK = 1 << 20


def plan_path(
    folder: Path, model: Path, external: Iterable[Path], target: Target, choices: Mapping[str, object]
) -> Path:
    """Where the plan of a model is kept.

    Args:
        folder: the cache folder.
        model: the model file.
        external: files that hold weights of the model.
        target: the instruction set.
        choices: everything else that changes the plan, such as shapes; order does not matter.
    """
    digest = hashlib.sha256()
    for path in (model, *external):
        digest.update(f"file {path.name}\n".encode())
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
    digest.update(f"{target!r} {sorted(choices.items())!r} {generator_fingerprint()}".encode())
    return folder / "plans" / f"{model.stem[:40]}-{target.name}-{digest.hexdigest()[:32]}.alula"


@lru_cache(maxsize=1)
def generator_fingerprint() -> str:
    """A digest of the compiler itself: alula's engine source and the version of LLVM's wheel."""
    digest = hashlib.sha256()
    engine = Path(__file__).parent.parent
    for source in sorted(engine.rglob("*.py")):
        digest.update(source.read_bytes())
    digest.update(importlib.metadata.version("llvmlite").encode())
    return digest.hexdigest()
