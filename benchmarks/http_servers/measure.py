"""Compare HTTP servers for Python with the same handlers, under wrk on loopback.

In: nothing (needs granian, uvicorn, uvloop, httptools and wrk). Out: a JSON record on standard output.
"""

from __future__ import annotations

import json
import os
import platform
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
ROUNDS, SECONDS, CONNECTIONS = 6, 2, 16
ONE_WORKER = ["--workers", "1", "--host", "127.0.0.1", "--port"]
SERVERS = {
    "own": ["app.py"],
    "own-asyncio": ["app.py"],
    "granian": ["-m", "granian", "--interface", "rsgi", "--no-access-log", "--log-level", "error", *ONE_WORKER],
    "uvicorn": ["-m", "uvicorn", "--http", "httptools", "--loop", "uvloop", "--log-level", "error", *ONE_WORKER],
}
# The same with the heap settings of `alula.serving.heap`: what they alone make of another server.
SERVERS |= {f"{name}-heap": SERVERS[name] for name in ("granian", "uvicorn")}
HEAP = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(32 << 20)}
APPS = {"granian": "app:rsgi", "uvicorn": "app:asgi"}
LOADS = {
    "tiny": ("GET", "/tiny", 0),
    "body-600kB": ("POST", "/body", 600_000),
    "predict-1ms": ("POST", "/predict", 30_000),
}


def start(name: str, port: int) -> subprocess.Popen[bytes]:
    """Start a server and wait until it answers."""
    command = [sys.executable, *SERVERS[name]]
    kind, _, variant = name.partition("-")
    if kind in APPS:
        command += [str(port), APPS[kind]]
    environment = {"PORT": str(port), "LOOP": "asyncio" if variant == "asyncio" else "uvloop"}
    if variant == "heap":
        environment |= HEAP
    server = subprocess.Popen(command, cwd=HERE, env={**os.environ, **environment})
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return server
    raise RuntimeError(name)


def family(pid: int) -> list[Path]:
    """The folders below /proc of a process and its children."""
    folders = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = stat.read_text().rpartition(")")[2].split()[1]
        except OSError:  # it has ended
            continue
        if str(pid) in {stat.parent.name, parent}:
            folders.append(stat.parent)
    return folders


def resident_kib(pid: int) -> int:
    """Resident memory of a process and its children."""
    texts = [(one / "status").read_text() for one in family(pid)]
    return sum(int(size) for text in texts for size in re.findall(r"^VmRSS:\s+(\d+)", text, re.MULTILINE))


def spent(pid: int) -> tuple[int, float]:
    """Page faults so far, and processor time in microseconds, of a process and its children (proc(5))."""
    fields = [(one / "stat").read_text().rpartition(")")[2].split() for one in family(pid)]
    ticks = sum(int(one[11]) + int(one[12]) for one in fields)
    return sum(int(one[7]) for one in fields), ticks * 1e6 / os.sysconf("SC_CLK_TCK")


def load(pid: int, port: int, kind: str, folder: str) -> dict[str, float]:
    """One round of wrk: requests a second, latencies in milliseconds, and what a request costs the server."""
    method, path, size = LOADS[kind]
    script = Path(folder) / f"{kind}.lua"
    script.write_text(f'wrk.method = "{method}"\nwrk.body = string.rep("x", {size})\n')
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency", "-s", str(script)]
    command.append(f"http://127.0.0.1:{port}{path}")
    before = spent(pid)
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    after = spent(pid)
    units = {"us": 0.001, "ms": 1.0, "s": 1000.0}
    result = {"requests_per_s": float(re.findall(r"Requests/sec:\s+([\d.]+)", text)[0])}
    for name in ("50%", "99%"):
        number, unit = re.findall(rf"{name}\s+([\d.]+)(us|ms|s)", text)[0]
        result[f"p{name[:2]}_ms"] = float(number) * units[unit]
    requests = int(re.findall(r"(\d+) requests in", text)[0])
    result["page_faults"] = (after[0] - before[0]) / requests
    result["cpu_us"] = (after[1] - before[1]) / requests
    result["errors"] = float(sum(map(int, re.findall(r"(?:connect|read|write|timeout) (\d+)", text))))
    return result


def main() -> None:
    """Interleave all servers and loads, then print medians and spreads."""
    samples: dict[str, dict[str, list[dict[str, float]]]] = {one: {kind: [] for kind in LOADS} for one in SERVERS}
    memory = {}
    with tempfile.TemporaryDirectory() as folder:
        running = {name: (start(name, 8100 + at), 8100 + at) for at, name in enumerate(SERVERS)}
        try:
            names = list(running)
            for turn in range(ROUNDS):
                for kind in LOADS:
                    for name in names[turn % len(names) :] + names[: turn % len(names)]:
                        server, port = running[name]
                        samples[name][kind].append(load(server.pid, port, kind, folder))
            memory = {name: resident_kib(server.pid) for name, (server, _) in running.items()}
        finally:
            for server, _ in running.values():
                server.terminate()
                server.wait(20)
    results = {
        name: {
            kind: {
                figure: {
                    "median": round(statistics.median(one[figure] for one in rounds), 3),
                    "lowest": round(min(one[figure] for one in rounds), 3),
                    "highest": round(max(one[figure] for one in rounds), 3),
                    "rounds": [round(one[figure], 3) for one in rounds],
                }
                for figure in rounds[0]
            }
            for kind, rounds in kinds.items()
        }
        for name, kinds in samples.items()
    }
    cpu = re.findall(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())[0]
    record = {
        "question": "which HTTP server for one Python process that owns the sessions",
        "command": "python benchmarks/http_servers/measure.py",
        "commit": subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip(),
        "date": time.strftime("%Y-%m-%d"),
        "machine": {"cpu": cpu, "cores": os.cpu_count(), "python": platform.python_version()},
        "versions": {name: version(name) for name in ("granian", "uvicorn", "httptools", "uvloop")},
        "method": f"{ROUNDS} interleaved rounds of {SECONDS} s, wrk with 1 thread and {CONNECTIONS} connections on the "
        "same cores, the first server of each round another one; page faults and processor time are those of the "
        "server for one request; NAME-heap is NAME with the heap settings of alula.serving.heap",
        "resident_kib_after_load": memory,
        "results": results,
    }
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
