"""The benchmark: several engines on one model, interleaved, each in a process of its own.

In: a model and names of engines. Out: medians, best, ratios, peak memory, time to open.

Machines change speed from second to second, so engines take turns in short bursts and ratios are taken between
medians of the same run. One engine computes at a time; after its burst it rests, since some engines' threads go on
spinning for milliseconds.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alula.base.errors import AlulaError, InternalError
from alula.base.session import OpenOptions
from alula.base.settings import Settings
from alula.engine.runtime.file import is_plan_file
from alula.engine.runtime.session import open_plan
from alula.engine.sessions.compiler import CompileOptions, compile_cached
from alula.engine.sessions.host import run_host_step
from alula.engine.sessions.native import random_input
from alula.engine.sessions.opener import open_model

_BURST_SECONDS = 0.06
_REST_SECONDS = 0.03
_LEAST_ROUNDS = 7


@dataclass(frozen=True)
class BenchOptions:
    """What to measure.

    Attributes:
        against: other engines: `onnxruntime`, `openvino`.
        threads: threads of every engine; each is pinned to as many processors.
        seconds: how long to measure, all engines together.
        shapes: input shapes, for models with symbolic ones.
    """

    against: tuple[str, ...] = ()
    threads: int = 1
    seconds: float = 10.0
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class EngineResult:
    """Figures of one engine, in seconds and bytes; `ratio` is its median over alula's: above 1 alula is faster."""

    engine: str
    median: float
    best: float
    runs: int
    open_seconds: float
    first_seconds: float
    peak_bytes: int
    ratio: float
    difference: float


def bench_model(
    path: Path, options: BenchOptions, settings: Settings, progress: Callable[[str, int, int], None]
) -> tuple[EngineResult, ...]:
    """Measure; alula comes first in the result.

    Raises:
        AlulaError: the model does not compile, or an engine cannot open it.
    """
    plan = path
    if not is_plan_file(path):
        choices = CompileOptions(target=settings.target, shapes=dict(options.shapes), jobs=settings.jobs)
        plan = compile_cached(path, choices, settings, progress).path
    with tempfile.TemporaryDirectory() as folder:
        inputs = _write_inputs(plan, Path(folder))
        workers = {"alula": _Worker("alula", plan, options.threads, inputs)}
        workers |= {name: _Worker(name, path, options.threads, inputs) for name in options.against}
        try:
            return _measure(workers, options, progress, _differences(plan, path, options, settings))
        finally:
            for worker in workers.values():
                worker.close()


def _measure(
    workers: Mapping[str, _Worker],
    options: BenchOptions,
    progress: Callable[[str, int, int], None],
    differences: Mapping[str, float],
) -> tuple[EngineResult, ...]:
    opened = {name: worker.ask({"do": "open"})["seconds"] for name, worker in workers.items()}
    firsts = {name: worker.ask({"do": "run", "count": 1})["times"][0] for name, worker in workers.items()}
    times: dict[str, list[float]] = {name: [] for name in workers}
    counts = {}
    for name, worker in workers.items():
        warm = worker.ask({"do": "run", "count": 3})["times"]
        counts[name] = max(2, int(_BURST_SECONDS / max(min(warm), 1e-7)))
    started = time.monotonic()
    rounds = 0
    while rounds < _LEAST_ROUNDS or time.monotonic() - started < options.seconds:
        order = list(workers)
        for name in order[rounds % len(order) :] + order[: rounds % len(order)]:
            # The first run of a burst finds cold caches and is left out, for every engine alike.
            times[name] += workers[name].ask({"do": "run", "count": counts[name]})["times"][1:]
            time.sleep(_REST_SECONDS)
        rounds += 1
        progress("measure", min(int(time.monotonic() - started), int(options.seconds)), int(options.seconds) or 1)
    ours = statistics.median(times["alula"])
    return tuple(
        EngineResult(
            engine=name,
            median=statistics.median(values),
            best=min(values),
            runs=len(values),
            open_seconds=opened[name],
            first_seconds=firsts[name],
            peak_bytes=workers[name].ask({"do": "memory"})["peak_bytes"],
            ratio=statistics.median(values) / ours,
            difference=differences[name],
        )
        for name, values in times.items()
    )


def _differences(plan: Path, model: Path, options: BenchOptions, settings: Settings) -> Mapping[str, float]:
    """Largest difference of each engine's outputs from alula's: engines that disagree are not worth comparing."""
    import numpy as np  # noqa: PLC0415

    session = open_plan(plan, host=run_host_step)
    feeds = {spec.name: random_input(spec) for spec in session.inputs}
    ours = {name: np.array(np.asarray(tensor)) for name, tensor in session.run(feeds).items()}
    found = {"alula": 0.0}
    for name in options.against:
        other: Any = open_model(model, OpenOptions(provider=name), settings).run(feeds)  # type: ignore[arg-type]
        pairs = zip(ours.values(), other.values(), strict=True)
        found[name] = max(float(np.max(np.abs(a - np.asarray(b)))) for a, b in pairs)
    session.close()
    return found


def _write_inputs(plan: Path, folder: Path) -> Path:
    with open_plan(plan, host=run_host_step) as session:
        table = {}
        for number, spec in enumerate(session.inputs):
            (folder / f"{number}.raw").write_bytes(random_input(spec).tobytes())
            table[spec.name] = (spec.dtype.value, spec.shape, f"{number}.raw")
    file = folder / "inputs.json"
    file.write_text(json.dumps(table))
    return file


class _Worker:
    """The process of one engine; owned by one benchmark."""

    def __init__(self, engine: str, model: Path, threads: int, inputs: Path) -> None:
        self.engine = engine
        command = [sys.executable, "-m", "alula.workbench.engines", engine, str(model), str(threads), str(inputs)]
        self._process = subprocess.Popen(  # noqa: S603  our own module
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def ask(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Send a command and wait for its answer.

        Raises:
            AlulaError: the process ended.
        """
        assert self._process.stdin is not None  # noqa: S101  a pipe was asked for
        assert self._process.stdout is not None  # noqa: S101
        try:
            print(json.dumps(command), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise self._dead()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _dead(self) -> AlulaError:
        _, errors = self._process.communicate()
        last: Sequence[str] = errors.strip().splitlines()[-3:] or ["no message"]
        return InternalError(f"engine {self.engine}", "needs its process to answer", "it ended", detail="\n".join(last))
