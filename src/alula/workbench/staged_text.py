"""A model that runs in stages, as plain text: each part with its plan, the host nodes between them with their reasons.

In: a stage. Out: text.
"""

from __future__ import annotations

from collections import Counter

from alula.engine.graph.graph import Graph
from alula.engine.plan.text import show_plan
from alula.engine.sessions.compiler import CompileOptions, optimise_model, plan_model
from alula.engine.sessions.staging import WORTH_A_PLAN, Stage, is_heavy, work_of


def staged_text(stage: Stage, options: CompileOptions) -> str:
    """The first stage in full, and what is known of those behind it before a run."""
    native = stage.native
    graph = native or stage.rest
    name = graph.name if graph else "model"
    lines = [f"model {name}: runs in stages, since sizes depend on data", ""]
    lines += _native(native, options) if native else []
    lines += [f"part host: {len(stage.host)} nodes by their references"]
    lines += [f"  host   {one.node.op:<20} {one.node.label}: {one.reason}" for one in stage.host]
    lines += ["", *_rest(stage.rest)] if stage.rest else []
    return "\n".join([*lines, ""])


def _native(native: Graph, options: CompileOptions) -> list[str]:
    work = work_of(native)
    if work < WORTH_A_PLAN:
        head = f"part native: {len(native.nodes)} nodes, {work} operations; below {WORTH_A_PLAN} they run by reference"
        return [head, *_nodes(native), ""]
    optimised, _ = optimise_model(native, options)
    return [f"part native: {len(native.nodes)} nodes", show_plan(plan_model(optimised, options))]


def _rest(rest: Graph) -> list[str]:
    if is_heavy(rest):
        how = "cut and compiled again by the sizes that come out, one plan for each"
    else:
        how = "by reference: no operator in it is worth a plan"
    read = ", ".join(value.name for value in rest.inputs)
    return [f"part behind them: {len(rest.nodes)} nodes that wait for {read}; {how}", *_nodes(rest)]


def _nodes(graph: Graph) -> list[str]:
    counts = Counter(node.op for node in graph.nodes)
    return [f"  {count:>6} {op}" for op, count in counts.most_common()]
