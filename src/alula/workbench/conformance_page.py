"""Conformance results as tables: for the terminal and for docs/reference.

In: case results. Out: rows, and a Markdown page.
"""

from __future__ import annotations

from collections.abc import Sequence

from alula.workbench.conformance import CaseResult, summarise

Rows = list[tuple[str, list[CaseResult]]]

_SPECIAL = "strings, ai.onnx.ml, training, floats of 8 bits or less, integers of less than 8 bits, pictures"


def by_group(results: Sequence[CaseResult]) -> Rows:
    """All cases by the suite's groups, then the two totals."""
    groups = dict.fromkeys(row.group for row in results)
    rows: Rows = [(group, [row for row in results if row.group == group]) for group in groups]
    ordinary = [row for row in results if not row.special]
    return [*rows, ("all but special types", ordinary), ("everything", list(results))]


def by_operators(results: Sequence[CaseResult]) -> Rows:
    """Cases of the group `node` that hold one operator, by operator."""
    names = sorted({row.operators[0] for row in results if len(row.operators) == 1 and row.group == "node"})
    return [(name, [row for row in results if row.operators == (name,) and row.group == "node"]) for name in names]


def page(results: Sequence[CaseResult], version: str) -> str:
    """The reference page, Markdown."""
    lines = [
        "# ONNX conformance",
        "",
        "Written by `scripts/conformance.py` from a run; do not edit.",
        "",
        f"The official backend suite of onnx {version}, judged by the suite's own comparison. A skipped case counts as",
        "a failure. *native*: all steps ran in generated code (or everything was known before the run); *both*: some",
        "steps ran through the numpy references; *host*: all did.",
        "",
        f"*All but special types* leaves out: {_SPECIAL}.",
        "",
        *_table("group", by_group(results)),
        "",
        "## Not passed",
        "",
        *(_failures(results) or ["Every case passes."]),
        "",
        "## By operator",
        "",
        "Cases of the group *node* with this operator alone.",
        "",
        *_table("operator", by_operators(results)),
        "",
    ]
    return "\n".join(lines)


def _table(title: str, rows: Rows) -> list[str]:
    lines = [f"| {title} | cases | passed | failed | skipped | rate | native | both | host |", "|---|" + "---:|" * 8]
    for name, part in rows:
        row = summarise(part)
        counts = (row.total, row.passed, row.failed, row.skipped, f"{row.rate:.2%}", row.native, row.both, row.host)
        lines.append(f"| {name} | {' | '.join(map(str, counts))} |")
    return lines


def _failures(results: Sequence[CaseResult]) -> list[str]:
    failed = [row for row in results if row.status != "passed"]
    if not failed:
        return []
    rows = [f"| {row.name} | {row.status} | {(row.known or row.detail).replace('|', '/')} |" for row in failed]
    return ["| case | | reason |", "|---|---|---|", *rows]
