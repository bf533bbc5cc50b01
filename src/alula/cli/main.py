"""The command `alula`: finds the subcommand, runs it, and turns errors into text and an exit code.

In: command line. Out: exit code 0, 1 (a check found a difference), 2 (an error, in four parts on stderr), 130 (Ctrl-C).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from alula import __version__
from alula.base.errors import AlulaError

# Subcommand and its help; each lives in a module of its name, loaded only when it is used.
COMMANDS = {
    "run": "predict once: labels for a picture, or raw outputs",
    "compile": "compile a model into one .alula file",
    "serve": "answer predictions over HTTP",
    "bench": "measure latency, throughput and memory, against other engines too",
    "show": "print a stage: graph, passes, plan, llvm or asm",
    "check": "compare every step with the reference",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: the words after `alula`; None takes them from the process.

    Returns:
        The exit code.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = _parser(words)
    options = parser.parse_args(words)
    if not hasattr(options, "run"):
        parser.print_help()
        return 2
    try:
        return int(options.run(options))
    except AlulaError as error:
        print(f"{type(error).__name__}: {error.message}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader has gone; python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        place = error.filename or "alula"
        print(f"MissingError: {place}: cannot be used, {error.strerror or error}", file=sys.stderr)
        return 2


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser; only the command that the line names is loaded."""
    description = "Light inference engine and model server: ONNX models compiled to machine code in one file."
    parser = argparse.ArgumentParser(prog="alula", description=description)
    parser.add_argument("--version", action="version", version=f"alula {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")
    chosen = next((word for word in words if not word.startswith("-")), "")
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text.capitalize() + ".")
        if name == chosen:
            module = import_module(f"alula.cli.{name}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
