from __future__ import annotations

import _thread
import os
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from support.plans import LENGTH, expected, plan, saved

from alula.engine.runtime.session import open_plan
from alula.engine.runtime.threads import WorkerPool, call_batch, shared_pool

X = np.arange(LENGTH, dtype=np.float32)


def workers() -> list[str]:
    """Names of the pool's threads in this process."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("alula-worker")]


def test_batch_reaches_every_worker_and_the_caller() -> None:
    """Worker 0 is the calling thread; each other worker has a thread of its own."""
    pool, seen, meet = WorkerPool(), {}, threading.Barrier(4)

    def entry(context: int, worker: int) -> None:
        seen[worker] = (context, threading.get_ident())
        meet.wait()

    assert pool.borrow(4)
    call_batch(pool.batch(entry, 7, 4, None))
    pool.give_back()

    assert set(seen) == {0, 1, 2, 3}
    assert seen[0] == (7, threading.get_ident())
    assert len(set(seen.values())) == 4


def test_pool_serves_one_run_at_a_time() -> None:
    """Who finds it taken runs alone instead of waiting."""
    pool = WorkerPool()

    assert pool.borrow(2)
    assert not pool.borrow(2)
    pool.give_back()
    assert pool.borrow(2)


def test_sessions_of_a_process_share_one_pool(tmp_path: Path) -> None:
    """Two models do not take twice the threads."""
    path = saved(tmp_path, plan())
    open_plan(path, threads=3).run({"x": X})
    before = workers()
    for _ in range(3):
        open_plan(path, threads=3).run({"x": X})

    assert shared_pool() is shared_pool()
    assert len(before) >= 2
    assert workers() == before


def test_idle_workers_use_no_processor(tmp_path: Path) -> None:
    """Workers spin inside a run only."""
    open_plan(saved(tmp_path, plan()), threads=2).run({"x": X})
    time.sleep(0.01)
    before = time.process_time()

    time.sleep(0.3)

    assert time.process_time() - before < 0.1


def test_child_process_makes_a_pool_of_its_own(tmp_path: Path) -> None:
    """Threads do not survive a fork: a child that waited for them would hang."""
    session = open_plan(saved(tmp_path, plan()), threads=2)
    session.run({"x": X})
    child = os.fork()
    if not child:
        right = session.run({"x": X})["y"].tolist() == expected(X)["y"]
        os._exit(0 if right and len(workers()) == 1 else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert session.run({"x": X})["y"].tolist() == expected(X)["y"]


def test_a_signal_in_a_batch_is_handled_behind_it() -> None:
    """All workers have been called before a handler may raise."""
    called: list[int] = []

    with pytest.raises(KeyboardInterrupt):
        call_batch([_thread.interrupt_main, partial(called.append, 1), partial(called.append, 2)])

    assert called == [1, 2]


INTERRUPTED = """
import signal, sys
from alula.engine.runtime.session import open_plan
session = open_plan(sys.argv[1], threads=2)
body = bytes(4 * 37)
inputs = [end.bind(body) for name, end in session._ends]
inside, hits = False, 0
def interrupt(number, frame):
    if inside:
        raise KeyboardInterrupt
signal.signal(signal.SIGALRM, interrupt)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
while hits < 100:
    try:
        inside = True
        session._live.run(inputs)
        inside = False
    except KeyboardInterrupt:
        inside = False
        hits += 1
signal.setitimer(signal.ITIMER_REAL, 0)
"""


def test_interrupted_runs_hang_no_later_run(tmp_path: Path) -> None:
    """Ctrl-C at any moment hangs neither this run nor the next."""
    path = saved(tmp_path, plan())
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    done = subprocess.run([sys.executable, "-c", INTERRUPTED, str(path)], env=environment, timeout=60, check=False)

    assert done.returncode == 0
