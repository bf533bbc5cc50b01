"""`alula check-model MODEL`: what would run natively, what by reference, what not at all; nothing is run.

In: an ONNX model. Out: a table; exit code 1 when some node cannot run.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from alula.cli.options import add_compile, parse_shapes, settings_of
from alula.cli.text import as_json

if TYPE_CHECKING:
    from alula.workbench.survey import Survey


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="an .onnx model")
    add_compile(parser)
    parser.add_argument("--all", action="store_true", help="print native nodes one by one too")
    parser.add_argument("--json", action="store_true", help="print every node as JSON")


def run(options: argparse.Namespace) -> int:
    """Look and print; 1 when some node cannot run."""
    from alula.engine.sessions.compiler import CompileOptions
    from alula.workbench.survey import survey

    model = Path(options.model)
    found = survey(model, CompileOptions(target=settings_of(options).target, shapes=parse_shapes(options.shape)))
    if options.json:
        nodes = [vars(verdict) for verdict in found.verdicts]
        print(as_json({"runs": found.runs, "shapes": dict(found.shapes), "nodes": nodes}))
    else:
        _print(model, found, every=options.all)
    return 0 if found.runs else 1


def _print(model: Path, found: Survey, *, every: bool) -> None:
    if found.shapes:
        taken = ", ".join(f"{name}={'x'.join(map(str, shape))}" for name, shape in found.shapes.items())
        print(f"shapes taken: {taken} (--shape says otherwise)")
    print(f"{'operator':<34} {'version':>7}  {'dtype':<10} {'how':<11} {'nodes':>5}")
    kinds = Counter((v.domain, v.op, v.version, v.dtype, v.how) for v in found.verdicts)
    for (domain, op, version, dtype, how), nodes in sorted(kinds.items()):
        print(f"{f'{domain}.{op}'[-34:]:<34} {version:>7}  {dtype:<10} {how:<11} {nodes:>5}")
    for verdict in found.verdicts:
        if every or verdict.how != "native":
            reason = f": {verdict.reason}" if verdict.reason else ""
            print(f"{verdict.how}: {verdict.node} ({verdict.op} version {verdict.version}, {verdict.dtype}){reason}")
    counts = {how: found.count(how) for how in ("native", "reference", "not at all", "unknown")}
    print(f"{model.name}: {len(found.verdicts)} nodes, {', '.join(f'{n} {how}' for how, n in counts.items() if n)}")
