"""The functions that run a plan: one a native segment, calling its kernels in order, with barriers between.

In: steps, the symbols of their kernels, offsets of weights. Out: the text of one module with `alula_segment_0...`,
each `void (ptr context, i64 worker)`. The context block is described in `base/plan_format.py`. Nothing outside the
module and the kernels is called: a worker that has waited long gives the processor away by a system call of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from alula.base.hardware import machine as this_machine
from alula.base.plan_format import (
    BARRIER_GENERATION,
    SLOT_ARENA,
    SLOT_BARRIER,
    SLOT_POINTERS,
    SLOT_SCRATCH,
    SLOT_WEIGHTS,
    SLOT_WORKERS,
    machine_of,
)
from alula.engine.kernels.target import Target
from alula.engine.plan.records import NativeStep, Operand, Plan

# About 20 to 60 microseconds of pauses: longer than steps differ when nothing disturbs them.
_SPINS = 2000

_Body = Callable[[], None]


@dataclass(frozen=True)
class EntryLayout:
    """Where things lie in the context block and in the weights part.

    Attributes:
        weights: byte offset of each weight array.
        inputs: number of model inputs; output pointers follow theirs.
        scratch: bytes between the scratch areas of two workers.
    """

    weights: tuple[int, ...]
    inputs: int
    scratch: int


def segment_name(index: int) -> str:
    """The symbol of a native segment."""
    return f"alula_segment_{index}"


def native_segments(plan: Plan) -> tuple[tuple[int, int], ...]:
    """The maximal runs of native steps, as half-open ranges of step indices."""
    ranges: list[tuple[int, int]] = []
    for index, step in enumerate(plan.steps):
        if not isinstance(step, NativeStep):
            continue
        if ranges and ranges[-1][1] == index:
            ranges[-1] = (ranges[-1][0], index + 1)
        else:
            ranges.append((index, index + 1))
    return tuple(ranges)


def emit_entries(plan: Plan, symbols: Sequence[str | None], layout: EntryLayout) -> str:
    """The text of the entry module.

    Args:
        plan: the steps.
        symbols: the kernel symbol of each step, None for host steps.
        layout: where operands lie.
    """
    parts = [_support(plan.target)]
    declared: set[str] = set()
    for number, (first, last) in enumerate(native_segments(plan)):
        writer = _Segment(segment_name(number), plan.target, layout)
        for index in range(first, last):
            step, symbol = plan.steps[index], symbols[index]
            if isinstance(step, NativeStep) and symbol is not None:
                declared.add(f"declare void @{symbol}({', '.join(['ptr'] * len(step.operands) + ['i64', 'i64'])})")
                writer.step(step, symbol)
        parts.append(writer.text())
    return "\n".join([*sorted(declared), "", *parts])


class _Segment:
    """One entry function under construction."""

    def __init__(self, name: str, target: Target, layout: EntryLayout) -> None:
        self._layout = layout
        self._count = 0
        self._split = True
        self._lines = [f"define void @{name}(ptr %context, i64 %worker) nounwind {{", "entry:"]
        self._workers = self._slot(SLOT_WORKERS, "i64")
        self._barrier = self._slot(SLOT_BARRIER)
        self._weights = self._slot(SLOT_WEIGHTS)
        self._arena = self._slot(SLOT_ARENA)
        base = self._slot(SLOT_SCRATCH)
        offset = self._op(f"mul i64 %worker, {layout.scratch}")
        self._scratch = self._op(f"getelementptr i8, ptr {base}, i64 {offset}")
        self._following = self._op("add i64 %worker, 1")
        self._machine = machine_of(target.triple)
        self._saved = self._op("call i32 @alula_flush_denormals()") if self._machine == "x86_64" else ""
        if self._machine == "aarch64":
            self._saved = self._op("call i64 @alula_flush_denormals()")
        self._began = False

    def step(self, step: NativeStep, symbol: str) -> None:
        """Append a step, with a barrier before it unless only worker 0 has been and will be busy."""
        units = step.kernel.units
        alone = units == 1
        if self._began and (self._split or not alone):
            self._line(f"call void @alula_barrier(ptr {self._barrier}, i64 {self._workers})")
        self._began, self._split = True, not alone
        # Address arithmetic stands before the branch: it is free, and the block after it starts clean.
        pointers = [self._pointer(operand) for operand in step.operands]
        if alone:
            self._guarded("eq", "%worker", "0", lambda: self._call(symbol, pointers, "0", "1"))
            return
        low, high = self._share("%worker", units), self._share(self._following, units)
        self._guarded("ult", low, high, lambda: self._call(symbol, pointers, low, high))

    def text(self) -> str:
        """The finished function; the last barrier is worker 0's proof that all results are there."""
        self._line(f"call void @alula_barrier(ptr {self._barrier}, i64 {self._workers})")
        if self._saved:
            kind = "i32" if self._machine == "x86_64" else "i64"
            self._line(f"call void @alula_restore_denormals({kind} {self._saved})")
        return "\n".join([*self._lines, "  ret void", "}", ""])

    def _share(self, worker: str, units: int) -> str:
        scaled = self._op(f"mul i64 {worker}, {units}")
        return self._op(f"udiv i64 {scaled}, {self._workers}")

    def _call(self, symbol: str, pointers: Sequence[str], low: str, high: str) -> None:
        arguments = ", ".join([f"ptr {pointer}" for pointer in pointers] + [f"i64 {low}", f"i64 {high}"])
        self._line(f"call void @{symbol}({arguments})")

    def _guarded(self, relation: str, a: str, b: str, body: _Body) -> None:
        condition = self._op(f"icmp {relation} i64 {a}, {b}")
        self._count += 1
        label = self._count
        self._line(f"br i1 {condition}, label %run{label}, label %after{label}")
        self._lines.append(f"run{label}:")
        body()
        self._line(f"br label %after{label}")
        self._lines.append(f"after{label}:")

    def _pointer(self, operand: Operand) -> str:
        if operand.kind == "scratch":
            return self._scratch
        if operand.kind == "input":
            return self._slot(SLOT_POINTERS + operand.index)
        if operand.kind == "output":
            return self._slot(SLOT_POINTERS + self._layout.inputs + operand.index)
        if operand.kind == "weights":
            return self._op(f"getelementptr i8, ptr {self._weights}, i64 {self._layout.weights[operand.index]}")
        return self._op(f"getelementptr i8, ptr {self._arena}, i64 {operand.index}")

    def _slot(self, index: int, kind: str = "ptr") -> str:
        address = self._op(f"getelementptr i64, ptr %context, i64 {index}")
        return self._op(f"load {kind}, ptr {address}, align 8")

    def _op(self, text: str) -> str:
        self._count += 1
        self._line(f"%v{self._count} = {text}")
        return f"%v{self._count}"

    def _line(self, text: str) -> None:
        self._lines.append(f"  {text}")


