from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.classifier import Classifier
from support.commands import Command

from alula import __version__
from alula.cli.main import COMMANDS


def process(*words: str | Path, code: str = "") -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    start = ["-c", code] if code else ["-m", "alula.cli.main", *map(str, words)]
    return subprocess.run([sys.executable, *start], capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(name: str, alula: Command) -> None:
    """Help says what a command does and names its arguments."""
    shown = alula(name, "--help")

    assert shown.code == 0
    assert shown.out.startswith(f"usage: alula {name} ")
    assert COMMANDS[name].capitalize() in " ".join(shown.out.split())
    assert ("MODEL" if name != "conformance" else "REGEX") in shown.out


def test_help_lists_all_commands(alula: Command) -> None:
    """The first page leads to every other."""
    shown = alula("--help")

    assert shown.code == 0
    assert all(f"{name} " in shown.out and text in shown.out for name, text in COMMANDS.items())


def test_no_words_print_the_help_and_fail(alula: Command) -> None:
    """A script that forgot the command must notice."""
    shown = alula()

    assert (shown.code, shown.out) == (2, alula("--help").out)


def test_version_is_the_packages(alula: Command) -> None:
    """`alula --version` fits into a bug report."""
    assert alula("--version").out == f"alula {__version__}\n"


def test_help_loads_no_compiler() -> None:
    """Help is for people who wait: numpy and llvmlite stay unloaded."""
    loaded = "import sys\nfrom alula.cli.main import main\ntry:\n    main(['compile', '--help'])\nexcept SystemExit:\n"
    done = process(code=f"{loaded}    print({{'numpy', 'llvmlite', 'PIL'}} & set(sys.modules))")

    assert done.stdout.splitlines()[-1] == "set()"


def test_error_in_a_process_has_four_parts_and_exit_code_two(tmp_path: Path) -> None:
    """What a shell sees: a sentence and a hint on stderr, nothing on stdout, no traceback."""
    done = process("compile", tmp_path / "nothing.onnx")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"MissingError: {tmp_path}/nothing.onnx: needs an ONNX model, no such file\n  try: check the path\n"
    )


def test_reader_that_goes_away_is_no_error(files: Classifier) -> None:
    """`alula show graph MODEL | head -1` and the like end quietly."""
    reader, writer = os.pipe()
    os.close(reader)
    words = ("show", "graph", str(files.model))
    start = [sys.executable, "-m", "alula.cli.main", *words]
    done = subprocess.run(start, stdout=writer, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    os.close(writer)

    assert (done.returncode, done.stderr) == (0, "")
