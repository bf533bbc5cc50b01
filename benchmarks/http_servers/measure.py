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
ROUNDS, SECONDS, CONNECTIONS = 5, 2, 16
ONE_WORKER = ["--workers", "1", "--host", "127.0.0.1", "--port"]
SERVERS = {
    "own": ["app.py"],
    "own-asyncio": ["app.py"],
    "granian": ["-m", "granian", "--interface", "rsgi", "--no-access-log", "--log-level", "error", *ONE_WORKER],
    "uvicorn": ["-m", "uvicorn", "--http", "httptools", "--loop", "uvloop", "--log-level", "error", *ONE_WORKER],
}
APPS = {"granian": "app:rsgi", "uvicorn": "app:asgi"}
LOADS = {
    "tiny": ("GET", "/tiny", 0),
    "body-600kB": ("POST", "/body", 600_000),
    "predict-1ms": ("POST", "/predict", 30_000),
}


def start(name: str, port: int) -> subprocess.Popen[bytes]:
    """Start a server and wait until it answers."""
    command = [sys.executable, *SERVERS[name]]
    if name in APPS:
        command += [str(port), APPS[name]]
    loop = "asyncio" if name == "own-asyncio" else "uvloop"
    server = subprocess.Popen(command, cwd=HERE, env={**os.environ, "PORT": str(port), "LOOP": loop})
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return server
    raise RuntimeError(name)


def resident_kib(pid: int) -> int:
    """Resident memory of a process and its children."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        text = status.read_text() if status.exists() else ""
        parent = re.search(r"^PPid:\s+(\d+)", text, re.MULTILINE)
        size = re.search(r"^VmRSS:\s+(\d+)", text, re.MULTILINE)
        if size and parent and str(pid) in {status.parent.name, parent[1]}:
            total += int(size[1])
    return total


def load(port: int, kind: str, folder: str) -> dict[str, float]:
    """One round of wrk: requests a second, and latencies in milliseconds."""
    method, path, size = LOADS[kind]
    script = Path(folder) / f"{kind}.lua"
    script.write_text(f'wrk.method = "{method}"\nwrk.body = string.rep("x", {size})\n')
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency", "-s", str(script)]
    text = subprocess.run(
        [*command, f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=True
    ).stdout
    units = {"us": 0.001, "ms": 1.0, "s": 1000.0}
    result = {"requests_per_s": float(re.findall(r"Requests/sec:\s+([\d.]+)", text)[0])}
    for name in ("50%", "99%"):
        number, unit = re.findall(rf"{name}\s+([\d.]+)(us|ms|s)", text)[0]
        result[f"p{name[:2]}_ms"] = float(number) * units[unit]
    result["errors"] = float(sum(map(int, re.findall(r"(?:connect|read|write|timeout) (\d+)", text))))
    return result


def main() -> None:
    """Interleave all servers and loads, then print medians and spreads."""
    samples: dict[str, dict[str, list[dict[str, float]]]] = {one: {kind: [] for kind in LOADS} for one in SERVERS}
    memory = {}
    with tempfile.TemporaryDirectory() as folder:
        running = {name: (start(name, 8100 + at), 8100 + at) for at, name in enumerate(SERVERS)}
        try:
            for _ in range(ROUNDS):
                for kind in LOADS:
                    for name, (_, port) in running.items():
                        samples[name][kind].append(load(port, kind, folder))
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
        "same cores, other work on the machine: compare within this record, read no figure alone",
        "resident_kib_after_load": memory,
        "results": results,
    }
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
