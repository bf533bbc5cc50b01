"""The cache of compiled plans: a file name that says everything the code depends on, and a folder of bounded size.

In: model bytes or a graph, and compile options. Out: a path inside the cache folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Node
from alula.engine.kernels.target import Target

# What the bound counts and cleaning removes; models that were fetched lie in another folder and stay.
FOLDERS = ("plans", "kernels")


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
    return path_of(folder, model.stem, files_digest(model, external), target, choices)


def path_of(folder: Path, stem: str, contents: str, target: Target, choices: Mapping[str, object]) -> Path:
    """Where the plan of what has the digest `contents` is kept; `stem` is for people who look into the folder."""
    text = f"{contents} {target!r} {sorted(choices.items())!r} {generator_fingerprint()}"
    digest = hashlib.sha256(text.encode()).hexdigest()
    return folder / "plans" / f"{stem[:40]}-{target.name}-{digest[:32]}.alula"


def files_digest(model: Path, external: Iterable[str]) -> str:
    """A digest of a model's files and their names."""
    digest = hashlib.sha256()
    for name in (model.name, *external):
        with (model.parent / name).open("rb") as stream:
            contents = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{name!r} {contents} ".encode())
    return digest.hexdigest()


def graph_digest(graph: Graph) -> str:
    """A digest of all that a graph computes: nodes, constants, shapes and names of its ends."""
    digest = hashlib.sha256()
    digest.update(
        f"{[str(value) for value in graph.inputs]!r} {graph.outputs!r} {sorted(graph.opsets.items())!r}".encode()
    )
    for node in graph.nodes:
        digest.update(_node_text(node).encode())
    for name in sorted(graph.constants):
        digest.update(f"{name!r} {_value_text(graph.constants[name])}".encode())
    return digest.hexdigest()


def _node_text(node: Node) -> str:
    attributes = [(name, _value_text(value)) for name, value in sorted(node.attributes.items())]
    return f"{node.domain!r} {node.op!r} {node.inputs!r} {node.outputs!r} {attributes!r}\n"


def _value_text(value: object) -> str:
    if isinstance(value, Graph):
        return graph_digest(value)
    if isinstance(value, np.ndarray):
        # Strings and sequences in arrays of objects have no bytes of their own.
        data = repr(value.tolist()).encode() if value.dtype.kind == "O" else np.ascontiguousarray(value).tobytes()
        return f"{value.dtype.name} {value.shape} {hashlib.sha256(data).hexdigest()}"
    if isinstance(value, tuple):
        return f"({', '.join(map(_value_text, value))})"
    return repr(value)


def mark_used(path: Path) -> None:
    """Note that a file of the cache is in use, so that it is the last to go."""
    with contextlib.suppress(OSError):
        os.utime(path)


def bound_cache(folder: Path, most: int, keep: Path | None = None) -> None:
    """Remove the files that were not used for longest until all take at most `most` bytes; `keep` stays.

    Sessions that have a removed plan open keep it: its pages live until they are unmapped.
    """
    found: list[tuple[float, int, str]] = []
    for name in FOLDERS:
        with contextlib.suppress(OSError), os.scandir(folder / name) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):  # another process cleans as well
                    status = entry.stat(follow_symlinks=False)
                    found.append((status.st_mtime, status.st_size, entry.path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= most:
            return
        if keep is None or Path(path) != keep:
            with contextlib.suppress(OSError):
                Path(path).unlink()
            total -= size


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
