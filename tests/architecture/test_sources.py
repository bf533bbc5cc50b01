from __future__ import annotations

from pathlib import Path

from figures import code_lines, may_hide, parameters
from sources import Source, import_cycles, import_graph, read_sources

PACKAGE = Path(__file__).parents[2] / "src" / "alula"


def _source(module: str, text: str) -> Source:
    return Source(module, Path(f"{module}.py"), text)


def test_no_two_files_import_each_other() -> None:
    """The tree of files can be read from the leaves up: no cycle, not even by way of other files."""
    sources = read_sources(PACKAGE)

    assert len(sources) > 10
    assert import_cycles(import_graph(sources)) == ()


def test_imports_stand_at_the_head_of_a_file() -> None:
    """Only the opener and the commands import inside functions."""
    hidden = {source.module: source.hidden_imports for source in read_sources(PACKAGE) if source.hidden_imports}

    assert {module for module in hidden if not may_hide(module)} == set()


def test_cycle_over_three_files_is_found() -> None:
    """The finder follows both import forms, into classes and branches."""
    sources = (
        _source("p.a", "import p.b\n"),
        _source("p.b", "try:\n    from p import c\nexcept ImportError:\n    pass\n"),
        _source("p.c", "class C:\n    from p.a import thing\n"),
        _source("p.d", "from p.a import thing\nimport os\n"),
    )

    assert import_cycles(import_graph(sources)) == (("p.a", "p.b", "p.c"),)


def test_imports_for_the_type_checker_make_no_cycle() -> None:
    """They are not executed."""
    sources = (
        _source("p.a", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.b import B\n"),
        _source("p.b", "from p.a import A\n"),
    )

    assert import_cycles(import_graph(sources)) == ()


def test_hidden_import_is_found_in_a_method() -> None:
    """An import inside a function has its line told, and makes no edge between files."""
    source = _source("p.a", "class A:\n    def f(self):\n        if True:\n            import p.b\n")

    assert (source.hidden_imports, source.imports) == ((4,), frozenset())


def test_figures_count_what_a_reader_reads() -> None:
    """Docstrings and decorators are no code, `self` is no parameter."""
    text = '@a\n@b\ndef f(self, x, *, y):\n    """One.\n\n    Two.\n    """\n    z = x\n    return z + y\n'
    (function,) = _source("p.a", text).functions

    assert (code_lines(function), parameters(function)) == (3, 2)
