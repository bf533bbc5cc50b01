"""Runs the official ONNX suite, writes docs/reference/conformance.md and the sentence in the README; minutes.

In: the installed onnx library. Out: the page; exit code 1 for a failure that is not listed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import onnx

from alula.cli.progress import Progress
from alula.workbench.conformance import CaseResult, run_suite, summarise
from alula.workbench.conformance_page import page

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "conformance.md"
README = ROOT / "README.md"
_PLACE = re.compile(r"(<!-- conformance -->\n).*?(<!-- end of conformance -->\n)", re.DOTALL)


def sentence(results: Sequence[CaseResult]) -> str:
    """What the README says."""
    every, ordinary = summarise(results), summarise(row for row in results if not row.special)
    return (
        f"{every.rate:.1%} of the official ONNX suite (onnx {onnx.__version__}: {every.passed} of {every.total} cases,"
        f" nothing skipped),\n{ordinary.rate:.1%} without strings, ai.onnx.ml, training, pictures and short types:"
        " [by operator](docs/reference/conformance.md).\n"
    )


def main() -> int:
    """Run all cases, write the page."""
    with Progress("onnx suite") as progress:
        results = list(run_suite("", lambda name, done, total: progress(name[:32], done, total)))
    PAGE.write_text(page(results, onnx.__version__), encoding="utf-8")
    text = README.read_text(encoding="utf-8")
    README.write_text(_PLACE.sub(lambda at: f"{at[1]}{sentence(results)}{at[2]}", text), encoding="utf-8")
    unexpected = [row.name for row in results if row.status != "passed" and not row.known]
    print(f"{PAGE.name}: {len(results)} cases, {len(unexpected)} failures that are not listed")
    return 1 if unexpected else 0


if __name__ == "__main__":
    sys.exit(main())
