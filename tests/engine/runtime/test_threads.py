from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
from support.plans import LENGTH, expected, plan, saved

from alula.engine.runtime.session import open_plan
from alula.engine.runtime.threads import pool_if_made

X = np.arange(LENGTH, dtype=np.float32)


def workers() -> list[str]:
    """Names of the pool's threads in this process."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("alula-worker")]


def test_pool_serves_one_run_at_a_time(tmp_path: Path) -> None:
    """Who finds it taken runs alone instead of waiting."""
    session = open_plan(saved(tmp_path, plan()), threads=2)
    session.run({"x": X})
    pool = pool_if_made()

    assert pool is not None
    assert pool.borrow(2)
    assert not pool.borrow(2)
    assert session.run({"x": X})["y"].tolist() == expected(X)["y"]
    pool.give_back()
    assert pool.borrow(2)
    pool.give_back()


def test_sessions_come_and_go_while_workers_are_on_their_way_out(tmp_path: Path) -> None:
    """Code and memory are unmapped only when every worker has left them: else this would be a segmentation fault."""
    path = saved(tmp_path, plan())
    for _ in range(300):
        with open_plan(path, threads=3) as session:
            assert session.run({"x": X})["y"].tolist() == expected(X)["y"]


def test_sessions_of_a_process_share_one_pool(tmp_path: Path) -> None:
    """Two models do not take twice the threads."""
    path = saved(tmp_path, plan())
    open_plan(path, threads=3).run({"x": X})
    before = workers()
    for _ in range(3):
        open_plan(path, threads=3).run({"x": X})

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
