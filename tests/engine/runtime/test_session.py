from __future__ import annotations

import gc
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from support.plans import (
    INPUT,
    LENGTH,
    OUTPUT,
    RUNNABLE,
    SECOND,
    STEPS,
    arena,
    combine,
    expected,
    host,
    placed,
    plan,
    resident_pages,
    saved,
)

from alula.base.errors import BusyError, InputError, LimitError, MissingError
from alula.base.session import Session
from alula.base.tensors import Tensor
from alula.engine.graph.nodes import Array
from alula.engine.kernels.target import Target
from alula.engine.runtime.header import HostCall
from alula.engine.runtime.session import PlanSession, open_plan

X: Array = np.arange(LENGTH, dtype=np.float32) / 8


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved plan of four native steps."""
    return saved(tmp_path_factory.mktemp("plans"), plan(), {"labels.txt": b"cat\ndog\n"})


@pytest.fixture
def session(path: Path) -> PlanSession:
    """An opened plan on one thread."""
    return open_plan(path, threads=1)


def results(outputs: object) -> dict[str, list[float]]:
    """Tensors as lists."""
    assert hasattr(outputs, "items")
    return {name: tensor.tolist() for name, tensor in outputs.items()}


def sort_on_host(call: HostCall, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> None:
    """A host that can sort."""
    assert call.op == "Sort"
    assert inputs[0] is not None
    np.asarray(outputs[0])[:] = np.sort(np.asarray(inputs[0]))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("target", RUNNABLE, ids=lambda target: target.name)
def test_every_target_computes_the_steps_with_any_number_of_threads(
    tmp_path: Path, target: Target, threads: int
) -> None:
    """Each worker does its share, and a step reads what others wrote only after the barrier."""
    session = open_plan(saved(tmp_path, plan(target=target)), threads=threads)

    answers = [results(session.run({"x": X})) for _ in range(50)]

    assert all(answer == expected(X) for answer in answers)


def test_session_fits_the_protocol(session: PlanSession) -> None:
    """Everything above the engine sees a `Session` and nothing else."""
    assert isinstance(session, Session)
    assert [str(spec) for spec in session.inputs] == ["x float32 [37]"]
    assert [spec.name for spec in session.outputs] == ["y", "z"]


@pytest.mark.parametrize(
    "given",
    [X, X.tobytes(), bytearray(X.tobytes()), memoryview(X.data), X.data],
    ids=["numpy", "bytes", "bytearray", "view", "data"],
)
def test_any_contiguous_buffer_is_an_input(session: PlanSession, given: object) -> None:
    """Anything with a buffer goes in, read-only or not."""
    assert results(session.run({"x": given})) == expected(X)


def test_outputs_of_one_session_are_inputs_of_another(session: PlanSession) -> None:
    """A Tensor is a buffer like any other."""
    first = session.run({"x": X})["y"]

    second = results(session.fork().run({"x": first}))

    assert second == expected(np.asarray(first))


def test_outputs_go_into_the_callers_buffers(session: PlanSession) -> None:
    """A given buffer is filled and returned; the others come as views of the arena, and the next run is not changed."""
    mine = np.zeros(LENGTH, np.float32)

    got = session.run({"x": X}, {"z": mine})
    again = session.run({"x": X + 1})

    assert mine.tolist() == expected(X)["z"]
    assert got["z"].tolist() == mine.tolist()
    assert results(again) == expected(X + 1)


def test_unaligned_inputs_are_read_where_they_lie(session: PlanSession) -> None:
    """The body of a request begins anywhere; nothing is copied to align it."""
    body = b"-" + X.tobytes()

    assert results(session.run({"x": memoryview(body)[1:]})) == expected(X)


@pytest.mark.parametrize("threads", [1, 2])
def test_host_steps_run_between_native_segments(tmp_path: Path, threads: int) -> None:
    """A host step sees what the steps before it wrote, and those behind see what it wrote."""
    steps = (
        combine("fadd", INPUT, INPUT, arena(0)),
        host(arena(0), arena(1), {"axis": -1}),
        host(INPUT, SECOND),
        combine("fmul", arena(1), SECOND, OUTPUT),
    )
    seen: list[HostCall] = []
    x = X[::-1].copy()
    given = np.zeros(LENGTH, np.float32)

    def on_host(call: HostCall, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> None:
        seen.append(call)
        sort_on_host(call, inputs, outputs)

    session = open_plan(saved(tmp_path, plan(steps)), threads=threads, host=on_host)
    mine, theirs = results(session.run({"x": x})), results(session.run({"x": x}, {"z": given}))

    assert mine == theirs == {"y": (2 * X * X).tolist(), "z": X.tolist()}
    assert given.tolist() == X.tolist()
    assert dict(seen[0].attributes) == {"axis": -1}
    assert seen[0].inputs[1] is None


def test_host_steps_without_a_host_are_refused_by_name(tmp_path: Path) -> None:
    """What cannot run is refused when the plan is opened, with what would help."""
    path = saved(tmp_path, plan((host(INPUT, OUTPUT),)))

    with pytest.raises(MissingError, match="Sort") as caught:
        open_plan(path)

    assert "pip install alula[compile]" in caught.value.hint


def test_an_error_of_the_host_leaves_the_session_usable(tmp_path: Path) -> None:
    """A failed run keeps neither the session's lock nor the pool."""
    fail = [True]

    def on_host(call: HostCall, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> None:
        if fail.pop():
            raise ZeroDivisionError
        sort_on_host(call, inputs, outputs)

    session = open_plan(saved(tmp_path, plan((host(INPUT, OUTPUT),))), threads=2, host=on_host)
    with pytest.raises(ZeroDivisionError):
        session.run({"x": X})
    fail.append(False)

    assert session.run({"x": X[::-1].copy()})["y"].tolist() == X.tolist()


@pytest.mark.parametrize(
    ("inputs", "found"),
    [
        ({}, "missing: x"),
        ({"a": X}, "unknown: a; missing: x"),
        ({"x": X, "b": X}, "unknown: b"),
        ({"x": X.astype(np.float64)}, r"got float64 \[37\]"),
        ({"x": X.astype(np.int32)}, r"got int32 \[37\]"),
        ({"x": X.reshape(1, LENGTH)}, r"got float32 \[1, 37\]"),
        ({"x": np.zeros(2 * LENGTH, np.float32)[::2]}, "strided"),
        ({"x": b"12"}, "got 2 bytes"),
        ({"x": [1.0] * LENGTH}, "got list"),
        ({"x": None}, "got NoneType"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(session: PlanSession, inputs: dict[str, object], found: str) -> None:
    """The message says what the model needs and what came, before anything is computed."""
    with pytest.raises(InputError, match=found):
        session.run(inputs)


def test_outputs_that_do_not_fit_are_refused(session: PlanSession) -> None:
    """Generated code would write past a short buffer, and assumes that buffers do not overlap."""
    room = np.zeros(2 * LENGTH, np.float32)
    frozen = np.zeros(LENGTH, np.float32)
    frozen.flags.writeable = False

    for outputs in ({"q": room}, {"y": room}, {"y": frozen}, {"y": bytes(4 * LENGTH)}):
        with pytest.raises(InputError):
            session.run({"x": X}, outputs)
    with pytest.raises(InputError, match="overlaps"):
        session.run({"x": X}, {"y": room[:LENGTH], "z": room[LENGTH - 1 : -1]})
    with pytest.raises(InputError, match="overlaps"):
        session.run({"x": room[:LENGTH]}, {"y": room[:LENGTH]})


def test_forks_run_side_by_side(path: Path) -> None:
    """Forks share code and weights, never memory; who finds the pool in use runs alone, with the same bits."""
    root = open_plan(path, threads=2)
    wrong: list[int] = []

    def work(seed: int) -> None:
        session, x = root.fork(), X + seed
        wrong.extend(round_ for round_ in range(300) if results(session.run({"x": x})) != expected(x))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not wrong


def test_a_second_caller_of_one_session_is_refused(tmp_path: Path) -> None:
    """One thread at a time may run a session; the second hears so at once instead of mixing up both."""
    inside, leave = threading.Event(), threading.Event()

    def on_host(call: HostCall, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> None:
        inside.set()
        leave.wait()
        sort_on_host(call, inputs, outputs)

    session = open_plan(saved(tmp_path, plan((host(INPUT, OUTPUT),))), threads=1, host=on_host)
    first = threading.Thread(target=session.run, args=({"x": X},))
    first.start()
    inside.wait()
    with pytest.raises(BusyError, match="fork"):
        session.run({"x": X})
    leave.set()
    first.join()

    assert session.run({"x": X})["y"].tolist() == X.tolist()


@pytest.mark.parametrize("threads", [1, 2])
def test_ten_thousand_runs_take_no_memory(path: Path, threads: int) -> None:
    """Nothing grows with the number of runs."""
    session = open_plan(path, threads=threads)
    mine = np.zeros(LENGTH, np.float32)
    for _ in range(2000):
        session.run({"x": X}, {"y": mine})
    before = resident_pages()
    for _ in range(5000):
        session.run({"x": X})
        session.run({"x": X}, {"y": mine})

    assert resident_pages() - before < 64


def test_opening_and_closing_gives_everything_back(path: Path) -> None:
    """A closed session holds no mapping and no descriptor."""
    maps = Path("/proc/self/maps")

    def mapped() -> int:
        gc.collect()
        return maps.read_text(encoding="ascii").count("tiny.alula")

    before = mapped()
    sessions = [open_plan(path, threads=1) for _ in range(20)]
    during = mapped()
    for each in sessions:
        each.close()
    sessions.clear()
    del each

    assert during >= before + 40
    assert mapped() == before


def test_a_closed_session_refuses_and_closing_twice_is_harmless(session: PlanSession) -> None:
    """Tensors that came from the session stay readable: they hold its memory."""
    kept = session.run({"x": X})["y"]
    fork = session.fork()

    session.close()
    session.close()

    for call in (lambda: session.run({"x": X}), session.fork):
        with pytest.raises(InputError, match="closed"):
            call()
    assert kept.tolist() == expected(X)["y"]
    assert results(fork.run({"x": X})) == expected(X)


def test_leaving_the_with_block_closes(path: Path) -> None:
    """A session is a resource."""
    with open_plan(path) as session:
        session.run({"x": X})

    with pytest.raises(InputError, match="closed"):
        session.run({"x": X})


def test_replacing_the_file_leaves_an_open_session_alone(tmp_path: Path) -> None:
    """A new version is renamed into place; who has the old one open keeps it."""
    path = saved(tmp_path, plan())
    session = open_plan(path)

    saved(tmp_path, plan((combine("fadd", INPUT, INPUT, OUTPUT),)))

    assert results(session.run({"x": X})) == expected(X)
    assert open_plan(path).run({"x": X})["y"].tolist() == (X + X).tolist()


def test_peek_shows_intermediate_values(tmp_path: Path) -> None:
    """A value in blocks comes in the shape in which it is stored."""
    places = {"sum": placed("sum", arena(1)), "y": placed("y", OUTPUT)}
    session = open_plan(saved(tmp_path, plan(places=places)))
    session.run({"x": X})

    assert session.peek("sum").tolist() == (X + np.linspace(-2, 2, LENGTH, dtype=np.float32)).tolist()
    assert session.peek("y").tolist() == expected(X)["y"]
    with pytest.raises(InputError, match="value nothing"):
        session.peek("nothing")


def test_session_tells_what_the_file_said(session: PlanSession) -> None:
    """`show` and the benchmark read steps, sizes and metadata; the pipeline reads extras."""
    assert session.extras == {"labels.txt": b"cat\ndog\n"}
    assert session.info.model == "tiny"
    assert session.info.metadata == {"author": "tests"}
    assert [step.label for step in session.info.steps] == [step.label for step in STEPS]
    assert session.info.flops == 4 * LENGTH
    assert session.peak_bytes == 256 * 6 + 192 + 2 * 4096
    assert session.threads == 1


def test_more_memory_than_the_limit_is_refused_before_it_is_taken(path: Path) -> None:
    """The peak is known before running."""
    with pytest.raises(LimitError, match="needs 1920 bytes"):
        open_plan(path, threads=2, memory_limit=1919)

    open_plan(path, threads=2, memory_limit=1920)


def test_no_threads_are_refused(path: Path) -> None:
    """Zero workers would compute nothing."""
    with pytest.raises(InputError, match="threads"):
        open_plan(path, threads=0)
