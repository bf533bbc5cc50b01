"""Runs the official ONNX suite and writes docs/reference/conformance.md; minutes.

In: the installed onnx library. Out: the page; exit code 1 for a failure that is not listed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import onnx

from alula.cli.progress import Progress
from alula.workbench.conformance import run_suite
from alula.workbench.conformance_page import page

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "conformance.md"


def main() -> int:
    """Run all cases, write the page."""
    with Progress("onnx suite") as progress:
        results = list(run_suite("", lambda name, done, total: progress(name[:32], done, total)))
    PAGE.write_text(page(results, onnx.__version__), encoding="utf-8")
    unexpected = [row.name for row in results if row.status != "passed" and not row.known]
    print(f"{PAGE.name}: {len(results)} cases, {len(unexpected)} failures that are not listed")
    return 1 if unexpected else 0


if __name__ == "__main__":
    sys.exit(main())
