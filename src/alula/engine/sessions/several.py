"""One model compiled for several input shapes into one file, weights that are equal stored once.

In: a graph and combinations of shapes. Out: a plan file, which `open_session` opens.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from alula.base.hardware import usable_threads
from alula.base.shapes import Shapes
from alula.engine.graph.graph import Graph
from alula.engine.plan.records import Plan
from alula.engine.program.build import Program, build_image
from alula.engine.program.file import save_programs
from alula.engine.program.objects import ObjectStore
from alula.engine.program.weights import WeightPool
from alula.engine.sessions.compiler import CompileOptions, Progress, no_progress, optimise_model, plan_model


def compile_several(
    graph: Graph, path: Path, options: CompileOptions, combinations: Sequence[Shapes], progress: Progress = no_progress
) -> Mapping[str, float]:
    """Compile an imported graph for each combination of shapes; returns the seconds of each stage, all plans together.

    One plan at a time is in memory, and of equal weights one.

    Raises:
        AlulaError: as `compile_graph` does for any of them; nothing is written then.
    """
    store = ObjectStore(options.kernels) if options.kernels else None
    jobs = options.jobs or usable_threads()
    pool = WeightPool()
    seconds = dict.fromkeys(("optimise", "plan", "emit", "write"), 0.0)
    built: list[tuple[Plan, Program]] = []
    for number, shapes in enumerate(combinations):
        progress("shape", number, len(combinations))
        marks = [time.perf_counter()]
        optimised, _ = optimise_model(graph, replace(options, shapes=shapes))
        marks.append(time.perf_counter())
        plan = plan_model(optimised, options)
        marks.append(time.perf_counter())
        program = build_image(plan, jobs, None, store, pool)
        marks.append(time.perf_counter())
        # The pool holds what is needed of the weights.
        built.append((replace(plan, weights=()), program))
        for stage, begun, ended in zip(seconds, marks, marks[1:], strict=False):
            seconds[stage] += ended - begun
    started = time.perf_counter()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_programs(built, path, options.extras)
    seconds["write"] = time.perf_counter() - started
    progress("shape", len(combinations), len(combinations))
    return seconds
