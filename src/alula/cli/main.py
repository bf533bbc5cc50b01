"""The command `alula`: finds the subcommand, runs it, and turns errors into text and an exit code.

In: command line. Out: exit code 0, 1 (a check found a difference), 2 (an error, in four parts on stderr), 130 (Ctrl-C).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from alula import __version__
from alula.base.errors import AlulaError, RequestError
from alula.base.extras import missing_library

# Subcommand and its help; each lives in a module of its name, loaded only when it is used.
COMMANDS = {
    "run": "predict once: labels for a picture, or raw outputs",
    "compile": "compile a model into one .alula file",
    "serve": "answer predictions over HTTP",
    "bench": "measure latency, throughput and memory, against other engines too",
    "show": "print a stage of compiling: graph, passes, plan, llvm or asm",
    "check": "compare every step with the reference",
    "check-model": "say what of a model runs natively, what by reference, what not at all",
    "conformance": "run the official ONNX suite and count what passes",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: the words after `alula`; None takes them from the process.

    Returns:
        The exit code.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _command(words)
        sys.stdout.flush()
    except AlulaError as error:
        return _refused(f"{type(error).__name__}: {error.message}")
    except BrokenPipeError:
        # The reader has gone; python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    except ImportError as error:
        missing = missing_library(error, f"alula {words[0]}")
        if missing is None:
            raise
        return _refused(f"MissingError: {missing.message}")
    except OSError as error:
        return _refused(f"MissingError: {error.filename or 'alula'}: must be usable, {error.strerror or error}")
    return code


def _command(words: Sequence[str]) -> int:
    """Run the command that the first word names; only its module is loaded."""
    if not words or words[0].startswith("-"):
        parser = _general()
        parser.parse_args(words)
        parser.print_help()
        return 2
    name = words[0]
    if name not in COMMANDS:
        raise RequestError("alula", f"needs one of {', '.join(COMMANDS)}", f"got {name!r}", "alula --help")
    module = import_module(f"alula.cli.{name.replace('-', '_')}")
    parser = _Parser(prog=f"alula {name}", description=COMMANDS[name].capitalize() + ".", allow_abbrev=False)
    module.add_arguments(parser)
    # Intermixed: pictures may stand behind options.
    return int(module.run(parser.parse_intermixed_args(words[1:])))


class _Parser(argparse.ArgumentParser):
    """argparse with our errors in place of its own."""

    def error(self, message: str) -> NoReturn:
        """Refuse the command line.

        Raises:
            RequestError: always.
        """
        raise RequestError(self.prog, "needs a command line that it knows", message, f"{self.prog} --help")


def _general() -> argparse.ArgumentParser:
    """The parser for a line without a command."""
    description = "Light inference engine and model server: ONNX models compiled to machine code in one file."
    commands = "\n".join(f"  {name:<12} {text}" for name, text in COMMANDS.items())
    parser = _Parser(
        prog="alula",
        usage="alula [-h] [--version] COMMAND ...",
        description=description,
        epilog=f"commands:\n{commands}\n\nalula COMMAND --help says more",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"alula {__version__}")
    return parser


def _refused(text: str) -> int:
    print(text, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
