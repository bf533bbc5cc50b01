"""The checker of plans: replays the steps over a map of the arena and looks for overwritten values.

In: Plan. Out: nothing, or an InternalError that names the step. It shares no code with the planner.
"""

from __future__ import annotations

import math

from alula.base.errors import InternalError
from alula.engine.plan.records import HostStep, Operand, PlacedTensor, Plan, Step

_Bytes = tuple[int, int]


def check_plan(plan: Plan) -> None:
    """Verify that every operand lies inside its memory and that no value is read after it was overwritten.

    Raises:
        InternalError: the plan is wrong.
    """
    holders: dict[_Bytes, str] = {}
    for step in plan.steps:
        for operand in _operands(step):
            _check_range(plan, step, operand)
        reads = _check_reads(plan, step, holders)
        _replay_writes(plan, step, holders, reads)
        _check_pointers(plan, step)
    for spec, offset in zip(plan.outputs, plan.output_offsets, strict=True):
        size = math.prod(int(dim) for dim in spec.shape) * spec.dtype.itemsize
        if size and not any(start == offset and end - start >= size for start, end in holders):
            where = f"plan {plan.name}, output {spec.name}"
            raise InternalError(where, "needs to be there at the end", "it was overwritten or never made")


def _check_reads(plan: Plan, step: Step, holders: dict[_Bytes, str]) -> list[_Bytes]:
    """The intervals that a step reads."""
    reads = []
    for name in _reads(step):
        place = _interval(plan, name)
        if place:
            if holders.get(place) != _root(plan, name):
                raise _wrong(plan, step, f"value {name} at {place[0]}", "it was overwritten or never made")
            reads.append(place)
    return reads


def _replay_writes(plan: Plan, step: Step, holders: dict[_Bytes, str], reads: list[_Bytes]) -> None:
    busy = list(reads)
    for name in _writes(step):
        if _root(plan, name) not in plan.places:
            raise _wrong(plan, step, f"a place for {name}", "it has none")
        place = _interval(plan, name)
        if place is None:
            continue
        if place[1] > plan.arena_bytes:
            raise _wrong(plan, step, f"value {name} up to byte {place[1]}", f"the arena has {plan.arena_bytes}")
        if any(_meet(place, other) for other in busy):
            raise _wrong(plan, step, f"memory of its own for {name}", "another operand of the step lies there")
        for old in [old for old in holders if _meet(place, old)]:
            del holders[old]
        holders[place] = _root(plan, name)
        busy.append(place)


def _check_pointers(plan: Plan, step: Step) -> None:
    """Every pointer into the arena or to an output must be the place of a value that the step names."""
    named = [plan.places[name].operand.index for name in (*_reads(step), *_writes(step)) if name in plan.places]
    for operand in _operands(step):
        index = plan.output_offsets[operand.index] if operand.kind == "output" else operand.index
        if operand.kind in {"arena", "output"} and index not in named:
            raise _wrong(plan, step, f"{operand} to be one of its values", f"those are at {named}")


def _meet(a: _Bytes, b: _Bytes) -> bool:
    return a[0] < b[1] and b[0] < a[1]


def _operands(step: Step) -> list[Operand]:
    return [tensor.operand for tensor in _tensors(step)] if isinstance(step, HostStep) else list(step.operands)


def _tensors(step: HostStep) -> list[PlacedTensor]:
    return [tensor for tensor in (*step.inputs, *step.outputs) if tensor is not None]


def _reads(step: Step) -> list[str]:
    if isinstance(step, HostStep):
        return [tensor.name for tensor in step.inputs if tensor is not None]
    return list(step.inputs)


def _writes(step: Step) -> list[str]:
    return [tensor.name for tensor in step.outputs] if isinstance(step, HostStep) else list(step.outputs)


def _root(plan: Plan, name: str) -> str:
    return plan.roots.get(name, name)


def _interval(plan: Plan, name: str) -> _Bytes | None:
    """The bytes of a value in the arena; None for inputs and constants, and for empty values."""
    name = _root(plan, name)
    tensor = plan.places.get(name)
    if tensor is None:
        return None
    shape = list(tensor.shape)
    block = plan.blocks.get(name, 0)
    if block:
        shape[1] = -(-shape[1] // block) * block
    size = math.prod(shape) * tensor.dtype.itemsize
    return (tensor.operand.index, tensor.operand.index + size) if size else None


def _check_range(plan: Plan, step: Step, operand: Operand) -> None:
    limits = {
        "arena": plan.arena_bytes,
        "weights": len(plan.weights),
        "input": len(plan.inputs),
        "output": len(plan.outputs),
        "scratch": 1 if plan.scratch_bytes else 0,
    }
    empty = operand.kind == "arena" and operand.index == plan.arena_bytes
    if not (0 <= operand.index < limits[operand.kind] or empty):
        raise _wrong(plan, step, f"operand {operand}", f"there are {limits[operand.kind]}")


def _wrong(plan: Plan, step: Step, needed: str, found: str) -> InternalError:
    kind = step.reason if isinstance(step, HostStep) else step.kernel.family
    return InternalError(f"plan {plan.name}, step {step.label} ({kind})", f"needs {needed}", found)
