from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

FOUND = sorted((Path(__file__).parent / "found").glob("*.onnx"))
_SECONDS = 60
_MEMORY = 6 << 30
# Exit code 1 and a traceback say that something else than an AlulaError came out; a signal, that memory was touched
# that is not there, or that the limits were reached.
_REPLAY = """
import sys, tempfile, warnings
from pathlib import Path
from alula.base.errors import AlulaError, InternalError
from support.replay import replay
warnings.simplefilter("ignore")
with tempfile.TemporaryDirectory() as folder:
    try:
        replay(Path(sys.argv[1]).read_bytes(), Path(folder))
    except InternalError:
        raise
    except AlulaError:
        pass
"""


def _limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@pytest.mark.parametrize("model", FOUND, ids=lambda path: path.stem)
def test_models_that_fuzzing_found_end_in_an_answer_or_an_error(model: Path) -> None:
    """Attack: each of these once ended in a foreign exception, a hang, a wrong answer or a read outside memory."""
    tests = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": tests, "OPENBLAS_NUM_THREADS": "1"}

    done = subprocess.run(
        [sys.executable, "-c", _REPLAY, str(model)],
        env=environment, capture_output=True, text=True, check=False, timeout=5 * _SECONDS,
        preexec_fn=_limited,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr[-2000:]
