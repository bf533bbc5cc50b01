"""`alula conformance`: the official ONNX suite, counted.

In: nothing, or a pattern. Out: a table by operator and the totals; exit code 1 for a failure that is not listed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from alula.cli.text import as_json

if TYPE_CHECKING:
    from alula.workbench.conformance import CaseResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "pattern", nargs="?", default="", metavar="REGEX", help="cases whose name matches (default: all)"
    )
    parser.add_argument("--totals", action="store_true", help="leave out the row of every operator")
    parser.add_argument("--json", action="store_true", help="print every case as JSON")


def run(options: argparse.Namespace) -> int:
    """Run and print; 1 when a case fails that is not known to."""
    from alula.cli.progress import Progress
    from alula.workbench.conformance import run_suite

    with Progress("onnx suite") as progress:
        results = list(run_suite(options.pattern, lambda name, done, total: progress(name[:32], done, total)))
    unexpected = [row for row in results if row.status != "passed" and not row.known]
    if options.json:
        print(
            as_json([{**vars(row), "where": row.where, "special": row.special, "known": row.known} for row in results])
        )
    else:
        _print(results, by_operator=not options.totals)
    return 1 if unexpected else 0


def _print(results: Sequence[CaseResult], *, by_operator: bool) -> None:
    from alula.workbench.conformance import summarise
    from alula.workbench.conformance_page import by_group, by_operators

    print(
        f"{'':<28} {'cases':>6} {'passed':>7} {'failed':>7} {'skipped':>8} {'rate':>8}"
        f" {'native':>7} {'both':>5} {'host':>5}"
    )
    rows = [*by_group(results), *(by_operators(results) if by_operator else [])]
    for name, part in rows:
        row = summarise(part)
        print(
            f"{name[:28]:<28} {row.total:>6} {row.passed:>7} {row.failed:>7} {row.skipped:>8} {row.rate:>8.2%}"
            f" {row.native:>7} {row.both:>5} {row.host:>5}"
        )
    for case in results:
        if case.status != "passed":
            print(f"{case.status} {case.name}: {case.known or case.detail}")
