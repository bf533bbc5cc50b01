"""The checkers of this room: that every address of a plan lies in memory, and that the linked code is whole.

In: a Plan, a Program. Out: nothing, or an InternalError that names the first broken rule.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from alula.base.errors import InternalError
from alula.base.plan_format import ALIGNMENT, stored_shape
from alula.base.tensors import TensorSpec
from alula.engine.plan.records import HostStep, NativeStep, Operand, PlacedTensor, Plan


def check_addresses(plan: Plan) -> None:
    """Verify that operands point into memory that will be there, before code with them is made.

    Raises:
        InternalError: an operand or tensor lies outside, an end of the model has no fixed shape, or scratch is short.
    """
    for spec in (*plan.inputs, *plan.outputs):
        _bytes_of(spec)
    if len(plan.output_offsets) != len(plan.outputs):
        raise _broken("outputs", f"{len(plan.outputs)} arena offsets", f"{len(plan.output_offsets)}")
    for spec, offset in zip(plan.outputs, plan.output_offsets, strict=True):
        _check_range(f"output {spec.name}", offset, _bytes_of(spec), plan.arena_bytes)
    for step in plan.steps:
        if isinstance(step, NativeStep):
            _check_native(plan, step)
        else:
            _check_host(plan, step)
    for name, placed in plan.places.items():
        _check_placed(plan, f"value {name}", placed, plan.blocks.get(name, 0))


def check_program(entries: Sequence[int], size: int, segments: int) -> None:
    """Verify that there is one entry a native segment, and that each lies in the image.

    Raises:
        InternalError: otherwise.
    """
    if len(entries) != segments:
        raise _broken("image", f"{segments} entries", f"it has {len(entries)}")
    for entry in entries:
        if not 0 <= entry < size:
            raise _broken("image", f"entries below {size}", f"one at {entry}")


def _check_native(plan: Plan, step: NativeStep) -> None:
    if step.kernel.units < 1:
        raise _broken(step.label, "at least one unit of work", f"{step.kernel.units}")
    if step.kernel.scratch > plan.scratch_bytes:
        raise _broken(step.label, f"{step.kernel.scratch} bytes of scratch", f"the plan has {plan.scratch_bytes}")
    for operand in step.operands:
        _check_operand(plan, step.label, operand)


def _check_host(plan: Plan, step: HostStep) -> None:
    for placed in (*step.inputs, *step.outputs):
        if placed is not None:
            _check_placed(plan, step.label, placed, 0)


def _check_operand(plan: Plan, where: str, operand: Operand) -> None:
    ends = {
        "arena": plan.arena_bytes,
        "weights": len(plan.weights),
        "input": len(plan.inputs),
        "output": len(plan.outputs),
        "scratch": 1,
    }
    # An empty tensor may stand at the very end of the arena.
    end = ends[operand.kind] + (operand.kind == "arena")
    if not 0 <= operand.index < end:
        raise _broken(where, f"{operand.kind} operands below {end}", f"{operand}")


def _check_placed(plan: Plan, where: str, placed: PlacedTensor, block: int) -> None:
    operand = placed.operand
    _check_operand(plan, where, operand)
    size = math.prod(stored_shape(placed.shape, block)) * placed.dtype.itemsize
    if operand.kind == "arena":
        _check_range(where, operand.index, size, plan.arena_bytes)
    elif operand.kind == "weights":
        _check_range(where, 0, size, plan.weights[operand.index].nbytes)
    elif operand.kind == "scratch":
        raise _broken(where, f"a place for {placed.name} that outlives a step", "scratch")
    else:
        specs = plan.inputs if operand.kind == "input" else plan.outputs
        _check_range(where, 0, size, _bytes_of(specs[operand.index]))


def _check_range(where: str, offset: int, size: int, end: int) -> None:
    if offset < 0 or offset + size > end:
        raise _broken(where, f"bytes {offset} to {offset + size}", f"the memory ends at {end}")
    if offset % ALIGNMENT:
        raise _broken(where, f"an offset on a border of {ALIGNMENT}", f"{offset}")


def _bytes_of(spec: TensorSpec) -> int:
    if not all(isinstance(dim, int) and dim >= 0 for dim in spec.shape):
        raise _broken(spec.name, "dimensions that are numbers", f"{spec}")
    return math.prod(dim for dim in spec.shape if isinstance(dim, int)) * spec.dtype.itemsize


def _broken(where: str, needed: str, found: str) -> InternalError:
    return InternalError(f"plan, {where}", f"needs {needed}", found)
