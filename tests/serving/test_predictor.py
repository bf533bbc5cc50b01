from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter

import pytest
from support.pictures import jpeg, plain
from support.server import LABELS, PREPROCESSING, MeanColour

from alula.base.errors import BusyError, ImageError, LateError, SettingsError
from alula.imaging.preprocess import Normalise
from alula.serving.predictor import Answer, Job, Predictor
from alula.serving.settings import ServeSettings

GREEN = jpeg(plain(10, 200, 30))
SOON = 20.0


@contextmanager
def _predictor(model: MeanColour, workers: int = 1, queue: int = 64) -> Iterator[Predictor]:
    """Closed at the end, its gate opened before."""
    one = Predictor(model, PREPROCESSING, LABELS, ServeSettings(workers=workers, queue=queue))
    try:
        yield one
    finally:
        if model.gate is not None:
            model.gate.set()
        one.close()


async def _ask(one: Predictor, seconds: float = SOON, picture: bytes = GREEN) -> Answer:
    return await one.predict(picture, 3, perf_counter() + seconds)


async def _begun(model: MeanColour) -> None:
    """Wait until a worker stands at the gate."""
    assert await asyncio.to_thread(model.waits.acquire, timeout=SOON)


def test_answer_holds_the_best_classes_and_every_phase() -> None:
    """The whole way, without a server around it."""
    with _predictor(MeanColour()) as one:
        answer = asyncio.run(_ask(one))

    assert [prediction.label for prediction in answer.predictions] == ["green", "blue", "red"]
    assert list(answer.phases) == ["queue", "decode", "preprocess", "inference", "postprocess"]


def test_a_request_beyond_workers_and_queue_is_refused_at_once() -> None:
    """Two workers and three places: the sixth is told to come back, and a place that gets free is given again."""
    model = MeanColour(threading.Event())

    async def overload(one: Predictor) -> list[Answer]:
        tasks = [asyncio.create_task(_ask(one)) for _ in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match="2 workers and 3 places in the queue"):
            await _ask(one)
        assert model.gate is not None
        model.gate.set()
        return [*await asyncio.gather(*tasks), await _ask(one)]

    with _predictor(model, 2, 3) as predictor:
        answers = asyncio.run(overload(predictor))

    assert [one.predictions[0].label for one in answers] == ["green"] * 6


def test_a_deadline_that_has_passed_costs_no_compute() -> None:
    """What comes too late is dropped before the model sees it."""
    model = MeanColour()
    with _predictor(model) as one, pytest.raises(LateError):
        asyncio.run(_ask(one, -1))

    assert model.runs == 0


def test_waiting_past_the_deadline_ends_the_call_and_the_work() -> None:
    """The caller hears in time, though a worker is stuck; the waiting job is never computed."""
    model = MeanColour(threading.Event())

    async def stuck(one: Predictor) -> None:
        first = asyncio.create_task(_ask(one))
        await _begun(model)
        with pytest.raises(LateError, match="needs an answer before its deadline"):
            await _ask(one, 0.05)
        assert model.gate is not None
        model.gate.set()
        await first

    with _predictor(model) as predictor:
        asyncio.run(stuck(predictor))

    assert model.runs == 1


def test_cancelled_calls_free_their_places_and_are_not_computed() -> None:
    """Clients that leave make room for others."""
    model = MeanColour(threading.Event())

    async def leave(one: Predictor) -> None:
        first = asyncio.create_task(_ask(one))
        await _begun(model)
        for _ in range(10):
            waiting = asyncio.create_task(_ask(one))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        assert model.gate is not None
        model.gate.set()
        await first

    with _predictor(model, queue=1) as predictor:
        asyncio.run(leave(predictor))

    assert model.runs == 1


@pytest.mark.parametrize(("gone", "seconds"), [(True, SOON), (False, -SOON)])
def test_no_phase_starts_for_nobody_or_too_late(gone: bool, seconds: float) -> None:  # noqa: FBT001
    """A client that leaves while its picture is decoded saves the inference."""
    job = Job(GREEN, 3, perf_counter() + seconds)
    job.gone = gone

    with pytest.raises(LateError, match="needs inference to start before its deadline"), job.phase("inference"):
        pytest.fail("it started")


def test_a_call_that_ends_marks_its_job_as_gone() -> None:
    """The worker that has begun with it learns so at its next phase."""
    jobs: list[Job] = []

    class Watched(Predictor):
        """Keeps the jobs that workers take."""

        def _answer(self, job: Job) -> Answer:
            jobs.append(job)
            return super()._answer(job)

    model = MeanColour(threading.Event())

    async def leave(one: Predictor) -> None:
        with pytest.raises(LateError):
            await _ask(one, 0.05)

    one = Watched(model, PREPROCESSING, LABELS, ServeSettings(workers=1))
    asyncio.run(leave(one))
    assert model.gate is not None
    model.gate.set()
    one.close()

    assert [job.gone for job in jobs] == [True]


def test_errors_reach_the_caller_and_free_the_seat() -> None:
    """A damaged picture costs one answer, not a worker."""
    with _predictor(MeanColour(), queue=0) as one:
        for _ in range(3):
            with pytest.raises(ImageError):
                asyncio.run(_ask(one, picture=b"no picture"))
        answer = asyncio.run(_ask(one))

    assert answer.predictions[0].label == "green"


def test_each_worker_has_a_session_and_close_closes_all() -> None:
    """No session is used by two threads, none is left open."""
    model = MeanColour()
    with _predictor(model, 3):
        assert not any(one.closed for one in model.forks)

    assert len(model.forks) == 3
    assert all(one.closed for one in model.forks)


def test_close_waits_for_running_work_and_drops_the_rest() -> None:
    """A session is not closed under a thread that runs it."""
    model = MeanColour(threading.Event())
    one = Predictor(model, PREPROCESSING, LABELS, ServeSettings(workers=1))

    async def stop() -> list[Answer | BaseException]:
        assert model.gate is not None
        running = asyncio.create_task(_ask(one))
        await _begun(model)
        waiting = asyncio.create_task(_ask(one))
        await asyncio.sleep(0)
        closing = asyncio.create_task(asyncio.to_thread(one.close))
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not model.closed
        model.gate.set()
        await closing
        return [*await asyncio.gather(running, return_exceptions=True)]

    (answer,) = asyncio.run(stop())

    assert isinstance(answer, Answer)
    assert (model.runs, model.closed) == (1, True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "pixels"}, "needs a model with one input called pixels, the model's inputs are images"),
        ({"dtype": "uint8", "normalise": Normalise()}, "the preprocessing gives uint8"),
        ({"layout": "NHWC"}, r"the preprocessing gives float32 \[1, 8, 8, 3\]"),
    ],
)
def test_preprocessing_of_another_model_is_refused(change: dict[str, object], message: str) -> None:
    """Found when the server starts, not at its first request."""
    with pytest.raises(SettingsError, match=message):
        Predictor(MeanColour(), replace(PREPROCESSING, **change), LABELS, ServeSettings())  # type: ignore[arg-type]


def test_labels_of_another_model_are_refused() -> None:
    """A list of 1000 names for 3 classes would give wrong names."""
    with pytest.raises(SettingsError, match=r"labels \(2 lines\): needs one for each class"):
        Predictor(MeanColour(), PREPROCESSING, LABELS[:2], ServeSettings())
