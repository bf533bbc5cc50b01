from __future__ import annotations

import pytest
from support.commands import Command


@pytest.mark.parametrize("words", [(), ("--totals",)])
def test_conformance_counts_cases_by_group_and_operator(alula: Command, words: tuple[str, ...]) -> None:
    """A denominator stands beside every count, and where the cases ran."""
    found = alula("conformance", "^test_(relu|abs|nonzero_example)$", *words)

    lines = {line.split()[0]: line.split()[1:] for line in found.out.splitlines() if line.strip()}
    assert found.code == 0
    assert lines["node"] == ["3", "3", "0", "0", "100.00%", "2", "0", "1"]
    assert lines["everything"] == lines["node"]
    assert ("NonZero" in lines) == (not words)


def test_known_failures_are_told_with_their_reasons(alula: Command) -> None:
    """A listed failure does not fail the command, and is not hidden."""
    found = alula("conformance", "^test_gradient_of_add$")
    cases = alula("conformance", "^test_gradient_of_add$", "--json").json

    assert found.code == 0
    assert "failed test_gradient_of_add: Gradient: " in found.out
    assert [(case["status"], case["special"], bool(case["known"])) for case in cases] == [("failed", False, True)]
