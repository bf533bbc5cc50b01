"""Runs the segments of an opened plan over memory that was laid out beforehand.

In: checked buffers. Out: tensors. The context block that generated code reads is described in `base/plan_format.py`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from alula.base.plan_format import (
    SLOT_ARENA,
    SLOT_BARRIER,
    SLOT_POINTERS,
    SLOT_SCRATCH,
    SLOT_WEIGHTS,
    SLOT_WORKERS,
)
from alula.base.tensors import Tensor, TensorSpec
from alula.engine.runtime.buffers import Bound
from alula.engine.runtime.file import PlanFile
from alula.engine.runtime.header import HostCall, NativeCall, Placed
from alula.engine.runtime.memory import Arena, address_of
from alula.engine.runtime.threads import WorkerPool, pool_if_made, shared_pool

# Runs one node: reads the inputs (None for one that is left out) and fills the outputs.
Host = Callable[[HostCall, Sequence["Tensor | None"], Sequence[Tensor]], None]

_ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
_LAUNCH = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)


class _Native(NamedTuple):
    """The entry of a native segment, as a function and as an address."""

    run: Callable[[int, int], None]
    address: int


class Runner:
    """Arena, context block, and the calls of a run; owned by one session, used by one thread at a time.

    Args:
        file: the opened plan.
        workers: threads of a run.
        host: runs the steps without native code; needed if there are any.
    """

    def __init__(self, file: PlanFile, workers: int, host: Host | None) -> None:
        header = file.header
        self._pool: WorkerPool | None = None
        self._file = file
        self._host = host
        self._workers = workers
        self._arena = Arena(header.arena_bytes, header.scratch_bytes, workers)
        self._context = (ctypes.c_uint64 * (SLOT_POINTERS + len(header.inputs) + len(header.outputs)))()
        self._address = ctypes.addressof(self._context)
        self._first_output = SLOT_POINTERS + len(header.inputs)
        self._context[SLOT_WEIGHTS] = address_of(file.weights) if file.weights else 0
        self._context[SLOT_ARENA] = self._arena.base
        self._context[SLOT_SCRATCH] = self._arena.scratch
        self._context[SLOT_WORKERS] = 1
        self._context[SLOT_BARRIER] = self._arena.barrier
        self._reset_outputs()
        self._bound: Sequence[Bound] = ()
        self._given: Mapping[str, Bound] = {}
        base = address_of(file.code) if file.code else 0
        self._worker = base + header.worker
        self._launch = _LAUNCH(base + header.launch)
        self._calls = tuple(
            _Native(_ENTRY(base + segment.entry), base + segment.entry) if isinstance(segment, NativeCall) else segment
            for segment in header.segments
        )
        self._names = {spec.name: index for index, spec in enumerate(header.outputs)}
        self._results = MappingProxyType({spec.name: self._output(index) for spec, index in self._specs()})

    def run(self, inputs: Sequence[Bound]) -> Mapping[str, Tensor]:
        """One run; results in the arena."""
        for slot, bound in enumerate(inputs, SLOT_POINTERS):
            self._context[slot] = bound.address
        self._bound = inputs
        try:
            self._execute()
        finally:
            self._bound = ()
        return self._results

    def run_into(self, inputs: Sequence[Bound], outputs: Mapping[str, Bound]) -> Mapping[str, Tensor]:
        """One run; the given outputs are written where they shall be."""
        for name, bound in outputs.items():
            self._context[self._first_output + self._names[name]] = bound.address
        self._given = outputs
        try:
            self.run(inputs)
            return {spec.name: self._output(index) for spec, index in self._specs()}
        finally:
            self._given = {}
            self._reset_outputs()

    def tensor(self, placed: Placed, shape: tuple[int, ...]) -> Tensor:
        """The tensor at a place, in a shape of the same size."""
        return Tensor(self._memory(placed)[: placed.nbytes], placed.dtype, shape)

    def __del__(self) -> None:
        """Wait for workers that are on their way out of this code and memory, before it is unmapped."""
        # A pool of before a fork has no threads in this process.
        if self._pool is not None and self._pool is pool_if_made():
            self._pool.settle()

    def _execute(self) -> None:
        pool = shared_pool(self._worker, self._file) if self._workers > 1 else None
        if pool is None or not pool.borrow(self._workers):
            self._walk(None)
            return
        try:
            self._pool = pool
            self._context[SLOT_WORKERS] = self._workers
            self._walk(pool)
        finally:
            self._context[SLOT_WORKERS] = 1
            pool.give_back()

    def _walk(self, pool: WorkerPool | None) -> None:
        for call in self._calls:
            if isinstance(call, HostCall):
                self._call_host(call)
            elif pool is None:
                call.run(self._address, 0)
            else:
                # One foreign call wakes the workers and joins them: no signal handler can come between.
                self._launch(pool.mailboxes, self._workers - 1, call.address, self._address)

    def _call_host(self, call: HostCall) -> None:
        if self._host is not None:
            inputs = [None if placed is None else self.tensor(placed, placed.shape) for placed in call.inputs]
            self._host(call, inputs, [self.tensor(placed, placed.shape) for placed in call.outputs])

    def _memory(self, placed: Placed) -> memoryview:
        """The memory that begins at a place."""
        if placed.kind == "arena":
            return self._arena.view[placed.at :]
        if placed.kind == "weights":
            return memoryview(self._file.weights or b"")[placed.at :]
        if placed.kind == "input":
            return self._bound[placed.at].memory()
        return self._output(placed.at).view

    def _output(self, index: int) -> Tensor:
        spec = self._file.header.outputs[index]
        shape = tuple(dim for dim in spec.shape if isinstance(dim, int))
        given = self._given.get(spec.name)
        if given is not None:
            return Tensor(given.memory(), spec.dtype, shape)
        offset = self._file.header.output_offsets[index]
        return Tensor(self._arena.view[offset : offset + self._file.header.sizes[1][index]], spec.dtype, shape)

    def _specs(self) -> Sequence[tuple[TensorSpec, int]]:
        return [(spec, index) for index, spec in enumerate(self._file.header.outputs)]

    def _reset_outputs(self) -> None:
        for index, offset in enumerate(self._file.header.output_offsets):
            self._context[self._first_output + index] = self._arena.base + offset
