"""Plan -> Program: one function a distinct kernel, the entries that call them, all linked; weights laid out.

In: a Plan. Out: `Program`, which `file` writes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from alula.base.errors import InternalError
from alula.base.plan_format import ALIGNMENT, rounded_up
from alula.engine.kernels.call import Kernel
from alula.engine.kernels.target import Target
from alula.engine.plan.records import NativeStep, Plan
from alula.engine.program.check import check_addresses, check_program
from alula.engine.program.compile import compile_all
from alula.engine.program.entry import EntryLayout, emit_entries, native_segments, segment_name
from alula.engine.program.image import Image, link
from alula.engine.program.objects import ObjectStore
from alula.engine.program.support import LAUNCH, WORKER
from alula.engine.program.weights import WeightLayout, WeightPool


@dataclass(frozen=True)
class Program:
    """What a plan file holds besides the plan's own records.

    Attributes:
        image: code and constants, position-independent.
        entries: offset in the image of each native segment's entry.
        symbols: the function of each step, None for host steps.
        weights: where arrays lie.
        scratch: bytes between the scratch areas of two workers.
        worker: offset of the loop of worker threads.
        launch: offset of the function that wakes them.
    """

    image: Image
    entries: tuple[int, ...]
    symbols: tuple[str | None, ...]
    weights: WeightLayout
    scratch: int
    worker: int
    launch: int


def kernel_symbol(kernel: Kernel, target: Target) -> str:
    """The name of a kernel's function: its family and a digest of its record; equal records share it."""
    digest = hashlib.sha256(f"{kernel!r} {target!r}".encode()).hexdigest()[:16]
    return f"{re.sub(r'[^A-Za-z0-9_]', '_', kernel.family)}_{digest}"


def build_image(
    plan: Plan,
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
    store: ObjectStore | None = None,
    pool: WeightPool | None = None,
) -> Program:
    """Compile and link all code of a plan.

    Args:
        plan: checked here for addresses outside memory.
        jobs: processes to compile with.
        progress: called with (modules done, modules in all).
        store: kernels of earlier compilations.
        pool: where weights are laid out, those of other plans of the same file before them.

    Raises:
        InternalError: the plan, or code that a kernel emitted, breaks a rule.
    """
    check_addresses(plan)
    weights = (pool or WeightPool()).add(plan.weights)
    scratch = rounded_up(plan.scratch_bytes, ALIGNMENT)
    symbols, kernels = _symbols(plan)
    texts = {symbol: kernel.emit(symbol, plan.target) for symbol, kernel in kernels.items()}
    texts["entries"] = emit_entries(plan, symbols, EntryLayout(weights.offsets, len(plan.inputs), scratch))
    image = link(compile_all(texts, plan.target, jobs, progress, store))
    segments = native_segments(plan)
    entries = tuple(image.symbols[segment_name(number)] for number in range(len(segments)))
    check_program(entries, len(image.data), len(segments))
    return Program(image, entries, symbols, weights, scratch, image.symbols[WORKER], image.symbols[LAUNCH])


def _symbols(plan: Plan) -> tuple[tuple[str | None, ...], Mapping[str, Kernel]]:
    """The function of each step, and the kernel behind each function."""
    kernels: dict[str, Kernel] = {}
    symbols: list[str | None] = []
    for step in plan.steps:
        if not isinstance(step, NativeStep):
            symbols.append(None)
            continue
        symbol = kernel_symbol(step.kernel, plan.target)
        if kernels.setdefault(symbol, step.kernel) != step.kernel:
            raise InternalError(step.label, "kernels that differ to print differently", f"both are {step.kernel!r}")
        symbols.append(symbol)
    return tuple(symbols), kernels
