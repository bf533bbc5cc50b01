"""Prints the style figures of the source beside what they aim at, and fails where a wall is broken.

In: src/ and tests/. Out: a table; exit status 1 when a hard wall is broken.
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sources import ROOT, FunctionNode, Source, import_cycles, import_graph, read_sources

# The only files that may import inside functions: the opener and the commands.
MAY_HIDE = ("alula", "alula.cli")
MOST_PARAMETERS = 6


@dataclass(frozen=True)
class Figure:
    """One line of the table. `wall` is the value that must not be passed; None where the aim is only an aim."""

    point: str
    ours: float
    aim: str
    wall: float | None = None

    @property
    def broken(self) -> bool:
        """Whether the wall is passed."""
        return self.wall is not None and self.ours > self.wall

    def __str__(self) -> str:
        """One line of the table."""
        mark = "  BROKEN" if self.broken else ""
        return f"{self.point:<52}{self.ours:>8g}   {self.aim}{mark}"


def figures(sources: Sequence[Source], test_lines: int) -> tuple[Figure, ...]:
    """All figures of a package; lines of functions are counted without decorators and docstrings."""
    functions = [function for source in sources for function in source.functions]
    lengths = sorted(map(code_lines, functions)) or [0]
    files = [source.lines for source in sources if source.lines > 1] or [0]
    lines = sum(map(_filled_lines, (source.text for source in sources)))
    hidden = sum(len(source.hidden_imports) for source in sources if not may_hide(source.module))
    return (
        Figure("file, median lines", statistics.median(files), "<= 180"),
        Figure("file, most lines", max(files), "<= 400, wall 600", 600),
        Figure("function, median lines", statistics.median(lengths), "<= 8"),
        Figure("function, 90th percentile", lengths[len(lengths) * 9 // 10], "<= 25"),
        Figure("function, longest", lengths[-1], "<= 60", 60),
        Figure(
            "functions with more than 6 parameters", sum(parameters(f) > MOST_PARAMETERS for f in functions), "0", 0
        ),
        Figure("annotated functions, %", _share([annotated(f) for f in functions]), "100"),
        Figure("docstrings on public names, %", _share(_documented(sources)), "100"),
        Figure("import cycles between files", len(import_cycles(import_graph(tuple(sources)))), "0", 0),
        Figure("imports hidden in functions", hidden, "0 outside the opener and the commands", 0),
        Figure("test lines per source line", round(test_lines / max(lines, 1), 2), "1.0 to 2.0"),
        Figure("public names at the door", _door(sources), "<= 20", 20),
    )


def code_lines(function: FunctionNode) -> int:
    """Lines of a function without decorators and docstring."""
    first = function.body[0]
    documented = ast.get_docstring(function, clean=False) is not None
    docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def parameters(function: FunctionNode) -> int:
    """How many parameters a caller may give."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    own = bool(positional) and positional[0].arg in {"self", "cls"}
    return len(positional) - own + len(arguments.kwonlyargs)


def annotated(function: FunctionNode) -> bool:
    """Whether all parameters and the result have types."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    own = positional[:1] if positional and positional[0].arg in {"self", "cls"} else []
    rest = [argument for argument in (arguments.vararg, arguments.kwarg) if argument]
    given = [argument for argument in (*positional, *arguments.kwonlyargs, *rest) if argument not in own]
    return function.returns is not None and all(argument.annotation for argument in given)


def may_hide(module: str) -> bool:
    """Whether a file may import inside functions."""
    return module == MAY_HIDE[0] or module.startswith(f"{MAY_HIDE[1]}.")


def _documented(sources: Sequence[Source]) -> list[bool]:
    return [ast.get_docstring(node) is not None for source in sources for node in _public(source.tree)]


def _public(node: ast.Module | ast.ClassDef | FunctionNode) -> Iterator[ast.Module | ast.ClassDef | FunctionNode]:
    """The node and what it shows; names inside functions and private names are nobody else's business."""
    yield node
    if isinstance(node, (ast.Module, ast.ClassDef)):
        for child in node.body:
            if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and child.name[0] != "_":
                yield from _public(child)


def _share(answers: Sequence[bool]) -> float:
    return round(100 * sum(answers) / max(len(answers), 1), 1)


def _door(sources: Sequence[Source]) -> int:
    for node in next(source.tree.body for source in sources if "." not in source.module):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return len(ast.literal_eval(node.value))
    return 0


def _filled_lines(text: str) -> int:
    return sum(bool(line.strip()) for line in text.splitlines())


def main() -> int:
    """Print the table."""
    tests = sum(_filled_lines(path.read_text(encoding="utf-8")) for path in (ROOT / "tests").rglob("*.py"))
    table = figures(read_sources(ROOT / "src" / "alula"), tests)
    print(f"{'point':<52}{'ours':>8}   aim")
    print(*table, sep="\n")
    return int(any(figure.broken for figure in table))


if __name__ == "__main__":
    sys.exit(main())
