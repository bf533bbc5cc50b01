"""The checker of plans: replays the steps over a map of the arena and looks for overwritten values.

In: Plan. Out: nothing, or an InternalError that names the step. It shares no code with the planner.
"""

from __future__ import annotations

import math

from alula.base.errors import InternalError
from alula.engine.plan.records import HostStep, NativeStep, Operand, Plan, Step


def check_plan(plan: Plan) -> None:
    """Verify that every operand lies inside its memory and that no value is read after it was overwritten.

    Raises:
        InternalError: the plan is wrong.
    """
    holder: dict[tuple[int, int], str] = {}
    for step in plan.steps:
        for operand in _operands(step):
            _check_range(plan, step, operand)
        for name in _reads(step):
            place = _interval(plan, name)
            if place and holder.get(place) != plan.roots.get(name, name):
                raise _wrong(plan, step, f"value {name} at {place[0]}", "it was overwritten or never made")
        for name in _writes(step):
            place = _interval(plan, name)
            if place:
                overlapped = [old for old in holder if old[0] < place[1] and place[0] < old[1] and old != place]
                for old in overlapped:
                    del holder[old]
                holder[place] = name


def _operands(step: Step) -> list[Operand]:
    if isinstance(step, NativeStep):
        return list(step.operands)
    return [tensor.operand for tensor in (*step.inputs, *step.outputs) if tensor is not None]


def _reads(step: Step) -> list[str]:
    if isinstance(step, NativeStep):
        return list(step.inputs)
    return [tensor.name for tensor in step.inputs if tensor is not None]


def _writes(step: Step) -> list[str]:
    return list(step.outputs) if isinstance(step, NativeStep) else [tensor.name for tensor in step.outputs]


def _interval(plan: Plan, name: str) -> tuple[int, int] | None:
    name = plan.roots.get(name, name)
    tensor = plan.places.get(name)
    if tensor is None:
        return None
    shape = list(tensor.shape)
    block = plan.blocks.get(name, 0)
    if block:
        shape[1] = -(-shape[1] // block) * block
    size = math.prod(shape) * tensor.dtype.itemsize
    return tensor.operand.index, tensor.operand.index + max(size, 1)


def _check_range(plan: Plan, step: Step, operand: Operand) -> None:
    limits = {
        "arena": plan.arena_bytes,
        "weights": len(plan.weights),
        "input": len(plan.inputs),
        "output": len(plan.outputs),
        "scratch": 1 if plan.scratch_bytes else 0,
    }
    inside = 0 <= operand.index < limits[operand.kind] or (operand.kind == "arena" and operand.index == 0)
    if not inside:
        raise _wrong(plan, step, f"operand {operand}", f"there are {limits[operand.kind]}")


def _wrong(plan: Plan, step: Step, needed: str, found: str) -> InternalError:
    kind = step.reason if isinstance(step, HostStep) else step.kernel.family
    return InternalError(f"plan {plan.name}, step {step.label} ({kind})", f"needs {needed}", found)
