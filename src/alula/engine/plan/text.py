"""A plan as plain text: one step a line, with its kernel, work and memory; what `alula show plan` prints.

In: Plan. Out: text.
"""

from __future__ import annotations

from alula.engine.plan.records import NativeStep, Plan


def show_plan(plan: Plan) -> str:
    """The whole plan; each step says whether it is native, and a host step why it is not."""
    native = sum(isinstance(step, NativeStep) for step in plan.steps)
    weights = sum(array.nbytes for array in plan.weights)
    lines = [
        f"plan {plan.name} for {plan.target.name}: {native} steps native, {len(plan.steps) - native} host",
        f"  weights {_size(weights)}, arena {_size(plan.arena_bytes)}, scratch {_size(plan.scratch_bytes)} a worker",
        *(f"  input {spec}" for spec in plan.inputs),
        f"  {'':>4}  {'runs':<6} {'kernel':<20} {'units':>6} {'MFLOP':>9} {'moved':>9}  step",
    ]
    for index, step in enumerate(plan.steps):
        if isinstance(step, NativeStep):
            kernel, units = step.kernel.family, step.kernel.units
            text = f"native {kernel:<20} {units:>6} {step.flops / 1e6:>9.2f} {_size(step.bytes):>9}  {step.label}"
        else:
            text = f"host   {step.node.op:<20} {'':>6} {'':>9} {'':>9}  {step.label}: {step.reason}"
        lines.append(f"  {index:>4}  {text}")
    lines += [f"  output {spec}" for spec in plan.outputs]
    return "\n".join([*lines, ""])


def _size(count: int) -> str:
    return f"{count / 1024:.1f}K" if count < 1 << 20 else f"{count / (1 << 20):.2f}M"
