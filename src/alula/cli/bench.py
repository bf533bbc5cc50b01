"""`alula bench MODEL --against onnxruntime,openvino`: the engines side by side.

In: a model. Out: a table, JSON, or a record file.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from alula.cli.options import add_model, parse_shapes, settings_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_model(parser)
    parser.add_argument("--against", default="", metavar="ENGINES", help="onnxruntime,openvino")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to measure (default: 10)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--record", metavar="FILE", help="write result, machine and versions as JSON")


def run(options: argparse.Namespace) -> int:
    """Measure and print."""
    from alula.cli.progress import Progress
    from alula.workbench.bench import BenchOptions, bench_model
    from alula.workbench.machine import describe_machine
    from alula.workbench.zoo_models import find_model

    settings = settings_of(options)
    choices = BenchOptions(
        against=tuple(name for name in options.against.split(",") if name),
        threads=settings.threads or 1,
        seconds=options.seconds,
        shapes=parse_shapes(options.shape),
    )
    progress = Progress(f"bench {options.model}")
    try:
        model = find_model(options.model, progress)
        results = bench_model(model, choices, settings, progress)
    finally:
        progress.close()
    machine = describe_machine()
    record = {"model": Path(model).name, "threads": choices.threads, **machine, "engines": [vars(r) for r in results]}
    if options.record:
        Path(options.record).parent.mkdir(parents=True, exist_ok=True)
        Path(options.record).write_text(json.dumps(record, indent=2) + "\n")
    if options.json:
        print(json.dumps(record))
        return 0
    print(f"{Path(model).name}, {choices.threads} thread(s), {machine['cpu']}")
    print(f"{'engine':<12} {'median':>10} {'best':>10} {'ratio':>7} {'open':>10} {'first run':>10} {'peak':>9} {'differs':>9}")
    for row in results:
        print(
            f"{row.engine:<12} {row.median * 1e3:>7.3f} ms {row.best * 1e3:>7.3f} ms {row.ratio:>6.2f}x "
            f"{row.open_seconds * 1e3:>7.1f} ms {row.first_seconds * 1e3:>7.2f} ms {row.peak_bytes / 1e6:>6.1f} MB "
            f"{row.difference:>9.1e}"
        )
    print("ratio: median over alula's median in the same run; above 1, alula is faster")
    return 0
