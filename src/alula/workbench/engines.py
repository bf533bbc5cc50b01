"""One engine in a process of its own, driven by commands on its standard input; what the benchmark starts.

In: lines of JSON: {"do": "open"}, {"do": "run", "count": 10}, {"do": "memory"}. Out: a line of JSON for each.

    python -m alula.workbench.engines alula plan.alula 1 inputs.json
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from alula.base.session import Session


def main(arguments: list[str]) -> int:
    """Serve commands until the input ends."""
    engine, model, threads, inputs = arguments
    _pin(int(threads))
    session: Session | None = None
    feeds: dict[str, Any] = {}
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "open":
            started = time.perf_counter()
            session = _open(engine, Path(model), int(threads))
            answer: dict[str, Any] = {"seconds": time.perf_counter() - started}
            feeds = _feeds(Path(inputs))
        elif command["do"] == "run" and session is not None:
            answer = {"times": _timed(session, feeds, int(command["count"]))}
        else:
            answer = {"peak_bytes": _peak_bytes()}
        print(json.dumps(answer), flush=True)
    return 0


def _pin(threads: int) -> None:
    """Stay on as many processors as there are threads, the last ones that are allowed: the first take interrupts."""
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, allowed[-threads:])


def _open(engine: str, model: Path, threads: int) -> Session:
    """Open a model; the engine's library is loaded here, so that it counts into the time to open."""
    if engine == "alula":
        opener = cast("Callable[..., Session]", import_module("alula.engine.runtime.session").open_plan)
        host = None
        if import_module("alula.engine.runtime.file").read_header(model).host_calls:
            host = import_module("alula.engine.sessions.host").run_host_step
        return opener(model, threads=threads, host=host)
    return cast("Session", import_module("alula.engine.sessions.opener").open_outside(model, engine, threads))


def _peak_bytes() -> int:
    """The process's own peak of resident memory; getrusage would still count the parent that it was forked from."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def _feeds(file: Path) -> dict[str, Any]:
    """Inputs as files of raw bytes with dtype and shape; arrays only where numpy is loaded anyway."""
    table = json.loads(file.read_text())
    feeds: dict[str, Any] = {}
    for name, (dtype, shape, raw) in table.items():
        data = (file.parent / raw).read_bytes()
        numpy = sys.modules.get("numpy")
        feeds[name] = numpy.frombuffer(data, dtype).reshape(shape) if numpy is not None else data
    return feeds


def _timed(session: Session, feeds: dict[str, Any], count: int) -> list[float]:
    times = []
    for _ in range(count):
        started = time.perf_counter()
        session.run(feeds)
        times.append(time.perf_counter() - started)
    return times


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
