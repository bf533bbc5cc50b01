"""One engine in a process of its own, driven by commands on its standard input; what the benchmark starts.

In: lines of JSON: {"do": "load"}, {"do": "open"}, {"do": "run", "count": 10}, {"do": "save"}, {"do": "memory"}.
Out: a line of JSON for each; {"error": ...} for one that failed.

    python -P engines.py alula plan.alula 1 inputs.json

Nothing but the standard library is loaded before `load`, which times the import of the engine's library; so neither
that time nor the peak of memory holds anything that the engine does not need.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

# The modules that an engine needs, the one with its door first, and the door.
_DOORS = {
    "alula": (("alula", "alula.engine.runtime.session", "alula.base.settings"), "open"),
    "onnxruntime": (("alula.engine.sessions.onnxruntime",), "OnnxRuntimeSession"),
    "openvino": (("alula.engine.sessions.openvino",), "OpenVinoSession"),
}


class Worker:
    """One engine and its model; lives as long as the process."""

    def __init__(self, engine: str, model: Path, threads: int, inputs: Path) -> None:
        self._engine = engine
        self._model = model
        self._threads = threads
        self._inputs = inputs
        self._door: Any = None
        self._session: Any = None
        self._feeds: dict[str, Any] = {}
        self._call: Callable[[], object] = dict

    def load(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Import the engine's library."""
        del command
        modules, door = _DOORS[self._engine]
        started = time.perf_counter()
        loaded = list(map(import_module, modules))
        seconds = time.perf_counter() - started
        self._door = getattr(loaded[0], door)
        return {"seconds": seconds}

    def open(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Open the model; the inputs are read after that."""
        del command
        started = time.perf_counter()
        if self._engine == "alula":
            self._session = self._door(self._model, import_module("alula").OpenOptions(threads=self._threads))
        else:
            self._session = self._door(self._model, self._threads)
        seconds = time.perf_counter() - started
        self._feeds = _feeds(self._inputs)
        self._call = self._barest_call()
        return {"seconds": seconds}

    def run(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Run so many times; seconds of each."""
        call = self._call
        times = []
        for _ in range(command["count"]):
            started = time.perf_counter()
            call()
            times.append(time.perf_counter() - started)
        return {"times": times}

    def _barest_call(self) -> Callable[[], object]:
        """One run without our Session around the other engines: it would add tens of microseconds to theirs."""
        session, feeds = self._session, self._feeds
        if self._engine == "onnxruntime":
            return lambda: session.library.run(None, feeds)
        if self._engine == "openvino":
            return lambda: session.library.infer(feeds, share_inputs=True, share_outputs=True)
        return lambda: session.run(feeds)

    def save(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Write the outputs of one run beside the inputs, as raw bytes."""
        del command
        table = {}
        for number, (name, tensor) in enumerate(self._session.run(self._feeds).items()):
            file = self._inputs.with_name(f"{self._engine}-{number}.raw")
            file.write_bytes(tensor.tobytes())
            table[name] = (tensor.dtype.value, file.name)
        return {"outputs": table}

    def memory(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """The process's own peak of resident memory; getrusage would still count the parent that it was forked from."""
        del command
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return {"peak_bytes": next(int(s.split()[1]) * 1024 for s in status.splitlines() if s.startswith("VmHWM:"))}


def main(arguments: list[str]) -> int:
    """Serve commands until the input ends."""
    engine, model, threads, inputs = arguments
    _pin(int(threads))
    worker = Worker(engine, Path(model), int(threads), Path(inputs))
    actions: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
        "load": worker.load,
        "open": worker.open,
        "run": worker.run,
        "save": worker.save,
        "memory": worker.memory,
    }
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = actions[command["do"]](command)
        except Exception as error:  # noqa: BLE001  a foreign engine raises what it likes; the benchmark shows it
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    return 0


def _pin(threads: int) -> None:
    """Stay on as many processors as there are threads, the last ones that are allowed: the first take interrupts."""
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, allowed[-threads:])


def _feeds(file: Path) -> dict[str, Any]:
    """Inputs as files of raw bytes with dtype and shape; arrays only where numpy is loaded anyway."""
    table = json.loads(file.read_text())
    feeds: dict[str, Any] = {}
    for name, (dtype, shape, raw) in table.items():
        data = (file.parent / raw).read_bytes()
        numpy = sys.modules.get("numpy")
        feeds[name] = numpy.frombuffer(data, dtype).reshape(shape) if numpy is not None else data
    return feeds


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
