"""Reads the package's source files: functions, imports, cycles.

In: the folder of the package. Out: records for the figures and for the tests of the architecture.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One file: its dotted module name and its text."""

    module: str
    path: Path
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree."""
        return ast.parse(self.text, str(self.path))

    @property
    def lines(self) -> int:
        """Lines of the file."""
        return self.text.count("\n")

    @property
    def functions(self) -> tuple[FunctionNode, ...]:
        """All functions and methods, nested ones included."""
        return tuple(node for node in ast.walk(self.tree) if isinstance(node, FunctionNode))

    @property
    def imports(self) -> frozenset[str]:
        """What loading the file imports, as `module` or `module.name`; imports for the type checker are left out."""
        return frozenset(name for node in _loaded(self.tree) for name in self._names(node))

    @property
    def hidden_imports(self) -> tuple[int, ...]:
        """Lines of imports inside functions."""
        inside = (node for function in self.functions for node in ast.walk(function))
        return tuple(sorted({node.lineno for node in inside if isinstance(node, (ast.Import, ast.ImportFrom))}))

    def _names(self, node: ast.stmt) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def read_sources(folder: Path) -> tuple[Source, ...]:
    """All Python files of a package's folder, by name."""
    return tuple(
        Source(_module_name(path.relative_to(folder.parent)), path, path.read_text(encoding="utf-8"))
        for path in sorted(folder.rglob("*.py"))
    )


def import_graph(sources: tuple[Source, ...]) -> Mapping[str, frozenset[str]]:
    """Which files of the package each file loads."""
    known = {source.module for source in sources}
    return {
        source.module: frozenset(filter(None, (_file_of(name, known) for name in source.imports))) - {source.module}
        for source in sources
    }


def import_cycles(graph: Mapping[str, frozenset[str]]) -> tuple[tuple[str, ...], ...]:
    """Groups of files that load each other, by way of others or straight."""
    reach = {module: _reachable(module, graph) for module in graph}
    groups = {
        tuple(sorted(other for other in reach[module] if module in reach[other]))
        for module in graph
        if module in reach[module]
    }
    return tuple(sorted(groups))


def _reachable(start: str, graph: Mapping[str, frozenset[str]]) -> frozenset[str]:
    found: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += graph[module]
    return frozenset(found)


def _file_of(name: str, known: set[str]) -> str | None:
    """`alula.base.errors.AlulaError` stands in file `alula.base.errors`."""
    if name in known:
        return name
    parent = name.rpartition(".")[0]
    return parent if parent in known else None


def _loaded(tree: ast.AST) -> Iterator[ast.stmt]:
    """Import statements that run when the file is loaded."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _loaded(node)


def _module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
