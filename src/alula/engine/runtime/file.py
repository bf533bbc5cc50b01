"""Opens `.alula` files: verifies first, maps then, and runs nothing.

In: a path. Out: `PlanFile`: header, code mapped read-execute, weights mapped read-only, extras. What is hashed is what
is mapped; a file that is replaced by renaming, as the writer does, leaves open ones untouched.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from alula.base.errors import MissingError, PlanFileError
from alula.base.hardware import cpu_flags, machine
from alula.base.plan_format import LARGEST_HEADER, MAGIC, PRELUDE, VERSION
from alula.engine.runtime.header import PARTS, Part, PlanHeader, parse_header, parse_variant

Verify = Literal["all", "code"]
PathLike = str | os.PathLike[str]

_RECOMPILE = "compile the model again: alula compile MODEL -o PLAN"


@dataclass(frozen=True)
class PlanFile:
    """An opened plan. The mappings live as long as this record or a view of them does.

    Attributes:
        path: where it was opened, for messages.
        code: mapped read-execute; None where the plan has no native step.
        weights: mapped read-only; None where there are none.
        variants: the texts of further plans, mapped read-only.
        extras: named bytes, copied.
    """

    path: str
    header: PlanHeader
    code: mmap.mmap | None
    weights: mmap.mmap | None
    variants: mmap.mmap | None
    extras: Mapping[str, bytes]

    def variant(self, index: int) -> PlanFile:
        """One of the file's plans over the same mappings: 0 is the header's own, the others are those of the index.

        Raises:
            PlanFileError: its text is no plan.
        """
        if not index:
            return self
        return replace(self, header=_variant_header(self.header, index, self.variants, self.path))


def _variant_header(header: PlanHeader, index: int, texts: mmap.mmap | None, path: str) -> PlanHeader:
    place = header.variants[index - 1]
    text = texts[place.offset : place.offset + place.size] if texts else b""
    return parse_variant(header, place, text, f"{path}, plan {index}")


def is_plan_file(path: PathLike) -> bool:
    """Whether a file begins as `.alula` plans do; False for what cannot be read."""
    try:
        with open(path, "rb") as stream:  # noqa: PTH123  pathlib is not on the short road
            return stream.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def open_file(path: PathLike, verify: Verify = "all", flags: frozenset[str] | None = None) -> PlanFile:
    """Verify and map a plan file.

    Args:
        path: the file.
        verify: `all` checks the hash of everything; `code` leaves out the weights, which saves reading them.
        flags: the processor's flags; None asks the system.

    Raises:
        MissingError: there is no such file.
        PlanFileError: it is no plan, damaged, of another version, or made for another processor.
    """
    shown = os.fspath(path)
    try:
        # A pipe in the place of a file would block the open.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingError(shown, "needs a plan file", "there is none", "alula compile MODEL -o PLAN") from error
    except OSError as error:
        raise PlanFileError(shown, "needs a file that can be read", f"{error.strerror}") from error
    try:
        return _opened(descriptor, shown, verify, flags)
    except OSError as error:
        raise PlanFileError(shown, "needs a file that can be mapped", f"the system says: {error.strerror}") from error
    finally:
        os.close(descriptor)


def read_header(path: PathLike, index: int = 0) -> PlanHeader:
    """Only the header of a plan file, verified; what `show` needs, also of plans for other processors.

    Args:
        path: the file.
        index: which of the file's plans: 0 is the first, the others count as `variants` does, from 1.

    Raises:
        MissingError: there is no such file.
        PlanFileError: it is no plan, damaged, or of another version.
    """
    shown = os.fspath(path)
    try:
        with open(path, "rb", buffering=0, opener=_without_blocking) as stream:
            header, body = _header(stream.fileno(), shown)
            if not index:
                return header
            texts = _mapped(stream.fileno(), body, header.parts["variants"], mmap.PROT_READ)
            _check_hash(shown, "variants", texts, header.parts["variants"])
            return _variant_header(header, index, texts, shown)
    except FileNotFoundError as error:
        raise MissingError(shown, "needs a plan file", "there is none") from error
    except OSError as error:
        raise PlanFileError(shown, "needs a file that can be read", f"{error.strerror}") from error


def _without_blocking(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _opened(descriptor: int, path: str, verify: Verify, flags: frozenset[str] | None) -> PlanFile:
    header, body = _header(descriptor, path)
    _check_processor(header, path, cpu_flags() if flags is None else flags)
    parts = header.parts
    executable = mmap.PROT_READ | mmap.PROT_EXEC
    code = _mapped(descriptor, body, parts["code"], executable)
    weights = _mapped(descriptor, body, parts["weights"], mmap.PROT_READ)
    variants = _mapped(descriptor, body, parts["variants"], mmap.PROT_READ)
    extras = _mapped(descriptor, body, parts["extras"], mmap.PROT_READ)
    _check_hash(path, "code", code, parts["code"])
    _check_hash(path, "variants", variants, parts["variants"])
    _check_hash(path, "extras", extras, parts["extras"])
    if verify == "all":
        _check_hash(path, "weights", weights, parts["weights"])
    named = {name: extras[at : at + size] if extras else b"" for name, (at, size) in header.extras.items()}
    return PlanFile(path, header, code, weights, variants, MappingProxyType(named))


def _header(descriptor: int, path: str) -> tuple[PlanHeader, int]:
    """The header, and where the parts begin."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise PlanFileError(path, "needs a regular file", "found something else")
    size = _header_size(os.pread(descriptor, PRELUDE.size, 0), status.st_size, path)
    data = os.pread(descriptor, PRELUDE.size + size, 0)
    *_, digest = PRELUDE.unpack_from(data)
    text = data[PRELUDE.size :]
    if len(text) != size or hashlib.sha256(text).digest() != digest:
        raise PlanFileError(path, "needs a header of its recorded SHA-256", "found another one", _RECOMPILE)
    header = parse_header(text, path)
    _check_parts(header, PRELUDE.size + size, status.st_size, path)
    return header, PRELUDE.size + size


