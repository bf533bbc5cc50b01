"""Runs the code of documentation pages, and writes what each block prints below it.

    scripts/pages.py docs/tour        rewrite the printed blocks of all chapters

In: Markdown with ```python blocks; a ```text block right behind one holds what it prints. Out: the same, run.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

_BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```\n(?:\n```text\n(?P<printed>.*?)^```\n|\nOUTPUT\n)?", re.DOTALL | re.MULTILINE
)


def run_page(text: str, names: dict[str, object], title: str) -> tuple[str, list[str]]:
    """Run a page's blocks one after the other.

    Args:
        text: the page.
        names: variables that earlier pages left; blocks see and change them.
        title: for tracebacks.

    Returns:
        The page with every printed block as it is now, and a line for each that was another before.
    """
    changed: list[str] = []

    def run(match: re.Match[str]) -> str:
        code = match["code"]
        stream = io.StringIO()
        with contextlib.redirect_stdout(stream):
            exec(compile(code, title, "exec", dont_inherit=True), names)  # noqa: S102  our own pages
        printed = "\n".join(line.rstrip() for line in stream.getvalue().rstrip().splitlines())
        if (match["printed"] or "").rstrip() != printed:
            changed.append(f"{title}: a block prints\n{printed}\nthe page says\n{match['printed']}")
        shown = f"\n```text\n{printed}\n```\n" if printed else ""
        return f"```python\n{code}```\n{shown}"

    return _BLOCK.sub(run, text), changed


def chapters(folder: Path) -> list[Path]:
    """The numbered pages of a folder, in order."""
    return sorted(folder.glob("[0-9]*.md"))


def rewrite(pages: Iterable[Path]) -> None:
    """Run pages in order, in an empty folder, and write back what they print."""
    names: dict[str, object] = {"__name__": "tour"}
    for page in [page.resolve() for page in pages]:
        text, changed = run_page(page.read_text(encoding="utf-8"), names, page.name)
        page.write_text(text, encoding="utf-8")
        print(f"{page.name}: {len(changed)} changed")


if __name__ == "__main__":
    folders = [Path(word).resolve() for word in sys.argv[1:]] or [Path(__file__).parents[1] / "docs" / "tour"]
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        for one in folders:
            rewrite(chapters(one))
