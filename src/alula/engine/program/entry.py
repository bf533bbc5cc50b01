"""The functions that run a plan: one a native segment, calling its kernels in order, with barriers between.

In: steps, the symbols of their kernels, offsets of weights. Out: the text of one module with `alula_segment_0...`,
each `void (ptr context, i64 worker)`, and what wakes and parks workers (`support`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from alula.base.plan_format import (
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
from alula.engine.program.support import support_text

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
    parts = [support_text(plan.target)]
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
