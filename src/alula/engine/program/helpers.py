"""Processes beside this one that compile modules, because LLVM lets only one thread of a process work.

In: module texts. Out: objects. Helpers are plain interpreters that talk over pipes, so that nothing of the caller's
main script runs in them, as it would with the process pools of the standard library.
"""

from __future__ import annotations

import queue
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import astuple
from pathlib import Path
from typing import IO

from alula.base.errors import InternalError
from alula.engine.kernels.target import Target

_LENGTH = struct.Struct("<q")
_SCRIPT = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from alula.engine.program.helper_main import serve_compiles; serve_compiles()"
)
Outcome = tuple[str, bytes | Exception]


def send(stream: IO[bytes], payload: bytes, *, failed: bool = False) -> None:
    """Write one message: its length (negative for a failure), then its bytes."""
    length = len(payload)
    stream.write(_LENGTH.pack(-length - 1 if failed else length) + payload)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[bytes, bool] | None:
    """Read one message and whether it tells a failure; None at the end of the stream."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    failed = length < 0
    return stream.read(-length - 1 if failed else length), failed


def compile_beside(
    texts: Mapping[str, str], target: Target, jobs: int, progress: Callable[[int, int], None]
) -> Mapping[str, bytes]:
    """Compile modules in `jobs` helper processes; each takes the next one when it is free.

    Raises:
        InternalError: LLVM refuses a text, or a helper dies.
    """
    # The largest first: a long one that starts last would be waited for alone.
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    for name in sorted(texts, key=lambda name: -len(texts[name])):
        waiting.put(name)
    done: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    helpers = [threading.Thread(target=_drive, args=(texts, target, waiting, done), daemon=True) for _ in range(jobs)]
    for helper in helpers:
        helper.start()
    objects: dict[str, bytes] = {}
    failure: Exception | None = None
    while len(objects) < len(texts) and failure is None:
        name, outcome = done.get()
        if isinstance(outcome, Exception):
            failure = outcome
            continue
        objects[name] = outcome
        progress(len(objects), len(texts))
    _drop_all(waiting)
    for helper in helpers:
        helper.join()
    if failure is not None:
        raise failure
    return {name: objects[name] for name in texts}


def _drop_all(waiting: queue.SimpleQueue[str]) -> None:
    while True:
        try:
            waiting.get_nowait()
        except queue.Empty:
            return


def _drive(
    texts: Mapping[str, str],
    target: Target,
    waiting: queue.SimpleQueue[str],
    done: queue.SimpleQueue[Outcome],
) -> None:
    """Feed one helper until nothing waits; a thread of its own."""
    name = ""
    try:
        with _started() as process:
            send(_pipe(process.stdin), repr(astuple(target)).encode())
            while True:
                name = waiting.get_nowait()
                done.put((name, _compiled(process, texts[name])))
    except queue.Empty:
        return
    except Exception as error:  # noqa: BLE001  whatever it is, the caller waits for it
        done.put((name, error))


def _started() -> subprocess.Popen[bytes]:
    root = str(Path(__file__).parents[3])
    command = [sys.executable, "-c", _SCRIPT, root]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603  our own script


def _compiled(process: subprocess.Popen[bytes], text: str) -> bytes:
    send(_pipe(process.stdin), text.encode())
    answer = receive(_pipe(process.stdout))
    if answer is None:
        raise InternalError("compile helper", "an object from a helper process", "the helper ended")
    payload, failed = answer
    if failed:
        raise InternalError("generated code", "text that LLVM accepts", payload.decode(errors="replace"))
    return payload


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise InternalError("compile helper", "pipes to a helper process", "it has none")
    return stream
