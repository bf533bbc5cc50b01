"""`alula check MODEL`: every step against its reference, and the whole against ONNX Runtime where it is installed.

In: an ONNX model. Out: a table; exit code 1 names the first step that differs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from alula.cli.options import add_compile, parse_shapes, settings_of
from alula.cli.text import as_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="an .onnx model")
    parser.add_argument("inputs", nargs="*", metavar="NAME=FILE.npy", help="inputs (default: random numbers)")
    add_compile(parser)
    parser.add_argument("--all", action="store_true", help="print every step, not only the worst")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(options: argparse.Namespace) -> int:
    """Compare and print; 1 when something differs."""
    from alula.cli.progress import Progress
    from alula.engine.sessions.compiler import CompileOptions, import_limits
    from alula.workbench.arrays import read_arrays
    from alula.workbench.check import check_model
    from alula.workbench.second_opinion import second_opinion

    settings = settings_of(options)
    model, shapes = Path(options.model), parse_shapes(options.shape)
    feeds = read_arrays(options.inputs)
    with Progress(f"checking {model.name}") as progress:
        choices = CompileOptions(target=settings.target, shapes=shapes, limits=import_limits(settings))
        report = check_model(model, choices, feeds, progress)
        progress("onnxruntime", 0, 1)
        other = second_opinion(model, settings, shapes, feeds)
    wrong = report.first_wrong
    rows = [*report.steps, *report.outputs]
    if options.json:
        steps = [{**vars(row), "agrees": row.agrees} for row in rows]
        print(as_json({"agrees": wrong is None, "steps": steps, "onnxruntime": other}))
        return 0 if wrong is None else 1
    shown = rows if options.all else sorted(rows, key=lambda row: -row.error / max(row.allowed, 1e-12))[:10]
    print(f"{'step':<48} {'operator':<16} {'error':>9} {'allowed':>9} {'drift':>9}")
    for row in shown:
        drift = "" if row.drift is None else f"{row.drift:.2e}"
        mark = "" if row.agrees else "  <- differs"
        print(f"{row.label[-48:]:<48} {row.op:<16} {row.error:>9.2e} {row.allowed:>9.2e} {drift:>9}{mark}")
    hidden = f", the {len(shown)} worst shown" if len(shown) < len(rows) else ""
    print(f"{len(rows)} values compared with the numpy reference{hidden}")
    print(f"onnxruntime: {f'largest difference of the outputs {other:.2e}' if other is not None else 'not installed'}")
    print("all steps agree" if wrong is None else f"first step that differs: {wrong.label} ({wrong.op})")
    return 0 if wrong is None else 1
