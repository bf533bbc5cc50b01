"""`alula compile MODEL -o PLAN`: one file to deploy.

In: an ONNX model, labels, preprocessing. Out: a .alula file.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alula.base.shapes import Shapes, describe_shapes
from alula.cli.options import add_compile, add_picture, count, parse_combinations, settings_of
from alula.cli.text import as_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="an .onnx model")
    parser.add_argument("-o", "--output", metavar="PLAN", help="where to write (default: MODEL with .alula)")
    add_compile(parser)
    add_picture(parser)
    parser.add_argument("--disable", action="append", default=[], metavar="PASS", help="leave a pass out; repeatable")
    parser.add_argument(
        "--memory-limit", type=count("--memory-limit"), default=0, metavar="BYTES", help="refuse plans that need more"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(options: argparse.Namespace) -> int:
    """Compile and say what came out."""
    from alula.base.errors import RequestError
    from alula.cli.progress import Progress
    from alula.engine.sessions.cache import bound_cache
    from alula.engine.sessions.compiler import CompileOptions, compile_graph, import_limits, import_model
    from alula.engine.sessions.several import compile_several
    from alula.workbench.bundle import read_extras

    settings = settings_of(options)
    combinations = parse_combinations(options.shape)
    model = Path(options.model)
    output = Path(options.output) if options.output else model.with_suffix(".alula")
    choices = CompileOptions(
        target=settings.target,
        shapes=combinations[0],
        disable=frozenset(options.disable),
        check=settings.check,
        memory_limit=options.memory_limit,
        jobs=settings.jobs,
        limits=import_limits(settings),
        kernels=settings.cache / "kernels",
        extras=read_extras(model, options.preprocess, options.labels),
    )
    started = time.perf_counter()
    try:
        with Progress(f"compiling {model.name}") as progress:
            if len(combinations) > 1:
                seconds = compile_several(import_model(model, choices.limits), output, choices, combinations, progress)
            else:
                seconds = compile_graph(import_model(model, choices.limits), output, choices, progress)
    except OSError as error:
        found = error.strerror or str(error)
        raise RequestError(f"--output {output}", "needs a file that can be written", found) from error
    bound_cache(settings.cache, settings.cache_bytes)
    summary = _summary(output, seconds, time.perf_counter() - started)
    print(as_json(summary) if options.json else _text(summary, combinations))
    return 0


def _summary(output: Path, seconds: Mapping[str, float], total: float) -> dict[str, Any]:
    """What is said of a plan file that was written."""
    from alula.engine.runtime.file import read_header

    header = read_header(output)
    return {
        "plan": str(output),
        "bytes": output.stat().st_size,
        "target": header.target,
        "seconds": {**seconds, "total": total},
        "arena_bytes": header.arena_bytes,
        "steps": len(header.steps),
        "host": len(header.host_calls),
        "plans": 1 + len(header.variants),
    }


def _text(summary: Mapping[str, Any], combinations: Sequence[Shapes]) -> str:
    total = summary["seconds"]["total"]
    lines = [f"{summary['plan']}: {summary['bytes'] / 1e6:.1f} MB for {summary['target']}, {total:.2f} s"]
    arena = f"arena {summary['arena_bytes'] / 1e6:.2f} MB"
    lines.append(f"  {summary['steps']} steps, {summary['host']} on the host, {arena}")
    if summary["plans"] > 1:
        lines.append(f"  {summary['plans']} plans: {describe_shapes(combinations)}")
    return "\n".join(lines)
