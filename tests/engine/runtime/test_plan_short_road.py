from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.plans import plan, saved

import alula

SCRIPT = """
import sys
from alula.engine.runtime.session import open_plan
answer = open_plan(sys.argv[1], threads=2).run({"x": bytes(4 * 37)})["y"].tolist()
assert answer == [0.0] * 37, answer
mine = [name for name in sys.modules if name.split(".")[0] == "alula"]
allowed = ("alula.base", "alula.engine.runtime")
print(*[name for name in mine if name not in {"alula", "alula.engine"} and not name.startswith(allowed)])
print(*sorted({name.split(".")[0] for name in sys.modules} - set(sys.stdlib_module_names) - {"alula", "__main__"}))
"""


def test_a_plan_runs_with_nothing_but_the_standard_library(tmp_path: Path) -> None:
    """The short road is what makes start-up and memory small: base and runtime, no numpy, no llvmlite, no onnx."""
    path = saved(tmp_path, plan())
    source = str(Path(alula.__file__).parents[1])

    done = subprocess.run(
        [sys.executable, "-S", "-c", SCRIPT, str(path)],
        env={**os.environ, "PYTHONPATH": source},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (done.stdout, done.returncode) == ("\n\n", 0), done.stderr
