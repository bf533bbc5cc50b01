"""A plan file as text; needs neither the compiler nor numpy, so that it works where plans run.

In: a .alula file. Out: text.
"""

from __future__ import annotations

import os

from alula.engine.runtime.file import read_header


def plan_file_text(path: str | os.PathLike[str]) -> str:
    """What a plan file says of itself."""
    header = read_header(path)
    lines = [
        f"plan {header.model} for {header.target}, written by alula {header.alula}",
        f"  weights {header.parts['weights'].size / 1e6:.2f} MB, code {header.parts['code'].size / 1e3:.1f} kB",
        f"  arena {header.arena_bytes / 1e6:.2f} MB, scratch {header.scratch_bytes / 1e3:.1f} kB a worker",
        *(f"  input {spec}" for spec in header.inputs),
        *(f"  output {spec}" for spec in header.outputs),
        *(f"  carries {name} ({size} bytes)" for name, (_, size) in header.extras.items()),
        f"  {'':>4}  {'kernel':<20} {'units':>6} {'MFLOP':>9} {'moved KB':>9}  step",
    ]
    for index, step in enumerate(header.steps):
        numbers = f"{step.units:>6} {step.flops / 1e6:>9.2f} {step.bytes / 1e3:>9.1f}"
        lines.append(f"  {index:>4}  {step.family:<20} {numbers}  {step.label}")
    return "\n".join([*lines, ""])
