"""The worker threads of this process: one pool, started when it is first needed, asleep between runs.

In: the loop that a plan's code brings for workers. Out: mailboxes that generated code posts jobs to. Workers live in
generated code and never hold the interpreter lock, so that no Python thread delays them. Locks: `_Shared.guard` keeps
two threads from making two pools; `WorkerPool._owner` is held by the one run that uses the pool, and never waited
for: who finds it taken runs on the calling thread alone.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import threading
import time

from alula.base.plan_format import MAILBOX_BYTES, MAILBOX_DONE
from alula.engine.runtime.memory import address_of

MOST_WORKERS = 1024

_WORKER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class WorkerPool:
    """Threads that wait for jobs; worker 0 is always the calling thread, so a pool of n has n - 1 threads.

    A run borrows the pool, launches segments, and gives the pool back. When a segment returns, all workers have
    passed its last barrier: results are there. A thread may then still be on its way out; `settle` waits for that.

    Args:
        worker: address of the worker's loop.
        keep: what keeps that address good, forever.

    Attributes:
        mailboxes: address of the first worker's mailbox; the others follow.
    """

    def __init__(self, worker: int, keep: object) -> None:
        self._owner = threading.Lock()
        self._loop = _WORKER(worker)
        self._keep = keep
        self._threads = 0
        memory = mmap.mmap(-1, MAILBOX_BYTES * MOST_WORKERS, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._words = memoryview(memory).cast("I")
        self.mailboxes = address_of(memory)

    def borrow(self, workers: int) -> bool:
        """Take the pool for a run of `workers`; False when another run has it or no thread can be started."""
        if not self._owner.acquire(blocking=False):
            return False
        try:
            while self._threads < workers - 1:
                self._start()
        except RuntimeError:
            self._owner.release()
            return False
        return True

    def give_back(self) -> None:
        """End what `borrow` began."""
        self._owner.release()

    def settle(self) -> None:
        """Wait until every worker has left the jobs posted so far; microseconds, but for other sessions' runs."""
        for index in range(self._threads):
            word = index * MAILBOX_BYTES // 4
            ticket = self._words[word]
            while (self._words[word + MAILBOX_DONE // 4] - ticket) & 0xFFFFFFFF > 1 << 31:
                time.sleep(0)

    def _start(self) -> None:
        mailbox = self.mailboxes + MAILBOX_BYTES * self._threads
        name = f"alula-worker-{self._threads + 1}"
        threading.Thread(target=self._loop, args=(mailbox,), name=name, daemon=True).start()
        self._threads += 1


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


def shared_pool(worker: int, keep: object) -> WorkerPool:
    """The pool of this process; any thread may call.

    Args:
        worker: address of a worker's loop, used if the pool has to be made.
        keep: what keeps that address good.
    """
    pool = _SHARED.pool
    if pool is not None:
        return pool
    with _SHARED.guard:
        if not _SHARED.hooked:
            os.register_at_fork(after_in_child=_SHARED.forget)
            _SHARED.hooked = True
        if _SHARED.pool is None:
            _SHARED.pool = WorkerPool(worker, keep)
        return _SHARED.pool


def pool_if_made() -> WorkerPool | None:
    """The pool of this process, if it has one."""
    return _SHARED.pool
