"""Tiny plans made by hand, with kernels of a few instructions, for tests of programs and of the runtime."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alula.base.hardware import cpu_flags
from alula.base.tensors import DType, TensorSpec
from alula.engine.graph.nodes import Array, Attribute, Node
from alula.engine.kernels.ir import Carried, Function, Index, module
from alula.engine.kernels.target import TARGETS, Target, best_target
from alula.engine.plan.records import HostStep, NativeStep, Operand, PlacedTensor, Plan
from alula.engine.program.file import write_plan

LENGTH = 37
RUNNABLE = tuple(target for target in TARGETS if cpu_flags().issuperset(target.needs))


@dataclass(frozen=True)
class Combine:
    """out[i] = a[i] `op` b[i], one float a unit."""

    op: str
    units: int
    scratch: int = 0

    @property
    def family(self) -> str:
        """The algorithm's word."""
        return self.op

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR."""
        function = Function(name, ["a", "b", "out"], target)

        def one(index: Index, carried: Carried) -> Carried:
            a, b = function.load_scalar("%a", index), function.load_scalar("%b", index)
            function.store_scalar(function.op(f"{self.op} float {a}, {b}"), "%out", index)
            return carried

        function.loop("%lo", "%hi", 1, one)
        return module(function)


@dataclass(frozen=True)
class Smooth:
    """out[i] = a[i - 1] + a[i + 1], missing neighbours counting 0, through the worker's scratch; reads other units."""

    units: int
    family: str = "smooth"

    @property
    def scratch(self) -> int:
        """Room for all units."""
        return 4 * self.units

    def emit(self, name: str, target: Target) -> str:
        """LLVM IR."""
        function = Function(name, ["a", "scratch", "out"], target)

        def gather(index: Index, carried: Carried) -> Carried:
            before, after = function.sub(index, 1), function.add(index, 1)
            left = function.load_scalar("%a", function.most(before, 0))
            right = function.load_scalar("%a", function.least(after, self.units - 1))
            left = function.choose(function.compare("eq", index, 0), "0.0", left, "float")
            right = function.choose(function.compare("eq", after, self.units), "0.0", right, "float")
            function.store_scalar(function.op(f"fadd float {left}, {right}"), "%scratch", index)
            return carried

        def copy(index: Index, carried: Carried) -> Carried:
            function.store_scalar(function.load_scalar("%scratch", index), "%out", index)
            return carried

        function.loop("%lo", "%hi", 1, gather)
        function.loop("%lo", "%hi", 1, copy)
        return module(function)


def spec(name: str, length: int = LENGTH) -> TensorSpec:
    """A vector of floats."""
    return TensorSpec(name, DType.FLOAT32, (length,))


def arena(slot: int) -> Operand:
    """The arena in slots that hold one vector each."""
    return Operand("arena", 256 * slot)


def combine(op: str, a: Operand, b: Operand, out: Operand, label: str = "") -> NativeStep:
    """A step of `Combine`."""
    return NativeStep(Combine(op, LENGTH), (a, b, out), label or op, LENGTH, 12 * LENGTH, (label or op,))


def smooth(a: Operand, out: Operand) -> NativeStep:
    """A step of `Smooth`."""
    return NativeStep(Smooth(LENGTH), (a, Operand("scratch"), out), "smooth", LENGTH, 8 * LENGTH, ("smooth",))


def placed(name: str, operand: Operand, length: int = LENGTH) -> PlacedTensor:
    """A vector at a place."""
    return PlacedTensor(name, DType.FLOAT32, (length,), operand)


def host(a: Operand, out: Operand, attributes: Mapping[str, Attribute] | None = None) -> HostStep:
    """A step that only the host can do."""
    node = Node("Sort", ("a", ""), ("sorted",), attributes or {}, "sorter", "test")
    return HostStep(node, (placed("a", a), None), (placed("sorted", out),), "sorter", "no native kernel")


WEIGHTS = np.linspace(-2, 2, LENGTH, dtype=np.float32)
INPUT, OUTPUT, SECOND = Operand("input", 0), Operand("output", 0), Operand("output", 1)
STEPS = (
    combine("fadd", INPUT, Operand("weights", 0), arena(1), "sum"),
    smooth(arena(1), arena(2)),
    combine("fmul", arena(2), INPUT, OUTPUT, "y"),
    combine("fsub", arena(2), Operand("weights", 1), SECOND, "z"),
)


def expected(x: Array) -> dict[str, list[float]]:
    """What `STEPS` compute."""
    total = np.pad(x + WEIGHTS, 1)
    smoothed = total[:-2] + total[2:]
    return {"y": (smoothed * x).tolist(), "z": (smoothed - WEIGHTS * 2).tolist()}


def plan(
    steps: tuple[NativeStep | HostStep, ...] = STEPS,
    target: Target | None = None,
    places: Mapping[str, PlacedTensor] | None = None,
) -> Plan:
    """One input `x`, outputs `y` and `z`, an arena of six slots, the last two of them for the outputs."""
    return Plan(
        name="tiny",
        target=target or best_target(cpu_flags()),
        inputs=(spec("x"),),
        outputs=(spec("y"), spec("z")),
        steps=steps,
        weights=(WEIGHTS, WEIGHTS * 2),
        arena_bytes=256 * 6,
        scratch_bytes=4 * LENGTH,
        output_offsets=(256 * 4, 256 * 5),
        places=places or {},
        metadata={"author": "tests"},
    )


def saved(folder: Path, made: Plan, extras: Mapping[str, bytes] | None = None) -> Path:
    """The plan as a file."""
    path = folder / "tiny.alula"
    write_plan(made, path, extras or {})
    return path


def resident_pages() -> int:
    """Pages of this process that are in memory (proc(5), /proc/self/statm)."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") // 4096
