from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path for path in (ROOT / "scripts").iterdir() if path.is_file() and path.suffix == "")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_script_explains_itself_from_any_folder(script: Path, tmp_path: Path) -> None:
    """`--help` answers at once, wherever one stands, and touches nothing."""
    done = subprocess.run([script, "--help"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=30)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: scripts/{script.name}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("script", [*SCRIPTS, ROOT / ".ci" / "run"], ids=lambda path: path.name)
def test_script_stops_at_the_first_error(script: Path) -> None:
    """A failing command, an unset variable or a broken pipe ends a script, and every script can be started."""
    lines = script.read_text(encoding="utf-8").splitlines()

    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines[:4]
    assert os.access(script, os.X_OK)
