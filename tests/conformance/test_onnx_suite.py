"""The official ONNX backend suite, every case of it, judged by the suite's own comparison."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from alula.workbench.conformance import OnnxSuite
from alula.workbench.known_failures import KNOWN_FAILURES

SUITE = OnnxSuite()
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "conformance.md"


@pytest.mark.parametrize("name", SUITE.names())
def test_official_case_passes_unless_it_is_listed(name: str) -> None:
    """Rule: what fails is listed with its reason, and what is listed fails; nothing is skipped."""
    result = SUITE.run(name)

    if name in KNOWN_FAILURES:
        assert result.status != "passed", f"{name} passes: take it out of known_failures.py"
    else:
        assert result.status == "passed", result.detail


def test_every_listed_failure_is_a_case() -> None:
    """Rule: the list holds no name that the suite does not have."""
    assert set(KNOWN_FAILURES) <= set(SUITE.names())


def test_the_page_lists_exactly_the_known_failures() -> None:
    """Rule: docs/reference/conformance.md tells what does not pass; `scripts/conformance.py` writes it."""
    text = PAGE.read_text(encoding="utf-8")

    listed = re.findall(r"^\| (test_\w+) \| (?:failed|skipped) \|", text, re.MULTILINE)

    assert sorted(listed) == sorted(KNOWN_FAILURES)
