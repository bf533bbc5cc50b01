"""The benchmark: several engines on one model, interleaved, each in a process of its own.

In: a model and names of engines. Out: median, best and 95th percentile, throughput, ratios, peak memory, time to open.

Machines change speed from second to second, so engines take turns in short bursts and ratios are taken between
medians of the same run. One engine computes at a time; after its burst it rests, since some engines' threads go on
spinning for milliseconds. All read the same bytes and stay on the same processors.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from alula.base.errors import InternalError, RequestError
from alula.base.settings import Settings
from alula.engine.importers.onnx import load_onnx
from alula.engine.importers.onnx_write import write_onnx
from alula.engine.runtime.file import is_plan_file
from alula.engine.runtime.session import open_plan
from alula.engine.sessions.compiler import CompileOptions, compile_cached
from alula.engine.sessions.host import run_host_step
from alula.engine.sessions.native import random_input

OPPONENTS = ("onnxruntime", "openvino")
_OURS = "alula"
_BURST_SECONDS = 0.06
_REST_SECONDS = 0.03
_LEAST_ROUNDS = 7
_WARM_RUNS = 3
_PERCENTILE = 95

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class BenchOptions:
    """What to measure.

    Attributes:
        against: other engines, of `OPPONENTS`.
        threads: threads of every engine; each is pinned to as many processors.
        seconds: how long to measure, all engines together.
        shapes: input shapes, for models with symbolic ones; every engine is told them before it opens the model.
        model: the ONNX file for the other engines when a compiled plan is measured.
    """

    against: tuple[str, ...] = ()
    threads: int = 1
    seconds: float = 10.0
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    model: Path | None = None


@dataclass(frozen=True)
class Figures:
    """What was measured of one engine, in seconds, bytes, and runs a second.

    Attributes:
        median: of a run, as `best` and `p95`.
        throughput: runs a second of one caller that asks again at once, the first run of each burst left out.
        ratio: median over alula's median: above 1 alula is faster.
        load_seconds: the import of the engine's library.
        open_seconds: from the model file to a session, without the import.
        first_seconds: the first run after opening.
        peak_bytes: of resident memory, the Python process included.
        difference: the largest absolute one of the outputs from alula's.
    """

    median: float
    best: float
    p95: float
    throughput: float
    runs: int
    ratio: float
    load_seconds: float
    open_seconds: float
    first_seconds: float
    peak_bytes: int
    difference: float


@dataclass(frozen=True)
class EngineResult:
    """One engine's figures, or why there are none."""

    engine: str
    figures: Figures | None
    failure: str = ""

    def record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        known = {"failure": self.failure} if self.figures is None else vars(self.figures)
        return {"engine": self.engine, **known}


def bench_model(path: Path, options: BenchOptions, settings: Settings, progress: Progress) -> tuple[EngineResult, ...]:
    """Measure; alula comes first in the result. Another engine that fails has its reason there, not its figures.

    Raises:
        RequestError: an unknown engine, or other engines for a plan without its model.
        AlulaError: the model does not compile.
    """
    model = _model_for_others(path, options)
    plan = path
    if not is_plan_file(path):
        choices = CompileOptions(target=settings.target, shapes=dict(options.shapes), jobs=settings.jobs)
        plan = compile_cached(path, choices, settings, progress).path
    with tempfile.TemporaryDirectory() as folder:
        inputs = _write_inputs(plan, Path(folder), options.shapes if plan == path else {})
        if options.against and options.shapes:
            model = _bound(model, options.shapes, Path(folder))
        workers = [_Worker(_OURS, plan, options.threads, inputs)]
        try:
            workers += [_Worker(name, model, options.threads, inputs) for name in options.against]
            _for_each(workers, _Worker.prepare)
            _take_turns(workers, options.seconds, progress)
            _for_each(workers, _Worker.finish)
            return tuple(worker.result(workers[0]) for worker in workers)
        finally:
            for worker in workers:
                worker.close()


def _model_for_others(path: Path, options: BenchOptions) -> Path:
    unknown = [name for name in options.against if name not in OPPONENTS]
    if unknown:
        raise RequestError("--against", f"needs names of {', '.join(OPPONENTS)}", f"got {unknown[0]!r}")
    model = options.model or path
    if options.against and is_plan_file(model):
        hint = "alula bench PLAN --model FILE.onnx --against ..."
        raise RequestError("--against", "needs an ONNX file for the other engines", f"{model} is a plan", hint)
    return model


def _bound(model: Path, shapes: Mapping[str, tuple[int, ...]], folder: Path) -> Path:
    """A copy with its input shapes fixed: the others, too, are fastest when they know them."""
    graph = load_onnx(model)
    inputs = tuple(replace(value, shape=shapes.get(value.name, value.shape)) for value in graph.inputs)
    copy = folder / model.name
    write_onnx(replace(graph, inputs=inputs), copy, graph.opsets[""])
    return copy


