"""The worker threads of this process: one pool, started when it is first needed, asleep between runs.

In: calls of generated code. Out: the same, made by several threads at once. Generated code runs without the
interpreter lock. Locks: `_GUARD` keeps two threads from making two pools; `WorkerPool._owner` is held by the one run
that uses the pool, and never waited for: who finds it taken runs on the calling thread alone.
"""

from __future__ import annotations

import operator
import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

Entry = Callable[[int, int], object]
Job = tuple[Entry, int, int, object]


class WorkerPool:
    """Threads that wait for jobs; worker 0 is always the calling thread, so a pool of n has n - 1 threads.

    A run borrows the pool, calls batches, and gives the pool back. When a batch returns, all workers have passed the
    generated code's last barrier: results are there. A thread may then still be on its way out; it holds the memory
    it touches by the job's last item, and takes the next job when it is back.
    """

    def __init__(self) -> None:
        self._owner = threading.Lock()
        self._queues: list[queue.SimpleQueue[Job]] = []

    def borrow(self, workers: int) -> bool:
        """Take the pool for a run of `workers`; False when another run has it or no thread can be started."""
        if not self._owner.acquire(blocking=False):
            return False
        try:
            while len(self._queues) < workers - 1:
                self._start()
        except RuntimeError:
            self._owner.release()
            return False
        return True

    def give_back(self) -> None:
        """End what `borrow` began."""
        self._owner.release()

    def batch(self, entry: Entry, context: int, workers: int, keep: object) -> Sequence[Callable[[], object]]:
        """What `call_batch` needs to run `entry(context, worker)` on all workers; made once, used many times.

        Only inside borrow and give_back. `keep` is what must stay in memory while a worker is inside.
        """
        jobs = [partial(self._queues[worker - 1].put, (entry, context, worker, keep)) for worker in range(1, workers)]
        return [*jobs, partial(entry, context, 0)]

    def _start(self) -> None:
        jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        name = f"alula-worker-{len(self._queues) + 1}"
        threading.Thread(target=_work, args=(jobs,), name=name, daemon=True).start()
        self._queues.append(jobs)


def call_batch(batch: Sequence[Callable[[], object]]) -> None:
    """Call all, from one C loop: no signal handler can raise between waking the workers and joining them.

    A KeyboardInterrupt in that gap would leave workers at a barrier that worker 0 never reaches.
    """
    deque(map(operator.call, batch), maxlen=0)


def _work(jobs: queue.SimpleQueue[Job]) -> None:
    while True:
        entry, context, worker, keep = jobs.get()
        entry(context, worker)
        # The memory must not stay only because this thread is idle.
        del entry, keep


class _Shared:
    """The process's pool; in a child after fork there are no threads, so there it is made anew."""

    def __init__(self) -> None:
        self.guard = threading.Lock()
        self.pool: WorkerPool | None = None
        self.hooked = False

    def forget(self) -> None:
        """Forget pool and lock: their threads, perhaps their holders, do not exist in this process."""
        self.guard = threading.Lock()
        self.pool = None


_SHARED = _Shared()


def shared_pool() -> WorkerPool:
    """The pool of this process; any thread may call."""
    pool = _SHARED.pool
    if pool is not None:
        return pool
    with _SHARED.guard:
        if not _SHARED.hooked:
            os.register_at_fork(after_in_child=_SHARED.forget)
            _SHARED.hooked = True
        if _SHARED.pool is None:
            _SHARED.pool = WorkerPool()
        return _SHARED.pool
