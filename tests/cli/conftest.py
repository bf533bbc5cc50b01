"""What the tests of commands share: a cache of their own, a classifier, and the command line as a function."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.classifier import Classifier, write_classifier
from support.commands import Command, command


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees plans of another or of the user; no helper processes for models of three nodes."""
    monkeypatch.setenv("ALULA_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("ALULA_JOBS", "1")
    for name in ("ALULA_THREADS", "ALULA_TARGET", "ALULA_CHECK", "ALULA_VERIFY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def alula(capsys: pytest.CaptureFixture[str]) -> Command:
    """`alula WORD...` as a function."""
    return command(capsys)


@pytest.fixture
def files(tmp_path: Path) -> Classifier:
    """A classifier of three colours."""
    return write_classifier(tmp_path)
