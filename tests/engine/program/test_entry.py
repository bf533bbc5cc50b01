from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from support.plans import INPUT, LENGTH, OUTPUT, STEPS, Combine, arena, combine, host, plan, saved

from alula.engine.kernels.ir import Carried, Function, Index, module
from alula.engine.kernels.target import Target
from alula.engine.plan.records import NativeStep
from alula.engine.program.entry import EntryLayout, emit_entries, native_segments
from alula.engine.runtime.session import open_plan

X = np.arange(LENGTH, dtype=np.float32)


@dataclass(frozen=True)
class Total:
    """out[i] = sum of all of a, plus b[i]; as many units as told, each writing its part of the output."""

    units: int
    family: str = "total"
    scratch: int = 0

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR."""
        function = Function(name, ["a", "b", "out"], target)
        share = LENGTH // self.units if self.units > 1 else LENGTH

        def one(index: Index, carried: Carried) -> Carried:
            def add(inner: Index, sums: Carried) -> Carried:
                return [function.op(f"fadd float {sums[0]}, {function.load_scalar('%a', inner)}")]

            (total,) = function.loop(0, LENGTH, 1, add, ["0.0"], "float")
            value = function.op(f"fadd float {total}, {function.load_scalar('%b', index)}")
            function.store_scalar(value, "%out", index)
            return carried

        function.loop(function.mul("%lo", share), function.mul("%hi", share), 1, one)
        return module(function)


def total(units: int, a: int, b: int, out: int) -> NativeStep:
    """A step of `Total` between arena slots."""
    return NativeStep(Total(units), (arena(a), arena(b), arena(out)), "total", 0, 0, ("total",))


ALTERNATING = (
    combine("fadd", INPUT, INPUT, arena(0)),
    total(1, 0, 0, 1),
    total(1, 1, 0, 2),
    total(LENGTH, 2, 1, 3),
    total(1, 3, 2, 0),
    combine("fadd", arena(0), arena(3), OUTPUT),
)


@pytest.mark.parametrize("threads", [2, 4])
def test_steps_of_one_unit_wait_for_the_others(tmp_path: Path, threads: int) -> None:
    """A step that one worker does alone reads what all wrote before, and all see what it wrote."""
    path = saved(tmp_path, plan(ALTERNATING))
    alone = open_plan(path, threads=1).run({"x": X})["y"].tolist()
    session = open_plan(path, threads=threads)

    answers = [session.run({"x": X})["y"].tolist() for _ in range(200)]

    assert alone[0] > 0
    assert answers == [alone] * 200


def test_barriers_stand_only_where_work_was_shared() -> None:
    """Between two steps that worker 0 does alone, nobody has to be waited for."""
    text = emit_entries(plan(ALTERNATING), ["k"] * 6, EntryLayout((0, 192), 1, 192))
    calls = [line for line in text.splitlines() if "call void @alula_barrier" in line]

    # Five gaps, one of them between two lone steps, and the last barrier.
    assert len(calls) == 5


def test_segments_are_runs_of_native_steps() -> None:
    """A host step splits the plan."""
    split = plan((host(INPUT, arena(0)), *STEPS, host(arena(0), OUTPUT), STEPS[0]))

    assert native_segments(split) == ((1, 5), (6, 7))
    assert native_segments(plan((host(INPUT, OUTPUT),))) == ()


@pytest.mark.parametrize("threads", [1, 2])
def test_denormals_count_as_zero_inside_a_run_only(tmp_path: Path, threads: int) -> None:
    """Denormals make a network up to 90 times slower; the caller's own arithmetic keeps them."""
    session = open_plan(saved(tmp_path, plan((combine("fadd", INPUT, INPUT, OUTPUT),))), threads=threads)
    tiny = np.full(LENGTH, 1e-39, np.float32)

    inside = session.run({"x": tiny})["y"].tolist()
    outside = (tiny + tiny).tolist()

    assert inside == [0.0] * LENGTH
    assert outside[0] > 0


def test_more_workers_than_units_leave_some_without_work(tmp_path: Path) -> None:
    """A worker without a share does not call the kernel."""
    step = NativeStep(Combine("fadd", 2), (INPUT, INPUT, OUTPUT), "two", 0, 0, ("two",))
    session = open_plan(saved(tmp_path, plan((step,))), threads=5)

    assert session.run({"x": X + 1})["y"].tolist()[:3] == [2.0, 4.0, 0.0]
