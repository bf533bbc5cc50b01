"""`alula bench MODEL --against onnxruntime,openvino`: the engines side by side.

In: a model. Out: a table, JSON, or a record file.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alula.base.errors import RequestError
from alula.cli.options import add_model, parse_shapes, settings_of
from alula.cli.text import as_json

if TYPE_CHECKING:
    from alula.workbench.bench import EngineResult

_HEAD = ("engine", "median", "best", "p95", "runs/s", "ratio", "load", "open", "first run", "peak", "differs")
_WIDTHS = (12, 10, 10, 10, 9, 7, 9, 9, 10, 9, 9)
_TINY_SECONDS = 1e-3
_LEGEND = """\
median, best, p95: milliseconds of one run; runs/s: one caller that asks again at once
ratio: median over alula's median in the same run; above 1, alula is faster
load: import of the engine's library; open: model file to session; first run: all in milliseconds
peak: memory of the whole process, megabytes
differs: largest absolute difference of the outputs from alula's"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_model(parser, threads="1")
    parser.add_argument("--against", default="", metavar="ENGINES", help="onnxruntime,openvino")
    parser.add_argument("--model", dest="onnx", metavar="FILE.onnx", help="what the others read when MODEL is a plan")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to measure (default: 10)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--record", metavar="FILE", help="write result, machine and versions as JSON")


def run(options: argparse.Namespace) -> int:
    """Measure and print."""
    from alula.cli.progress import Progress
    from alula.workbench.bench import BenchOptions, bench_model
    from alula.workbench.machine import describe_machine
    from alula.workbench.zoo_models import find_model

    if not 0 < options.seconds < math.inf:
        raise RequestError("--seconds", "needs a number above 0", f"got {options.seconds}")
    if options.record:
        # Now, not after the measurement: a folder that cannot be made should not cost it.
        Path(options.record).parent.mkdir(parents=True, exist_ok=True)
    settings = settings_of(options)
    with Progress(f"bench {options.model}") as progress:
        model = find_model(options.model, progress)
        choices = BenchOptions(
            against=tuple(filter(None, options.against.split(","))),
            threads=settings.threads or 1,
            seconds=options.seconds,
            shapes=parse_shapes(options.shape),
            model=Path(options.onnx) if options.onnx else None,
        )
        results = bench_model(model, choices, settings, progress)
    machine = describe_machine()
    record = {"model": model.name, "threads": choices.threads, **machine, "engines": [r.record() for r in results]}
    if options.record:
        Path(options.record).write_text(as_json(record, 2) + "\n")
    print(as_json(record) if options.json else _table(record, results))
    return 0


def _table(record: dict[str, Any], results: Sequence[EngineResult]) -> str:
    title = f"{record['model']}, {record['threads']} thread(s), {record['cpu']}"
    return "\n".join([title, _row(_HEAD), *map(_result, results), _LEGEND])


def _result(result: EngineResult) -> str:
    figures = result.figures
    if figures is None:
        return f"{result.engine:<{_WIDTHS[0]}} {result.failure}"
    cells = [result.engine, *map(_milliseconds, (figures.median, figures.best, figures.p95))]
    cells += [f"{figures.throughput:.1f}", f"{figures.ratio:.2f}x"]
    cells += [f"{value * 1e3:.1f}" for value in (figures.load_seconds, figures.open_seconds)]
    cells += [f"{figures.first_seconds * 1e3:.2f}", f"{figures.peak_bytes / 1e6:.1f}", f"{figures.difference:.1e}"]
    return _row(cells)


def _milliseconds(seconds: float) -> str:
    """Four digits for tiny models too."""
    return f"{seconds * 1e3:.3f}" if seconds >= _TINY_SECONDS else f"{seconds * 1e3:.5f}"


def _row(cells: Sequence[str]) -> str:
    first, *rest = zip(cells, _WIDTHS, strict=True)
    return " ".join([f"{first[0]:<{first[1]}}", *(f"{cell:>{width}}" for cell, width in rest)])
