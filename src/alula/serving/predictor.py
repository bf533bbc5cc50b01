"""From an encoded picture to predictions, in worker threads that each own a session.

In: picture bytes, from the event loop. Out: `Answer`. The event loop never decodes and never computes.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue
from time import perf_counter
from typing import Any

from numpy.typing import NDArray

from alula.base.errors import BusyError, LateError, SettingsError
from alula.base.session import Session
from alula.base.tensors import TensorSpec
from alula.imaging.classify import Prediction, classify
from alula.imaging.decode import decode
from alula.imaging.preprocess import Preprocessing
from alula.serving.messages import Buffer
from alula.serving.settings import ServeSettings


@dataclass
class Job:
    """One picture on its way. The event loop sets `gone` when nobody waits for the answer any more.

    Args:
        picture: the encoded file.
        top: how many classes are wanted.
        deadline: in seconds of `time.perf_counter`; nothing starts after it.
    """

    picture: Buffer
    top: int
    deadline: float
    submitted: float = field(default_factory=perf_counter)
    gone: bool = False
    phases: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a phase; refuses to start it when it is too late or for nobody."""
        start = perf_counter()
        if self.gone or start > self.deadline:
            waited = f"{(start - self.submitted) * 1000:.0f} ms have passed"
            raise LateError("request", f"needs {name} to start before its deadline", waited)
        yield
        self.phases[name] = perf_counter() - start


@dataclass(frozen=True)
class Answer:
    """The best classes, and the seconds that each phase took."""

    predictions: tuple[Prediction, ...]
    phases: dict[str, float]


class Predictor:
    """A model with its preprocessing and labels, answering from several threads.

    `predict` is called from an event loop, `close` once from any thread. The sessions are the predictor's; the
    session it was made from is one of them.
    """

    def __init__(
        self, session: Session, preprocessing: Preprocessing, labels: tuple[str, ...], settings: ServeSettings
    ) -> None:
        """Check that the parts fit, and fork the session once for each further worker.

        Raises:
            SettingsError: the preprocessing does not give what the model needs.
        """
        self.preprocessing = preprocessing
        self.input = _checked_input(session, preprocessing)
        self.output = session.outputs[0]
        self._labels = _checked_labels(self.output, labels)
        self._settings = settings
        self._sessions = [session, *(session.fork() for _ in range(settings.workers - 1))]
        self._seats: SimpleQueue[tuple[Session, NDArray[Any]]] = SimpleQueue()
        for one in self._sessions:
            self._seats.put((one, preprocessing.empty()))
        self._room = threading.BoundedSemaphore(settings.workers + settings.queue)
        self._threads = ThreadPoolExecutor(settings.workers, "alula-worker")

    async def predict(self, picture: Buffer, top: int, deadline: float) -> Answer:
        """Answer for one picture. Cancelling the call keeps a waiting job from being computed.

        Raises:
            BusyError: the queue is full.
            LateError: the deadline passed.
            AlulaError: what decoding, preprocessing or the session raises.
        """
        if not self._room.acquire(blocking=False):
            places = f"{self._settings.workers} workers and {self._settings.queue} places in the queue"
            raise BusyError("server", "needs a free place to take a request", f"{places} are taken", "try again later")
        job = Job(picture, top, deadline)
        future = self._threads.submit(self._answer, job)
        future.add_done_callback(lambda _: self._room.release())
        try:
            async with asyncio.timeout(deadline - perf_counter()):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            allowed = f"{self._settings.deadline_seconds:g} s have passed"
            raise LateError("request", "needs an answer before its deadline", allowed, "try again later") from None
        finally:
            job.gone = True

    def close(self) -> None:
        """Wait for running jobs, drop waiting ones, close the sessions."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        for one in self._sessions:
            one.close()

    def _answer(self, job: Job) -> Answer:
        """Runs in a worker thread; there are as many seats as threads, so one is free."""
        job.phases["queue"] = perf_counter() - job.submitted
        seat = self._seats.get_nowait()
        try:
            return self._compute(job, *seat)
        finally:
            self._seats.put(seat)

    def _compute(self, job: Job, session: Session, buffer: NDArray[Any]) -> Answer:
        with job.phase("decode"):
            picture = decode(job.picture, self._settings.decode)
        with job.phase("preprocess"):
            self.preprocessing.run(picture, buffer)
        with job.phase("inference"):
            scores = session.run({self.input.name: buffer})[self.output.name]
        with job.phase("postprocess"):
            predictions = classify(scores, self._labels, job.top, self.preprocessing.scores)
        return Answer(predictions, job.phases)


def _checked_labels(output: TensorSpec, labels: tuple[str, ...]) -> tuple[str, ...]:
    """Labels of another model are found when the server starts, not at its first request."""
    sizes = [size for size in output.shape if isinstance(size, int)]
    if labels and len(sizes) == len(output.shape) and math.prod(sizes) != len(labels):
        found = f"the model's output is {output}"
        raise SettingsError(f"labels ({len(labels)} lines)", "needs one for each class of the model", found)
    return labels


def _checked_input(session: Session, preprocessing: Preprocessing) -> TensorSpec:
    """The model input that the preprocessing fills."""
    chosen = [spec for spec in session.inputs if preprocessing.name in {"", spec.name}]
    if len(chosen) != 1 or len(session.inputs) != 1:
        names = ", ".join(spec.name for spec in session.inputs)
        needed = f"needs a model with one input{f' called {preprocessing.name}' if preprocessing.name else ''}"
        raise SettingsError("preprocessing: input.name", needed, f"the model's inputs are {names}")
    spec = chosen[0]
    fits = len(spec.shape) == len(preprocessing.shape) and all(
        isinstance(has, str) or has == gives for has, gives in zip(spec.shape, preprocessing.shape, strict=True)
    )
    if not fits or spec.dtype.value != preprocessing.dtype:
        found = f"the preprocessing gives {preprocessing.dtype} {list(preprocessing.shape)}"
        raise SettingsError("preprocessing", f"needs to fit the model's {spec}", found, "correct preprocess.toml")
    return spec
