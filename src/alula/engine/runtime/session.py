"""A compiled plan that answers.

In: a plan file, then buffers by name. Out: tensors by name. A steady-state run allocates no memory of a size that
depends on the model.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from alula.base.errors import BusyError, InputError, LimitError, MissingError
from alula.base.hardware import memory_bytes, usable_threads
from alula.base.tensors import Tensor, TensorSpec
from alula.engine.runtime.buffers import Bound, End, check_names
from alula.engine.runtime.file import PathLike, PlanFile, Verify, open_file
from alula.engine.runtime.header import PlanHeader
from alula.engine.runtime.runner import Host, Runner
from alula.engine.runtime.threads import MOST_WORKERS
from alula.engine.runtime.variants import describe_variants, index_of_shapes

# Waking a thread costs about 30 microseconds, in which one core does some two million operations.
_TOO_SMALL_TO_SHARE = 2_000_000


@dataclass(frozen=True)
class _Options:
    """What a session and its forks have in common."""

    threads: int
    host: Host | None
    memory_limit: int


def open_plan(
    path: PathLike,
    *,
    threads: int | None = None,
    verify: Verify = "all",
    host: Host | None = None,
    memory_limit: int | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> PlanSession:
    """Open a compiled plan; `open_session` opens files of several plans as one session.

    Args:
        path: a `.alula` file.
        threads: how many threads a run may use; None takes what affinity mask and cgroup quota allow, and one for
            models too small to share.
        verify: `code` skips the hash of the weights.
        host: runs the steps that have no native code.
        memory_limit: bytes that intermediates and scratch may take; None means the machine's memory.
        shapes: of inputs by name, which choose one of the file's plans; needed where there are several.

    Raises:
        MissingError: there is no such file, or it has steps for a host and none was given.
        PlanFileError: it is no plan, damaged, or made for another processor.
        LimitError: it needs more memory than the limit.
        InputError: `threads` is out of range, or the file has no plan for the shapes.
    """
    file = open_checked(path, verify, threads)
    if shapes is None and file.header.variants:
        found = f"it holds {describe_variants(file.header)}"
        raise InputError(file.path, "needs the input shapes of one of its plans", found, "say --shape, or run it")
    index = index_of_shapes(file.header, shapes or {})
    return session_of(file.variant(index), OpenChoices(threads, host, memory_limit))


@dataclass(frozen=True)
class OpenChoices:
    """What a caller of `open_plan` may choose for every plan of a file; None as there."""

    threads: int | None
    host: Host | None
    memory_limit: int | None


def open_checked(path: PathLike, verify: Verify, threads: int | None) -> PlanFile:
    """Open a file for a number of threads that can be; errors as in `open_plan`."""
    if threads is not None and not 1 <= threads <= MOST_WORKERS:
        raise InputError("threads", f"needs 1 to {MOST_WORKERS}", f"got {threads}")
    return open_file(path, verify)


def session_of(file: PlanFile, choices: OpenChoices) -> PlanSession:
    """A session over the plan that the file's header describes; errors as in `open_plan`."""
    threads, host = choices.threads, choices.host
    calls = file.header.host_calls
    if calls and host is None:
        names = ", ".join(sorted({call.op for call in calls}))
        needed = f"needs numpy for {names} ({len(calls)} steps without native code)"
        raise MissingError(file.path, needed, "the plan was opened without it", "pip install alula[compile]")
    if threads is None:
        threads = 1 if file.header.flops < _TOO_SMALL_TO_SHARE else min(usable_threads(), MOST_WORKERS)
    limit = memory_bytes() if choices.memory_limit is None else choices.memory_limit
    return PlanSession(file, _Options(threads, host, limit))


