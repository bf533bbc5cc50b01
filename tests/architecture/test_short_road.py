from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
ROOMS = ("base", "engine/runtime")
SHORT_ROAD = sorted(
    ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    for room in ROOMS
    for path in (SOURCE / "alula" / room).rglob("*.py")
    if path.name != "__init__.py"
)
FOREIGN = """
import sys
roots = {name.partition(".")[0] for name in sys.modules}
print(*sorted(roots - set(sys.stdlib_module_names) - {"__main__", "alula"}))
"""
QUIET = """
import threading, os
print(threading.active_count(), len(os.listdir("/proc/self/fd")) - before)
"""


def _python(code: str, *options: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run(
        [sys.executable, "-W", "error", *options, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_alula_loads_no_library() -> None:
    """`import alula` is the door of the short road: no numpy, no llvmlite, nothing outside the standard library."""
    assert _python(f"import alula\n{FOREIGN}", "-S") == ""


@pytest.mark.parametrize("module", ["alula", *SHORT_ROAD])
def test_module_of_the_short_road_needs_no_installed_package(module: str) -> None:
    """base and engine/runtime load where nothing but Python is installed."""
    assert _python(f"import {module}\n{FOREIGN}", "-S") == ""


def test_importing_the_short_road_starts_nothing() -> None:
    """Nothing happens at import: no thread, no open file, no word on the screen."""
    imports = "\n".join(f"import {module}" for module in SHORT_ROAD)

    assert _python(f"import os\nbefore = len(os.listdir('/proc/self/fd'))\n{imports}\n{QUIET}", "-S") == "1 0"


@pytest.mark.parametrize(("rooms", "budget"), [(ROOMS, 250_000), (("",), 3_000_000)], ids=["short road", "package"])
def test_source_stays_within_its_bytes(rooms: tuple[str, ...], budget: int) -> None:
    """Budget: what a small board has to store, uncompressed."""
    files = [path for room in rooms for path in (SOURCE / "alula" / room).rglob("*") if "__pycache__" not in path.parts]

    assert 0 < sum(path.stat().st_size for path in files if path.is_file()) <= budget
