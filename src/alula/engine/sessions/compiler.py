"""The compiler from end to end: import, bind, optimise, choose layout, plan, write.

In: a model file and options. Out: the stages as values, for tools that show them, and a plan file.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from alula.base.errors import LimitError, ModelFileError
from alula.base.hardware import cpu_flags, usable_threads
from alula.base.settings import Settings
from alula.engine.graph.check import check_graph
from alula.engine.graph.dims import is_static
from alula.engine.graph.graph import Graph
from alula.engine.importers.onnx import DEFAULT_LIMITS, load_onnx
from alula.engine.importers.place import ImportLimits
from alula.engine.kernels.target import Target, best_target, target_named
from alula.engine.passes.choose_layout import choose_layout
from alula.engine.passes.driver import PassOptions, PassReport
from alula.engine.passes.order import optimise
from alula.engine.plan.check import check_plan
from alula.engine.plan.planner import PlanOptions, make_plan
from alula.engine.plan.records import Plan
from alula.engine.program.file import write_plan
from alula.engine.program.objects import ObjectStore
from alula.engine.sessions.cache import bound_cache, plan_path

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class CompileOptions:
    """What may be chosen when a model is compiled.

    Attributes:
        target: the instruction set by name; empty is this machine's best.
        shapes: input shapes by name, which bind symbolic dimensions.
        disable: names of passes to leave out.
        check: run every stage's checker.
        memory_limit: the most bytes intermediates may take; 0 is no limit.
        native: use kernels; without, every step runs through its reference.
        reuse: let values share memory; without, every value can be looked at after a run.
        jobs: processes that compile kernels; 0 is as many as this process may use.
        extras: files that travel inside the plan, by name.
        limits: how large a model may be, where the options alone say what is imported.
        kernels: a folder of compiled kernels, to find them in and to keep them; None compiles all anew.
    """

    target: str = ""
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=lambda: MappingProxyType({}))
    disable: frozenset[str] = frozenset()
    check: bool = False
    memory_limit: int = 0
    native: bool = True
    reuse: bool = True
    jobs: int = 0
    limits: ImportLimits = DEFAULT_LIMITS
    extras: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}))
    kernels: Path | None = None


@dataclass(frozen=True)
class Compiled:
    """A plan file and how it came about; `seconds` by stage, empty when it came from the cache."""

    path: Path
    cached: bool
    seconds: Mapping[str, float]


def no_progress(stage: str, done: int, total: int) -> None:
    """Shows nothing."""
    del stage, done, total


def import_model(path: str | os.PathLike[str], limits: ImportLimits = DEFAULT_LIMITS) -> Graph:
    """Read a model file of any known kind.

    Raises:
        MissingError: there is no such file.
        ModelFileError: the file is of no known kind.
        LimitError: the model is larger than the limits.
    """
    file = Path(path)
    if file.suffix.lower() in {".pth", ".pt", ".safetensors", ".h5"}:
        hint = "export the model as ONNX; weight files hold no network"
        raise ModelFileError(str(file), "needs a model", f"{file.suffix} files hold weights only", hint)
    return load_onnx(file, limits)


def import_limits(settings: Settings) -> ImportLimits:
    """How large a model may be, as the settings say."""
    return ImportLimits(settings.node_limit, settings.nesting_limit)


def choose_target(name: str) -> Target:
    """The target by name, or this machine's best for an empty name."""
    return target_named(name) if name else best_target(cpu_flags())


def optimise_model(graph: Graph, options: CompileOptions) -> tuple[Graph, tuple[PassReport, ...]]:
    """All passes, layouts included."""
    target = choose_target(options.target)
    passes = PassOptions(shapes=options.shapes, disable=options.disable, check=options.check)
    optimised, reports = optimise(graph, passes)
    started = time.perf_counter()
    laid_out = choose_layout(optimised, target.block) if options.native else optimised
    if options.check:
        check_graph(laid_out, "choose_layout")
    changes = len(laid_out.nodes) - len(optimised.nodes)
    report = PassReport("choose_layout", changes, time.perf_counter() - started)
    return laid_out, (*reports, report)


def plan_model(graph: Graph, options: CompileOptions) -> Plan:
    """Kernels and memory for an optimised graph."""
    choices = PlanOptions(native=options.native, reuse=options.reuse, memory_limit=options.memory_limit)
    plan = make_plan(graph, choose_target(options.target), choices)
    if options.check:
        check_plan(plan)
    return plan


def needs_shapes(graph: Graph, options: CompileOptions) -> bool:
    """Whether some input has dimensions that nothing has bound yet, or none at all."""
    return any(
        value.name not in options.shapes and (value.shape is None or not is_static(value.shape))
        for value in graph.inputs
    )


def compile_graph(
    graph: Graph, path: Path, options: CompileOptions, progress: Progress = no_progress
) -> Mapping[str, float]:
    """Compile an imported graph into a plan file; returns the seconds of each stage."""
    clock = _Stages(progress)
    optimised, _ = optimise_model(graph, options)
    clock.end("optimise")
    plan = plan_model(optimised, options)
    clock.end("plan")
    jobs = options.jobs or usable_threads()
    path.parent.mkdir(parents=True, exist_ok=True)
    store = ObjectStore(options.kernels) if options.kernels else None
    emitted: Callable[[int, int], None] = lambda done, total: progress("emit", done, total)  # noqa: E731  one use
    try:
        write_plan(plan, path, options.extras, jobs=jobs, progress=emitted, store=store)
    except MemoryError:
        where = f"model {graph.name}"
        raise LimitError(where, "needs kernels that fit into memory", "there is not enough to compile them") from None
    clock.end("emit")
    return clock.seconds


def compile_cached(
    path: str | os.PathLike[str], options: CompileOptions, settings: Settings, progress: Progress = no_progress
) -> Compiled:
    """The plan of a model: from the cache, or compiled into it.

    Raises:
        AlulaError: as `import_model` and `compile_graph` do.
    """
    started = time.perf_counter()
    graph = import_model(path, import_limits(settings))
    imported = time.perf_counter() - started
    kept = cached_path(graph, Path(path), options, settings)
    if kept.is_file():
        return Compiled(kept, cached=True, seconds={})
    options = replace(options, kernels=options.kernels or settings.cache / "kernels")
    seconds = compile_graph(graph, kept, options, progress)
    bound_cache(settings.cache, settings.cache_bytes, kept)
    return Compiled(kept, cached=False, seconds={"import": imported, **seconds})


def cached_path(graph: Graph, model: Path, options: CompileOptions, settings: Settings) -> Path:
    """Where the plan of an imported model is kept: the name depends on all bytes that the graph came from."""
    return plan_path(settings.cache, model, graph.external, choose_target(options.target), choices_of(options))


def choices_of(options: CompileOptions) -> Mapping[str, object]:
    """The options that change what a plan file holds, the target aside."""
    without = {"check", "jobs", "target", "kernels"}
    choices = {key: value for key, value in vars(options).items() if key not in without}
    choices["shapes"] = sorted(options.shapes.items())
    choices["extras"] = sorted(options.extras.items())
    choices["disable"] = sorted(options.disable)
    return choices


class _Stages:
    """Seconds of consecutive stages; owned by one compilation."""

    def __init__(self, progress: Progress) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = progress
        self._last = time.perf_counter()

    def end(self, stage: str) -> None:
        """The stage is over."""
        now = time.perf_counter()
        self.seconds[stage] = now - self._last
        self._last = now
        self._progress(stage, 1, 1)
