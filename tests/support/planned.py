"""Graphs as plans: all passes, layouts and the planner in one call, and plans run in this process.

In: a graph of the onnx operators. Out: a Plan; its results.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from alula.engine.graph.graph import Graph
from alula.engine.graph.numpy_dtypes import numpy_dtype
from alula.engine.kernels.target import Target
from alula.engine.passes.choose_layout import choose_layout
from alula.engine.passes.driver import PassOptions
from alula.engine.passes.order import optimise
from alula.engine.plan.check import check_plan
from alula.engine.plan.planner import PlanOptions, make_plan
from alula.engine.plan.records import Plan
from alula.engine.program.file import write_plan
from alula.engine.runtime.session import open_plan
from alula.engine.sessions.host import run_host_step
from support.pass_graphs import Array
from support.plans import RUNNABLE


def planned(graph: Graph, target: Target = RUNNABLE[0], options: PlanOptions = PlanOptions()) -> Plan:  # noqa: B008  frozen
    """The checked plan of a graph."""
    optimised, _ = optimise(graph, PassOptions(check=True))
    plan = make_plan(choose_layout(optimised, target.block) if options.native else optimised, target, options)
    check_plan(plan)
    return plan


def results_of(plan: Plan, folder: Path, feeds: Mapping[str, Array], threads: int = 1) -> dict[str, Array]:
    """The plan written, opened and run twice: the second run must give the bits of the first."""
    path = folder / "plan.alula"
    write_plan(plan, path)
    with open_plan(path, threads=threads, host=run_host_step) as session:
        first = {
            name: np.array(np.asarray(tensor)).view(numpy_dtype(tensor.dtype))
            for name, tensor in session.run(feeds).items()
        }
        second = session.run(feeds)
        for name, array in first.items():
            assert np.asarray(second[name]).tobytes() == array.tobytes(), name
    return first


def assert_close(found: Mapping[str, Array], wanted: Mapping[str, Array]) -> None:
    """Equal but for rounding: 1e-4 of the largest number of each output."""
    for name, array in wanted.items():
        largest = float(np.abs(array).max(initial=1e-3))
        np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-4 * largest, err_msg=name)