def _header_size(prelude: bytes, actual: int, path: str) -> int:
    """The header's length, once the prelude fits the file."""
    if len(prelude) < PRELUDE.size or prelude[: len(MAGIC)] != MAGIC:
        raise PlanFileError(path, "needs a .alula file", f"found {actual} bytes that begin with {prelude[:8]!r}")
    _, version, reserved, header, whole, _ = PRELUDE.unpack(prelude)
    if version != VERSION:
        hint = "use the alula that wrote it, or compile the model again"
        raise PlanFileError(path, f"needs format version {VERSION}", f"found {version}", hint)
    if reserved:
        raise PlanFileError(path, "needs a prelude as alula writes it", "found other bytes")
    if header > LARGEST_HEADER:
        raise PlanFileError(path, f"needs a header of at most {LARGEST_HEADER} bytes", f"it claims {header}")
    if whole != actual or PRELUDE.size + header > actual:
        raise PlanFileError(path, f"needs {max(whole, header)} bytes", f"the file has {actual}", _RECOMPILE)
    return int(header)


def _check_parts(header: PlanHeader, body: int, size: int, path: str) -> None:
    """Parts follow each other without gap or overlap, up to the end of the file, on borders that can be mapped."""
    end = body
    for name in PARTS:
        part = header.parts[name]
        if body + part.offset != end:
            raise PlanFileError(path, f"needs part {name} at byte {end}", f"found {body + part.offset}")
        if part.size and end % mmap.ALLOCATIONGRANULARITY:
            raise PlanFileError(path, f"needs parts on borders of {mmap.ALLOCATIONGRANULARITY} bytes", f"found {end}")
        end += part.size
    if end != size:
        raise PlanFileError(path, f"needs parts up to byte {size}", f"they end at {end}")


def _check_processor(header: PlanHeader, path: str, flags: frozenset[str]) -> None:
    hint = "alula compile MODEL -o PLAN on this machine, or with --target"
    if header.machine != machine():
        found = f"this machine is {machine()}"
        raise PlanFileError(path, f"needs a {header.machine} processor ({header.target})", found, hint)
    missing = [flag for flag in header.needs if flag not in flags]
    if missing:
        found = f"this one lacks {', '.join(missing)}"
        raise PlanFileError(path, f"needs a processor of {header.target}", found, hint)


def _mapped(descriptor: int, body: int, part: Part, protection: int) -> mmap.mmap | None:
    if not part.size:
        return None
    return mmap.mmap(descriptor, part.size, flags=mmap.MAP_PRIVATE, prot=protection, offset=body + part.offset)


def _check_hash(path: str, name: str, data: mmap.mmap | None, part: Part) -> None:
    digest = hashlib.sha256(b"" if data is None else data).hexdigest()
    if digest != part.sha256:
        raise PlanFileError(
            path, f"needs {name} of SHA-256 {part.sha256[:16]}...", f"found {digest[:16]}...", _RECOMPILE
        )
