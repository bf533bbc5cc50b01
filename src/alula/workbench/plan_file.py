"""A plan file as text; needs neither the compiler nor numpy, so that it works where plans run.

In: a .alula file. Out: text.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from alula.engine.runtime.file import read_header
from alula.engine.runtime.header import PlanHeader
from alula.engine.runtime.variants import describe_variants, index_of_shapes


def plan_file_text(path: str | os.PathLike[str], shapes: Mapping[str, tuple[int, ...]] | None = None) -> str:
    """What a plan file says of itself.

    Args:
        path: the file.
        shapes: of inputs by name, which choose the plan to show where the file holds several.

    Raises:
        InputError: the file has no plan for these shapes.
    """
    whole = read_header(path)
    header = read_header(path, index_of_shapes(whole, shapes or {}))
    reasons = {call.label: f"{call.op}: {call.reason}" for call in header.host_calls}
    lines = [
        f"plan {header.model} for {header.target}, written by alula {header.alula}",
        f"  weights {header.parts['weights'].size / 1e6:.2f} MB, code {header.parts['code'].size / 1e3:.1f} kB",
        f"  arena {header.arena_bytes / 1e6:.2f} MB, scratch {header.scratch_bytes / 1e3:.1f} kB a worker",
        *(f"  input {spec}" for spec in header.inputs),
        *(f"  output {spec}" for spec in header.outputs),
        *(f"  carries {name} ({size} bytes)" for name, (_, size) in header.extras.items()),
        *_several(whole),
        f"  {'':>4}  {'runs':<6} {'kernel':<20} {'units':>6} {'MFLOP':>9} {'moved KB':>9}  step",
    ]
    for index, step in enumerate(header.steps):
        numbers = f"{step.units:>6} {step.flops / 1e6:>9.2f} {step.bytes / 1e3:>9.1f}"
        host = step.family == "host"
        reason = f": {reasons.get(step.label, '')}" if host else ""
        runs, kernel = ("host", "") if host else ("native", step.family)
        lines.append(f"  {index:>4}  {runs:<6} {kernel:<20} {numbers}  {step.label}{reason}")
    return "\n".join([*lines, ""])


def _several(whole: PlanHeader) -> list[str]:
    if not whole.variants:
        return []
    return [f"  one of {1 + len(whole.variants)} plans: {describe_variants(whole)}; --shape shows another"]
