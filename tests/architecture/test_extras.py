from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from alula.base.extras import EXTRAS

ROOT = Path(__file__).parents[2]


def without(library: str, program: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a Python that has everything but one library."""
    code = f"import sys\nsys.modules[{library!r}] = None\n{program}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("library", "command"), [
    ("numpy", ["run", "model.alula", "photo.jpg"]),
    ("numpy", ["check", "model.onnx"]),
    ("llvmlite", ["compile", "model.onnx"]),
    ("simplejpeg", ["run", "model.alula", "photo.jpg"]),
    ("httptools", ["serve", "model.alula"]),
])  # fmt: skip
def test_missing_library_is_an_error_that_names_its_extra(library: str, command: list[str]) -> None:
    """A base install meets every command; none of them may end in a traceback."""
    ended = without(library, f"from alula.cli.main import main\nsys.exit(main({command!r}))")

    assert ended.returncode == 2
    assert f"needs the library {library}, it is not installed" in ended.stderr
    assert f"alula[{EXTRAS[library]}]" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_opening_a_model_without_the_compiler_says_what_to_install(tmp_path: Path) -> None:
    """The same from Python: an AlulaError, not an ImportError."""
    model = tmp_path / "model.onnx"
    model.write_bytes(b"any")
    program = f"import alula\ntry:\n    alula.open({str(model)!r})\nexcept alula.AlulaError as error:\n    print(error)"

    ended = without("numpy", program)

    assert "needs the library numpy" in ended.stdout
    assert "pip install alula[compile]" in ended.stdout


def test_every_library_of_an_extra_is_known() -> None:
    """A library that an extra brings, but the table does not know, would end in a traceback where it is missing."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    wanted = {line.partition(">=")[0] for name in ("compile", "image", "serve") for line in extras[name]}
    names = {"PIL": "pillow"}

    assert {names.get(library, library) for library in EXTRAS} == {name for name in wanted if "[" not in name}
