from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
HOWTOS = sorted((ROOT / "docs" / "howto").glob("*.md"))


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    """A link to a file of the project names a file that is there."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)]

    missing = [target for target in targets if target and "://" not in target and not (page.parent / target).exists()]

    assert missing == []


@pytest.mark.parametrize("page", HOWTOS, ids=_name)
def test_how_to_runs_as_it_is_printed(page: Path) -> None:
    """The blocks of a how-to, one after the other, are a program that works."""
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    names: dict[str, object] = {"__name__": "howto"}

    for block in blocks:
        exec(compile(block, _name(page), "exec", dont_inherit=True), names)  # noqa: S102  our own pages

    assert blocks


def test_every_decision_stands_in_the_index() -> None:
    """A record that the index leaves out is not found."""
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    records = [path.name for path in sorted(folder.glob("[0-9]*.md"))]

    assert records
    assert [name for name in records if f"]({name})" not in index] == []


def test_every_ignored_rule_has_its_reason() -> None:
    """A rule is switched off on a line that says why."""
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    start = lines.index("[tool.ruff.lint]")
    end = lines.index("[tool.ruff.lint.pydocstyle]")

    bare = [line for line in lines[start:end] if re.match(r'\s+"[A-Z]+\d+",\s*(#\s*)?$', line)]

    assert bare == []


def test_version_is_told_once() -> None:
    """The package and its metadata give the same version."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    source = (ROOT / "src" / "alula" / "__init__.py").read_text(encoding="utf-8")

    assert f'__version__ = "{settings["project"]["version"]}"' in source