class PlanSession:
    """An opened plan, after the `Session` protocol. One thread at a time may run it; a second is refused at once.

    Lock: `_running` is held during a run and by `close`, never waited for by `run`. All else is set once.
    """

    def __init__(self, file: PlanFile, options: _Options) -> None:
        """Take memory for one caller; use `open_plan`."""
        header = file.header
        needed = header.arena_bytes + header.scratch_bytes * options.threads
        if needed > options.memory_limit:
            hint = "fewer threads, a smaller batch or smaller images"
            raise LimitError(file.path, f"needs {needed} bytes of memory", f"the limit is {options.memory_limit}", hint)
        self._file = file
        self._options = options
        self._running = threading.Lock()
        self._ends = tuple({spec.name: End("input", spec) for spec in header.inputs}.items())
        self._input_ends = dict(self._ends)
        self._output_ends = {spec.name: End("output", spec) for spec in header.outputs}
        self._live: Runner | None = Runner(file, options.threads, options.host)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What `run` needs."""
        return self._file.header.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What `run` returns."""
        return self._file.header.outputs

    @property
    def info(self) -> PlanHeader:
        """All that the plan file says of itself."""
        return self._file.header

    @property
    def step_counts(self) -> tuple[int, int]:
        """How many steps run in generated code, and how many on the host."""
        host = len(self._file.header.host_calls)
        return len(self._file.header.steps) - host, host

    @property
    def extras(self) -> Mapping[str, bytes]:
        """Named bytes that came with the plan, such as `labels.txt`."""
        return self._file.extras

    @property
    def threads(self) -> int:
        """How many threads a run uses when no other session runs at the same time."""
        return self._options.threads

    @property
    def peak_bytes(self) -> int:
        """Memory of this session: intermediates, scratch, weights and code; forks share the last two."""
        parts, header = self._file.header.parts, self._file.header
        own = header.arena_bytes + header.scratch_bytes * self.threads
        return own + parts["weights"].size + parts["code"].size

    def run(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any] | None = None) -> Mapping[str, Tensor]:
        """Compute all outputs.

        Args:
            inputs: a contiguous buffer for each input; read during the call, never kept.
            outputs: writable buffers to fill, for some or all outputs; they share no byte with each other or an input.

        Returns:
            A tensor for each output: over the caller's buffer where one was given, else a view of this session's
            memory that is good until its next run.

        Raises:
            InputError: names, dtype, shape, size or order do not fit, or the session is closed; nothing was computed.
            BusyError: another thread is in a run of this session.
        """
        if not self._running.acquire(blocking=False):
            raise BusyError("session", "serves one caller at a time", "another is in a run", "use a fork() each")
        try:
            live = self._live
            if live is None:
                raise InputError("session", "needs to be open", "it was closed")
            if len(inputs) != len(self._ends) or (outputs and not outputs.keys() <= self._output_ends.keys()):
                self._check_names(inputs, outputs)
            try:
                bound = [end.bind(inputs[name]) for name, end in self._ends]
            except KeyError:
                self._check_names(inputs, outputs)
                raise
            if not outputs:
                return live.run(bound)
            return live.run_into(bound, self._bind_outputs(outputs, bound))
        finally:
            self._running.release()

    def fork(self) -> PlanSession:
        """Another session over the same weights and code, with memory of its own.

        Raises:
            InputError: this session is closed.
            LimitError: the system has no memory for another one.
        """
        if self._live is None:
            raise InputError("session", "needs to be open", "it was closed")
        return PlanSession(self._file, self._options)

    def close(self) -> None:
        """Give memory back, after a run that is under way; tensors that came from here keep theirs while they live."""
        with self._running:
            self._live = None

    def __enter__(self) -> Self:
        """The session itself; leaving closes it."""
        return self

    def __exit__(self, *problem: object) -> None:
        """Close."""
        self.close()

    def peek(self, name: str) -> Tensor:
        """An intermediate value as the last run left it, a view in its stored shape; for tools.

        Only plans whose planner reused no memory hold all values to the end.

        Raises:
            InputError: the plan knows no place of that name, or the session is closed.
        """
        placed = self._file.header.values.get(name)
        if placed is None or self._live is None or placed.kind == "input":
            raise InputError(f"value {name}", "needs a value in the memory of an open session", "there is none")
        return self._live.tensor(placed, placed.stored)

    def _check_names(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any] | None) -> None:
        check_names("input", inputs, self._input_ends, all_of_them=True)
        check_names("output", outputs or {}, self._output_ends, all_of_them=False)

    def _bind_outputs(self, outputs: Mapping[str, Any], inputs: Sequence[Bound]) -> dict[str, Bound]:
        """Generated code assumes that operands do not overlap."""
        bound: dict[str, Bound] = {}
        for name, data in outputs.items():
            each = self._output_ends[name].bind(data, writable=True)
            if any(each.overlaps(other) for other in (*inputs, *bound.values())):
                raise InputError(f"output {name}", "needs memory of its own", "it overlaps another buffer of this run")
            bound[name] = each
        return bound
