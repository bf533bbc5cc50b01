"""Coverage-guided fuzzing of everything that reads model files: mutated ONNX models through importer and passes.

    scripts/environment --with fuzz
    .venv/bin/python scripts/bench/fuzz_models.py [--seconds N] [--corpus FOLDER]

In: the onnx library's node models and the tests' problems as seeds. Out: files that made something else than an
AlulaError, in tests/abuse/found, where a test replays them for good; the last line counts runs and finds.

Each mutant is read, upgraded, folded and optimised under limits, in this process; libFuzzer (through atheris) keeps
those that reach new branches.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import signal
import sys
import time
import warnings
from pathlib import Path

import atheris

FOUND = Path(__file__).parents[2] / "tests" / "abuse" / "found"
# Address space of the process: what takes more is a find, not a hang of the machine.
_MEMORY = 8 << 30
_SECONDS_A_RUN = 20
_LARGEST_SEED = 4096

with atheris.instrument_imports(include=["alula"]):
    from alula.base.errors import AlulaError, InternalError
    from alula.engine.importers.onnx import read_onnx
    from alula.engine.passes.driver import PassOptions
    from alula.engine.passes.order import optimise

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from support import mutants  # noqa: E402  instrumented first, found by the line before


class Hang(Exception):  # noqa: N818  not an error of the program under test: the answer "too slow"
    """A run took longer than it may."""


class Fuzz:
    """The target and its counters; owned by the process."""

    def __init__(self, seconds: float) -> None:
        self.runs = 0
        self.finds: dict[str, str] = {}
        self._end = time.monotonic() + seconds

    def __call__(self, data: bytes) -> None:
        """One mutant."""
        self.runs += 1
        signal.alarm(_SECONDS_A_RUN)
        try:
            graph = read_onnx(data)
            optimise(graph, PassOptions(check=True))
        except InternalError as error:
            self._keep(data, error)
        except AlulaError:
            pass
        except Exception as error:  # noqa: BLE001  anything else is what we look for
            self._keep(data, error)
        finally:
            signal.alarm(0)
        if time.monotonic() > self._end:
            self.report()
            # libFuzzer has no way to be told that it is enough.
            sys.stdout.flush()
            sys.stderr.flush()
            signal.raise_signal(signal.SIGKILL)

    def report(self) -> None:
        """Print the counts."""
        for place, name in self.finds.items():
            print(f"{name}: {place}")
        print(f"{self.runs} runs, {len(self.finds)} finds")

    def _keep(self, data: bytes, error: Exception) -> None:
        """Write the first mutant for each place in the code."""
        trace = (error.__cause__ or error).__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"
        place = f"{type(error).__name__} at {where}: {str(error)[:80]}"
        key = f"{type(error).__name__} at {where}"
        if any(known.startswith(key) for known in self.finds):
            return
        name = f"{hashlib.sha256(data).hexdigest()[:16]}.onnx"
        FOUND.mkdir(parents=True, exist_ok=True)
        (FOUND / name).write_bytes(data)
        self.finds[place] = name
        print(f"find: {name}: {place}", flush=True)


def seeds(folder: Path) -> None:
    """Small official models, nested and sequence ones among them, and the tests' problems, one file each."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, (_, model) in enumerate(mutants.seeds()):
        data = model.SerializeToString()
        if len(data) <= _LARGEST_SEED:
            (folder / f"seed{index}.onnx").write_bytes(data)


def _slow(*_: object) -> None:
    raise Hang(f"no answer within {_SECONDS_A_RUN} s")


def main() -> None:
    """Fuzz."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=float, default=600.0, help="how long (default: 600)")
    parser.add_argument(
        "--corpus", type=Path, default=Path.home() / ".cache" / "alula-fuzz", help="folder of seeds and mutants"
    )
    options = parser.parse_args()
    seeds(options.corpus)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    signal.signal(signal.SIGALRM, _slow)
    warnings.simplefilter("ignore")
    atheris.Setup(
        [sys.argv[0], str(options.corpus), "-max_len=8192", "-rss_limit_mb=8192", "-print_final_stats=0"],
        Fuzz(options.seconds),
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
