"""Files of several plans, made by hand: one vector operation for each of several lengths.

In: a folder. Out: the path of a `.alula` file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from alula.base.hardware import cpu_flags
from alula.engine.kernels.target import best_target
from alula.engine.plan.records import NativeStep, Operand, Plan
from alula.engine.program.build import Program, build_image
from alula.engine.program.file import save_programs
from alula.engine.program.weights import WeightPool
from support.plans import INPUT, OUTPUT, Combine, placed, spec

LENGTHS = (8, 3, 21)
SHARED = np.arange(1024, dtype=np.float32)


def sum_plan(length: int) -> Plan:
    """y = x + the first `length` numbers of a weight that all plans have."""
    step = NativeStep(Combine("fadd", length), (INPUT, Operand("weights", 0), OUTPUT), "sum", length, 0, ("y",))
    return Plan(
        name="sums",
        target=best_target(cpu_flags()),
        inputs=(spec("x", length),),
        outputs=(spec("y", length),),
        steps=(step,),
        weights=(SHARED.copy(),),
        arena_bytes=256,
        scratch_bytes=0,
        output_offsets=(0,),
        places={"y": placed("y", Operand("arena", 0), length)},
    )


def saved_several(folder: Path, lengths: Sequence[int] = LENGTHS, extras: Mapping[str, bytes] | None = None) -> Path:
    """One file for all the lengths, in their order."""
    pool = WeightPool()
    programs: list[tuple[Plan, Program]] = []
    for length in lengths:
        plan = sum_plan(length)
        programs.append((replace(plan, weights=()), build_image(plan, pool=pool)))
    path = folder / "several.alula"
    save_programs(programs, path, extras or {})
    return path