def _support(target: Target) -> str:
    """The barrier and, where the architecture is known, the switching of denormals."""
    machine = machine_of(target.triple)
    pause, declaration = _PAUSE.get(machine, ("", ""))
    # LLVM's Python package assembles text for the machine it runs on only; elsewhere waiting workers just spin.
    give_way = _YIELD.get(machine, "") if machine == this_machine() else ""
    barrier = _BARRIER.replace("PAUSE", pause).replace("YIELD", give_way)
    barrier = barrier.replace("GENERATION", str(BARRIER_GENERATION)).replace("SPINS", str(_SPINS))
    return declaration + barrier + _DENORMALS.get(machine, "")


_PAUSE = {
    "x86_64": ("call void @llvm.x86.sse2.pause()", "declare void @llvm.x86.sse2.pause()"),
    "aarch64": ("call void @llvm.aarch64.hint(i32 1)", "declare void @llvm.aarch64.hint(i32)"),
}

# sched_yield is system call 24 on x86-64 Linux (arch/x86/entry/syscalls/syscall_64.tbl); rcx and r11 are its losses.
_YIELD = {
    "x86_64": '%ignored = call i64 asm sideeffect "syscall", '
    '"={rax},{rax},~{rcx},~{r11},~{memory},~{dirflag},~{fpsr},~{flags}"(i64 24)',
}

# The classic central barrier with a generation in place of a sense (Mellor-Crummey and Scott 1991, algorithm 7). The
# last to arrive resets the count and opens the gate; a run leaves the count at 0 for the next one.
_BARRIER = """
define internal void @alula_barrier(ptr %block, i64 %workers) noinline nounwind {
entry:
  %alone = icmp eq i64 %workers, 1
  br i1 %alone, label %done, label %arrive
arrive:
  %gate = getelementptr i8, ptr %block, i64 GENERATION
  %before = load atomic i64, ptr %gate monotonic, align 8
  %earlier = atomicrmw add ptr %block, i64 1 acq_rel
  %count = add i64 %earlier, 1
  %last = icmp eq i64 %count, %workers
  br i1 %last, label %open, label %wait
open:
  store atomic i64 0, ptr %block monotonic, align 8
  %next = add i64 %before, 1
  store atomic i64 %next, ptr %gate release, align 8
  br label %done
wait:
  %spins = phi i64 [ 0, %arrive ], [ %more, %again ]
  %now = load atomic i64, ptr %gate acquire, align 8
  %opened = icmp ne i64 %now, %before
  br i1 %opened, label %done, label %stay
stay:
  %more = add i64 %spins, 1
  %long = icmp ugt i64 %more, SPINS
  br i1 %long, label %yield, label %pause
pause:
  PAUSE
  br label %again
yield:
  YIELD
  br label %again
again:
  br label %wait
done:
  ret void
}
"""

# Results that decayed below 1.2e-38 made one network 90 times slower, so they count as zero inside a run. MXCSR bits
# 15 and 6 are flush-to-zero and denormals-are-zero (Intel SDM volume 1, 10.2.3); FPCR bit 24 is FZ (Arm ARM, FPCR).
_DENORMALS = {
    "x86_64": """
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)

define internal i32 @alula_flush_denormals() noinline nounwind {
  %slot = alloca i32, align 4
  call void @llvm.x86.sse.stmxcsr(ptr %slot)
  %old = load i32, ptr %slot, align 4
  %new = or i32 %old, 32832
  store i32 %new, ptr %slot, align 4
  call void @llvm.x86.sse.ldmxcsr(ptr %slot)
  ret i32 %old
}

define internal void @alula_restore_denormals(i32 %old) noinline nounwind {
  %slot = alloca i32, align 4
  store i32 %old, ptr %slot, align 4
  call void @llvm.x86.sse.ldmxcsr(ptr %slot)
  ret void
}
""",
    "aarch64": """
declare i64 @llvm.aarch64.get.fpcr()
declare void @llvm.aarch64.set.fpcr(i64)

define internal i64 @alula_flush_denormals() noinline nounwind {
  %old = call i64 @llvm.aarch64.get.fpcr()
  %new = or i64 %old, 16777216
  call void @llvm.aarch64.set.fpcr(i64 %new)
  ret i64 %old
}

define internal void @alula_restore_denormals(i64 %old) noinline nounwind {
  call void @llvm.aarch64.set.fpcr(i64 %old)
  ret void
}
""",
}
