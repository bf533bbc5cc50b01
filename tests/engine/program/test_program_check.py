from __future__ import annotations

from dataclasses import replace

import pytest
from support.plans import INPUT, OUTPUT, STEPS, arena, combine, host, placed, plan, spec

from alula.base.errors import InternalError
from alula.base.tensors import DType, TensorSpec
from alula.engine.plan.records import Operand, Plan
from alula.engine.program.check import check_addresses, check_program

SYMBOLIC = TensorSpec("x", DType.FLOAT32, ("N",))


@pytest.mark.parametrize(
    ("broken", "found"),
    [
        (plan((combine("fadd", arena(7), INPUT, OUTPUT),)), "arena"),
        (plan((combine("fadd", Operand("arena", -64), INPUT, OUTPUT),)), "arena"),
        (plan((combine("fadd", Operand("weights", 2), INPUT, OUTPUT),)), "weights"),
        (plan((combine("fadd", Operand("input", 1), INPUT, OUTPUT),)), "input"),
        (plan((combine("fadd", INPUT, INPUT, Operand("output", 2)),)), "output"),
        (replace(plan(), scratch_bytes=64), "scratch"),
        (replace(plan(), output_offsets=(0,)), "arena offsets"),
        (replace(plan(), output_offsets=(0, 256 * 6 - 64)), "memory ends"),
        (replace(plan(), output_offsets=(0, 257)), "border"),
        (replace(plan(), inputs=(SYMBOLIC,)), "numbers"),
        (plan((host(INPUT, Operand("scratch")),)), "scratch"),
        (plan((host(INPUT, Operand("arena", 256 * 6 - 64)),)), "memory ends"),
        (plan(places={"v": placed("v", arena(0), 10_000)}), "memory ends"),
        (plan(places={"v": placed("v", OUTPUT, 38)}), "memory ends"),
        (plan(places={"v": placed("v", Operand("weights", 0), 38)}), "memory ends"),
    ],
)
def test_addresses_outside_memory_are_found(broken: Plan, found: str) -> None:
    """Generated code checks nothing, so the plan is checked before code is made of it."""
    with pytest.raises(InternalError, match=found):
        check_addresses(broken)


def test_a_plan_that_fits_passes() -> None:
    """The checker is not merely strict."""
    check_addresses(plan())
    check_addresses(replace(plan(STEPS), inputs=(spec("x"),)))


@pytest.mark.parametrize(("entries", "segments"), [((0,), 2), ((100,), 1), ((-1,), 1)])
def test_entries_outside_the_image_are_found(entries: tuple[int, ...], segments: int) -> None:
    """An entry is jumped to."""
    with pytest.raises(InternalError, match="entries"):
        check_program(entries, 100, segments)
