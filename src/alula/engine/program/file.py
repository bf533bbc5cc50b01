"""Writes `.alula` files, version 2.

In: plans of one model and named extras. Out: a file of prelude, header, then code, weights, texts of further plans and
extras on page borders. It appears whole or not at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from alula.base.errors import LimitError, UnsupportedError
from alula.base.plan_format import LARGEST_HEADER, MAGIC, PAGES, PRELUDE, VERSION, machine_of, rounded_up
from alula.engine.plan.records import Plan
from alula.engine.program.build import Program, build_image
from alula.engine.program.header import Built, Part, header_of, inner_of
from alula.engine.program.objects import ObjectStore

_NO_EXTRAS: Mapping[str, bytes] = MappingProxyType({})

# The pieces of a part; read twice: for its hash, and when it is written.
_Chunks = Callable[[], Iterable["bytes | memoryview"]]


def write_plan(
    plan: Plan,
    path: str | os.PathLike[str],
    extras: Mapping[str, bytes] = _NO_EXTRAS,
    *,
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
    store: ObjectStore | None = None,
) -> Program:
    """Compile a plan and save it.

    Args:
        plan: what to write.
        path: the file; an existing one is replaced in one step, readers that have it open keep the old one.
        extras: further bytes by name, such as `labels.txt`.
        jobs: processes to compile with.
        progress: called with (modules done, modules in all).
        store: kernels of earlier compilations.

    Returns:
        What was built, for callers that show it.

    Raises:
        InternalError: the plan or its code breaks a rule.
        UnsupportedError: an attribute of a host step that a file cannot hold, or an unknown architecture.
        LimitError: the header would be larger than readers accept.
        OSError: the file cannot be written.
    """
    program = build_image(plan, jobs, progress, store)
    save_program(plan, program, path, extras)
    return program


def save_program(
    plan: Plan, program: Program, path: str | os.PathLike[str], extras: Mapping[str, bytes] = _NO_EXTRAS
) -> None:
    """Save what was built of a plan; arguments and errors as in `write_plan`."""
    save_programs([(plan, program)], path, extras)


def save_programs(
    programs: Sequence[tuple[Plan, Program]], path: str | os.PathLike[str], extras: Mapping[str, bytes] = _NO_EXTRAS
) -> None:
    """Save several plans of one model, their weights laid out by one pool; the last program's layout has them all.

    Args:
        programs: at least one, all for one target, with inputs and outputs of the same names.
        path: as in `write_plan`, as are `extras` and the errors.
        extras: further bytes by name.
    """
    page = _page(programs[0][0])
    built, images, texts = _placed(programs, page)
    chunks: dict[str, _Chunks] = {
        "code": lambda: images,
        "weights": programs[-1][1].weights.chunks,
        "variants": lambda: texts,
        "extras": extras.values,
    }
    parts: dict[str, Part] = {}
    offset = 0
    for name, pieces in chunks.items():
        parts[name] = _measured(pieces, offset, page)
        offset += parts[name].size
    header = header_of(built, parts, _places(extras), _version())
    front = _front(header, page, offset)
    body = (piece for name, pieces in chunks.items() for piece in _padded(pieces, parts[name].size))
    with _replacing(Path(path)) as descriptor:
        _write_all(descriptor, front)
        for piece in body:
            _write_all(descriptor, piece)


def _placed(
    programs: Sequence[tuple[Plan, Program]], page: int
) -> tuple[list[Built], list[bytes | memoryview], list[bytes | memoryview]]:
    """The programs with their entries counted from the beginning of the part, the images, and the texts of plans."""
    built: list[Built] = []
    images: list[bytes | memoryview] = []
    texts: list[bytes | memoryview] = []
    base = at = 0
    for plan, program in programs:
        entries = tuple(entry + base for entry in program.entries)
        moved = replace(program, entries=entries, worker=program.worker + base, launch=program.launch + base)
        one = Built(plan, moved)
        if built:
            texts.append(_json(inner_of(one)))
            one = replace(one, text=(at, len(texts[-1])))
            at += len(texts[-1])
        built.append(one)
        whole = rounded_up(len(program.image.data), page)
        images += [program.image.data, bytes(whole - len(program.image.data))]
        base += whole
    return built, images, texts


def _json(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()


def _page(plan: Plan) -> int:
    machine = machine_of(plan.target.triple)
    if machine not in PAGES:
        raise UnsupportedError("plan file", f"an architecture of {', '.join(PAGES)}", f"got {machine}")
    return PAGES[machine]


def _version() -> str:
    try:
        return importlib.metadata.version("alula")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _measured(pieces: _Chunks, offset: int, page: int) -> Part:
    digest = hashlib.sha256()
    size = 0
    for piece in pieces():
        digest.update(piece)
        size += len(piece)
    whole = rounded_up(size, page)
    digest.update(bytes(whole - size))
    return Part(offset, whole, digest.hexdigest())


def _padded(pieces: _Chunks, whole: int) -> Iterator[bytes | memoryview]:
    size = 0
    for piece in pieces():
        size += len(piece)
        yield piece
    yield bytes(whole - size)


def _places(extras: Mapping[str, bytes]) -> dict[str, tuple[int, int]]:
    places: dict[str, tuple[int, int]] = {}
    at = 0
    for name, data in extras.items():
        places[name] = (at, len(data))
        at += len(data)
    return places


def _front(header: Mapping[str, object], page: int, body: int) -> bytes:
    """Prelude and header, ending on a page border."""
    text = _json(header)
    size = rounded_up(PRELUDE.size + len(text), page) - PRELUDE.size
    if size > LARGEST_HEADER:
        raise LimitError("plan file", f"a header of at most {LARGEST_HEADER} bytes", f"this plan's has {size}")
    text = text.ljust(size)
    digest = hashlib.sha256(text).digest()
    return PRELUDE.pack(MAGIC, VERSION, 0, size, PRELUDE.size + size + body, digest) + text


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[int]:
    """A descriptor of a new file in the same folder, which takes the name `path` when all went well."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        try:
            yield descriptor
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _write_all(descriptor: int, piece: bytes | memoryview) -> None:
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