def _write_inputs(plan: Path, folder: Path, shapes: Mapping[str, tuple[int, ...]]) -> Path:
    """Random inputs as files of raw bytes, and a table of them."""
    table = {}
    with open_plan(plan, host=run_host_step, shapes=shapes or None) as session:
        for number, spec in enumerate(session.inputs):
            (folder / f"{number}.raw").write_bytes(random_input(spec).tobytes())
            table[spec.name] = (spec.dtype.value, spec.shape, f"{number}.raw")
    file = folder / "inputs.json"
    file.write_text(json.dumps(table))
    return file


def _take_turns(workers: Sequence[_Worker], seconds: float, progress: Progress) -> None:
    """Bursts by turns, each round beginning with another engine."""
    started = time.monotonic()
    rounds = 0
    while rounds < _LEAST_ROUNDS or time.monotonic() - started < seconds:
        first = rounds % len(workers)
        _for_each([*workers[first:], *workers[:first]], _Worker.burst)
        rounds += 1
        progress("measure", min(int(time.monotonic() - started), int(seconds)), int(seconds) or 1)


def _for_each(workers: Sequence[_Worker], action: Callable[[_Worker], None]) -> None:
    """Act on every worker that lives; another engine that fails drops out, ours ends the benchmark."""
    for worker in workers:
        if worker.failure:
            continue
        try:
            action(worker)
        except InternalError as error:
            if worker.engine == _OURS:
                raise
            worker.failure = error.found


class _Worker:
    """The process of one engine and what it has told; owned by one benchmark."""

    def __init__(self, engine: str, model: Path, threads: int, inputs: Path) -> None:
        self.engine = engine
        self.failure = ""
        self.times: list[float] = []
        self._inputs = inputs
        self._told: dict[str, Any] = {}
        self._count = 0
        program = str(Path(__file__).with_name("engines.py"))
        command = [sys.executable, "-P", program, engine, str(model), str(threads), str(inputs)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)  # noqa: S603  our own

    def prepare(self) -> None:
        """Load, open, run once, keep the outputs, warm up."""
        self._told["load_seconds"] = self._ask("load")["seconds"]
        self._told["open_seconds"] = self._ask("open")["seconds"]
        self._told["first_seconds"] = self._ask("run", count=1)["times"][0]
        self._told["outputs"] = self._ask("save")["outputs"]
        warm = self._ask("run", count=_WARM_RUNS)["times"]
        self._count = max(2, int(_BURST_SECONDS / max(min(warm), 1e-7)))

    def burst(self) -> None:
        """Run for a moment, then rest. The first run finds cold caches and is left out, for every engine alike."""
        self.times += self._ask("run", count=self._count)["times"][1:]
        time.sleep(_REST_SECONDS)

    def finish(self) -> None:
        """Ask for the peak of memory."""
        self._told["peak_bytes"] = self._ask("memory")["peak_bytes"]

    def result(self, ours: _Worker) -> EngineResult:
        """The figures, compared with alula's."""
        if self.failure:
            return EngineResult(self.engine, None, self.failure)
        median = statistics.median(self.times)
        figures = Figures(
            median=median,
            best=min(self.times),
            p95=statistics.quantiles(self.times, n=100)[_PERCENTILE - 1],
            throughput=len(self.times) / sum(self.times),
            runs=len(self.times),
            ratio=median / statistics.median(ours.times),
            difference=_difference(self._outputs(), ours._outputs()),
            **{key: value for key, value in self._told.items() if key != "outputs"},
        )
        return EngineResult(self.engine, figures)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _outputs(self) -> Mapping[str, np.ndarray[Any, Any]]:
        table = self._told["outputs"]
        return {name: np.fromfile(self._inputs.with_name(file), dtype) for name, (dtype, file) in table.items()}

    def _ask(self, action: str, **words: int) -> dict[str, Any]:
        """Send a command and wait for its answer.

        Raises:
            InternalError: the engine failed; `found` is its reason.
        """
        assert self._process.stdin is not None  # noqa: S101  a pipe was asked for
        assert self._process.stdout is not None  # noqa: S101
        try:
            print(json.dumps({"do": action, **words}), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        answer: dict[str, Any] = json.loads(line) if line else {"error": self._last_words()}
        if "error" in answer:
            raise InternalError(f"engine {self.engine}, {action}", "needs an answer", answer["error"])
        return answer

    def _last_words(self) -> str:
        _, errors = self._process.communicate()
        return "its process ended: " + (" ".join(errors.split())[-300:] or "no message")


def _difference(found: Mapping[str, np.ndarray[Any, Any]], ours: Mapping[str, np.ndarray[Any, Any]]) -> float:
    """The largest absolute difference; infinite where outputs are missing or of another size."""
    largest = 0.0
    for name, wanted in ours.items():
        array = found.get(name)
        if array is None or array.size != wanted.size:
            return float("inf")
        a, b = array.astype(np.float64), wanted.astype(np.float64)
        with np.errstate(invalid="ignore"):
            apart = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
        largest = max(largest, float(np.max(np.where(np.isnan(apart), np.inf, apart), initial=0.0)))
    return largest
