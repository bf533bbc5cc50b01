"""`alula show STAGE MODEL`: every stage of the compiler as plain text.

In: an ONNX model or, for the plan, a .alula file. Out: text that fits a bug report.
"""

from __future__ import annotations

import argparse

from alula.cli.options import add_compile, parse_shapes, settings_of

STAGES = ("graph", "passes", "plan", "llvm", "asm")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("stage", metavar="STAGE", choices=STAGES, help=", ".join(STAGES))
    parser.add_argument("model", metavar="MODEL", help="an .onnx model; for `plan` also a .alula file")
    add_compile(parser)
    parser.add_argument("--optimised", action="store_true", help="show graph: after all passes, layouts chosen")
    parser.add_argument("--around", metavar="NODE", help="show graph: only this node and its neighbours")
    parser.add_argument("--kernel", metavar="WORD", help="show llvm, asm: only kernels with this word in their name")
    parser.add_argument("--disable", action="append", default=[], metavar="PASS", help="leave a pass out; repeatable")


def run(options: argparse.Namespace) -> int:
    """Print the stage."""
    from alula.engine.runtime.file import is_plan_file
    from alula.workbench.plan_file import plan_file_text

    settings = settings_of(options)
    if options.stage == "plan" and is_plan_file(options.model):
        print(plan_file_text(options.model, parse_shapes(options.shape)), end="")
        return 0
    from alula.engine.sessions.compiler import CompileOptions, import_limits
    from alula.workbench.stages import stage_text

    choices = CompileOptions(
        target=settings.target,
        shapes=parse_shapes(options.shape),
        disable=frozenset(options.disable),
        check=settings.check,
        limits=import_limits(settings),
    )
    stage = "optimised" if options.stage == "graph" and options.optimised else options.stage
    print(stage_text(stage, options.model, choices, options.around or options.kernel or ""), end="")
    return 0
