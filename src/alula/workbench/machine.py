"""What a benchmark record says of its machine.

In: nothing. Out: processor, versions, commit, date.
"""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from alula.base.hardware import cpu_flags
from alula.engine.kernels.target import best_target

_LIBRARIES = ("alula", "llvmlite", "numpy", "onnxruntime", "openvino")


def describe_machine() -> dict[str, Any]:
    """Processor, cores, target, Python, library versions, commit and UTC date, ready for JSON."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "target": best_target(cpu_flags()).name,
        "python": platform.python_version(),
        "versions": {name: version for name in _LIBRARIES if (version := _version(name))},
        "commit": _commit(),
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _commit() -> str:
    """The commit of the checkout that this package runs from; empty outside of one."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603  fixed words
    except (OSError, subprocess.CalledProcessError):
        return ""
