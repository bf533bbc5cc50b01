"""Structured fuzzing of the whole engine: mutated models are imported, planned, compiled and run beside guard pages.

    .venv/bin/python scripts/bench/fuzz_runs.py [--seconds N] [--seed S] [--most-runs N]

In: the onnx library's node models and the tests' problems, changed by `mutants`. Out: files that made something else
than an AlulaError or the reference's answer, in tests/abuse/found, where a test replays them for good; the last line
counts mutants, runs and finds.

Each mutant is imported and optimised here, and what passes is compiled and run in a child process under limits, twice:
on numbers of a usual size, where answers must be the reference's, and on numbers of all sizes. Inputs and outputs end
where memory ends, so that a read or write beyond them is a signal.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # children are forked: no threads but this one

import numpy as np

from alula.base.errors import AlulaError

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from support import mutants
from support.replay import Difference, optimised, replay

FOUND = Path(__file__).parents[2] / "tests" / "abuse" / "found"
_SECONDS_TO_READ = 20
_SECONDS_TO_RUN = 60
_MEMORY = 6 << 30


class Hang(Exception):  # noqa: N818  not an error of the program under test: the answer "too slow"
    """A mutant took longer than it may."""


class Finds:
    """What was found, by its place; owned by the process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known: dict[str, str] = {}

    def keep(self, data: bytes, what: str, name: str, detail: str = "") -> None:
        """Write the first mutant of a kind."""
        if what in self.known:
            return
        file = f"{hashlib.sha256(data).hexdigest()[:16]}.onnx"
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / file).write_bytes(data)
        self.known[what] = file
        print(f"find: {file}: {what}, from {name}: {detail}", flush=True)


def place_of(error: BaseException) -> str:
    """The error's kind and the line of alula that it comes from."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "alula" in frame.filename]
    last = frames[-1] if frames else None
    where = f"{Path(last.filename).name}:{last.name}" if last else "?"
    return f"{type(error).__name__} at {where}"


def try_mutant(data: bytes, name: str, finds: Finds, counts: Counter[str]) -> None:
    """Import and optimise here, then compile and run in a child."""
    signal.alarm(_SECONDS_TO_READ)
    try:
        optimised(data)
    except AlulaError as error:
        counts[type(error).__name__] += 1
        return
    except Exception as error:  # noqa: BLE001  anything else is what we look for
        finds.keep(data, place_of(error), name, str(error)[:100])
        return
    finally:
        signal.alarm(0)
    counts["run"] += 1
    _run_in_child(data, name, finds)


def _run_in_child(data: bytes, name: str, finds: Finds) -> None:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        told = Path(folder) / "told"
        child = os.fork()
        if not child:
            _child(data, Path(folder), told)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            finds.keep(data, f"{signal.Signals(os.WTERMSIG(status)).name} in {_operators(data)}", name)
        elif os.WEXITSTATUS(status):
            what, _, detail = told.read_text().partition("\n")
            finds.keep(data, what, name, detail)


def _child(data: bytes, folder: Path, told: Path) -> None:
    """Compile and run; 0 is the exit code of an answer or an AlulaError."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS_TO_RUN, _SECONDS_TO_RUN))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    code = 0
    try:
        replay(data, folder)
    except AlulaError as error:
        if type(error).__name__ == "InternalError":
            told.write_text(f"InternalError in {_operators(data)}\n{error}")
            code = 1
    except Difference as error:
        told.write_text(f"differs: {_operators(data)}\n{error}")
        code = 1
    except BaseException as error:  # noqa: BLE001
        told.write_text(f"{place_of(error)}\n{str(error)[:200]}")
        code = 1
    os._exit(code)


def _operators(data: bytes) -> str:
    import onnx  # noqa: PLC0415

    return " ".join(sorted({node.op_type for node in onnx.ModelProto.FromString(data).graph.node}))[:80]


def _slow(*_: object) -> None:
    raise Hang(f"no answer within {_SECONDS_TO_READ} s")


def main() -> None:
    """Fuzz."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=float, default=600.0, help="how long (default: 600)")
    parser.add_argument("--seed", type=int, default=0, help="of the random generator; another one, other mutants")
    parser.add_argument("--found", type=Path, default=FOUND, help="folder for finds (default: tests/abuse/found)")
    parser.add_argument("--only", default="", help="use seeds whose name has this text in it")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _slow)
    rng = random.Random(options.seed)  # noqa: S311  mutants, not secrets
    np.seterr(all="ignore")
    pool = [(name, model) for name, model in mutants.seeds() if options.only in name]
    finds, counts = Finds(options.found), Counter[str]()
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        name, seed = rng.choice(pool)
        try:
            data = mutants.mutate(seed, rng).SerializeToString()
        except (ValueError, TypeError, IndexError):  # a change that protobuf cannot hold
            continue
        counts["mutants"] += 1
        try_mutant(data, name, finds, counts)
    for what, file in finds.known.items():
        print(f"{file}: {what}")
    print(f"{dict(counts)}, {len(finds.known)} finds")
    sys.exit(bool(finds.known))


if __name__ == "__main__":
    main()
