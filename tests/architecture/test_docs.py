from __future__ import annotations

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from pages import chapters, run_page

from alula.base.tensors import DType
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Node, Value
from alula.engine.importers.onnx_write import write_onnx

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


def test_tour_prints_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chapters of the tour, one after the other, are a program, and print what stands below each block."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ALULA_CACHE", str(tmp_path / "cache"))
    names: dict[str, object] = {"__name__": "tour"}

    changed = [
        line
        for page in chapters(ROOT / "docs" / "tour")
        for line in run_page(page.read_text(encoding="utf-8"), names, page.name)[1]
    ]

    assert changed == []


def test_first_code_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A newcomer who types the first example into Python, with a model of that name, gets scores."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ALULA_CACHE", str(tmp_path / "cache"))
    pixels = np.linspace(-1, 1, 3 * 8 * 8, dtype=np.float32).reshape(1, 3, 8, 8)
    values = {"images": Value("images", DType.FLOAT32, pixels.shape)}
    nodes = (Node("GlobalAveragePool", ("images",), ("g",)), Node("Flatten", ("g",), ("logits",)))
    write_onnx(Graph("m", nodes, (values["images"],), ("logits",), {}, values, {"": 17}), Path("model.onnx"), 17)
    names: dict[str, object] = {"__name__": "readme", "pixels": pixels}

    _, changed = run_page(text, names, "README.md")

    assert changed == []
    assert np.allclose(np.asarray(names["scores"]), pixels.mean(axis=(2, 3)), atol=1e-5)
    assert text.splitlines()[:15].count("```python") == 1


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
