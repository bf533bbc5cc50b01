"""A file of several plans as one session: each run's input shapes choose the plan.

In: a `.alula` file, then buffers by name. Out: tensors by name.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Self

from alula.base.errors import InputError
from alula.base.tensors import Tensor, TensorSpec
from alula.engine.runtime.buffers import End, check_names
from alula.engine.runtime.file import PathLike, PlanFile, Verify
from alula.engine.runtime.header import PlanHeader
from alula.engine.runtime.runner import Host
from alula.engine.runtime.session import OpenChoices, PlanSession, open_checked, session_of
from alula.engine.runtime.variants import form_of, index_of_buffers, merged

# Plans with memory of their own at a time; the least recently used one gives its memory back.
_KEPT = 8


def open_session(
    path: PathLike,
    *,
    threads: int | None = None,
    verify: Verify = "all",
    host: Host | None = None,
    memory_limit: int | None = None,
) -> PlanSession | ShapedSession:
    """Open a `.alula` file of one plan or of several.

    Args and errors as in `open_plan`.
    """
    file = open_checked(path, verify, threads)
    choices = OpenChoices(threads, host, memory_limit)
    return ShapedSession(file, choices) if file.header.variants else session_of(file, choices)


class ShapedSession:
    """An opened file of several plans, after the `Session` protocol. One thread at a time may run it.

    Plans are read when their shapes first come. Weights and code are mapped once for all of them. Results stay valid
    until the next run, whatever its shapes.
    """

    def __init__(self, file: PlanFile, choices: OpenChoices) -> None:
        """Take memory for the first plan, so that what cannot run is refused now; use `open_session`."""
        header = file.header
        self._file = file
        self._choices = choices
        self._closed = False
        self._sessions: OrderedDict[int, PlanSession] = OrderedDict({0: session_of(file, choices)})
        self._by_shapes: dict[tuple[Any, ...], int] = {}
        self._names = tuple(spec.name for spec in header.inputs)
        self._inputs = merged([header.inputs, *(variant.inputs for variant in header.variants)])
        self._outputs = merged([header.outputs, *(variant.outputs for variant in header.variants)])

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What `run` needs; dimensions in which the plans differ are symbolic."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What `run` returns."""
        return self._outputs

    @property
    def info(self) -> PlanHeader:
        """What the file says of its first plan and of the shapes of the others."""
        return self._file.header

    @property
    def step_counts(self) -> tuple[int, int]:
        """How many steps of the plans that are open run in generated code, and how many on the host."""
        native, host = zip(*(session.step_counts for session in self._sessions.values()), strict=True)
        return sum(native), sum(host)

    @property
    def extras(self) -> Mapping[str, bytes]:
        """Named bytes that came with the plans, such as `labels.txt`."""
        return self._file.extras

    def run(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any] | None = None) -> Mapping[str, Tensor]:
        """Compute all outputs with the plan for these shapes; see `PlanSession.run`.

        Raises:
            InputError: no plan of the file has these shapes, a name or dtype does not fit, or the session is closed.
            BusyError: another thread is in a run of this session.
        """
        if self._closed:
            raise InputError("session", "needs to be open", "it was closed")
        if inputs.keys() != set(self._names):
            ends = {spec.name: End("input", spec) for spec in self._file.header.inputs}
            check_names("input", inputs, ends, all_of_them=True)
        return self._session(self._index(inputs)).run(inputs, outputs)

    def fork(self) -> ShapedSession:
        """Another session over the same weights and code, with memory of its own.

        Raises:
            InputError: this session is closed.
            LimitError: the system has no memory for another one.
        """
        if self._closed:
            raise InputError("session", "needs to be open", "it was closed")
        return ShapedSession(self._file, self._choices)

    def close(self) -> None:
        """Give memory back; tensors that came from here keep theirs while they live."""
        self._closed = True
        while self._sessions:
            self._sessions.popitem()[1].close()

    def __enter__(self) -> Self:
        """The session itself; leaving closes it."""
        return self

    def __exit__(self, *problem: object) -> None:
        """Close."""
        self.close()

    def _index(self, inputs: Mapping[str, Any]) -> int:
        """The plan for these buffers; remembered by their shapes."""
        key = tuple(form_of(inputs[name]) for name in self._names)
        index = self._by_shapes.get(key)
        if index is None:
            index = self._by_shapes[key] = index_of_buffers(self._file.header, inputs)
        return index

    def _session(self, index: int) -> PlanSession:
        session = self._sessions.get(index)
        if session is None:
            session = session_of(self._file.variant(index), self._choices)
            self._sessions[index] = session
            if len(self._sessions) > _KEPT:
                self._sessions.popitem(last=False)[1].close()
        self._sessions.move_to_end(index)
        return session
