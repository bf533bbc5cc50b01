"""The stages of the compiler as text, for `alula show` and for tests that compare them.

In: a model file and compile options. Out: text.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from alula.base.errors import MissingError
from alula.engine.graph.graph import Graph
from alula.engine.graph.text import show_graph, show_node
from alula.engine.plan.records import NativeStep, Plan
from alula.engine.plan.text import show_plan
from alula.engine.program.build import kernel_symbol
from alula.engine.program.compile import assembly_of
from alula.engine.sessions.compiler import CompileOptions, import_model, optimise_model, plan_model
from alula.engine.sessions.staging import cut, prepare
from alula.workbench.staged_text import staged_text


def stage_text(stage: str, path: str | os.PathLike[str], options: CompileOptions, word: str = "") -> str:
    """One stage of compiling a model.

    Args:
        stage: `graph`, `optimised`, `passes`, `plan`, `llvm` or `asm`.
        path: the model.
        options: as for compiling.
        word: for graphs the node to show with its neighbours, for code a part of the kernel's name.
    """
    graph = import_model(path, options.limits)
    if stage == "graph":
        return _around(graph, word) if word else show_graph(graph)
    if stage == "plan" and not (cut_stage := cut(prepare(graph, options.shapes))).is_whole:
        return staged_text(cut_stage, replace(options, shapes={}))
    optimised, reports = optimise_model(graph, options)
    if stage == "optimised":
        return _around(optimised, word) if word else show_graph(optimised)
    if stage == "passes":
        lines = [f"{'pass':<28} {'changes':>8} {'ms':>9}"]
        lines += [f"{report.name:<28} {report.rewrites:>8} {report.seconds * 1e3:>9.2f}" for report in reports]
        return "\n".join([*lines, ""])
    plan = plan_model(optimised, options)
    return show_plan(plan) if stage == "plan" else _code(plan, word, _CODE[stage])


def _around(graph: Graph, label: str) -> str:
    centre = next((node for node in graph.nodes if label in {node.label, *node.outputs}), None)
    if centre is None:
        hint = "alula show graph MODEL prints all nodes"
        raise MissingError(f"node {label}", "needs a node of that name", "the graph has none", hint)
    near = {graph.producers[name].label for name in centre.inputs if name in graph.producers}
    near |= {node.label for name in centre.outputs for node in graph.consumers.get(name, ())}
    shown = [node for node in graph.nodes if node is centre or node.label in near]
    return "\n".join([*(show_node(graph, node) for node in shown), ""])


def _code(plan: Plan, word: str, render: Callable[[str, Any], str]) -> str:
    kernels: Mapping[str, Any] = {
        kernel_symbol(step.kernel, plan.target): step.kernel for step in plan.steps if isinstance(step, NativeStep)
    }
    parts = [
        f"; {name}: {kernel}\n{render(kernel.emit(name, plan.target), plan.target)}"
        for name, kernel in kernels.items()
        if word in name
    ]
    if not parts:
        raise MissingError(f"kernel {word}", "needs a kernel with that in its name", f"there are {', '.join(kernels)}")
    return "\n".join(parts)


_CODE: Mapping[str, Callable[[str, Any], str]] = {"llvm": lambda text, _: text, "asm": assembly_of}
