"""Functions about the whole process: providers, version, logging.

In: nothing. Out: what ONNX Runtime's functions of the same names give where only the processor computes.
"""

from __future__ import annotations

import sys
from typing import Any

from alula import __version__

CPU = "CPUExecutionProvider"

# The release of ONNX Runtime whose interface this follows: scripts compare versions.
INTERFACE = "1.31.1"


def get_available_providers() -> list[str]:
    """The processor alone."""
    return [CPU]


def get_all_providers() -> list[str]:
    """The processor alone."""
    return [CPU]


def get_ep_devices() -> list[Any]:
    """None: no provider is a library of its own."""
    return []


def get_device() -> str:
    """`CPU`."""
    return "CPU"


def get_build_info() -> str:
    """Who computes."""
    return f"alula {__version__}"


def get_version_string() -> str:
    """The release of ONNX Runtime whose interface this follows."""
    return INTERFACE


def has_collective_ops() -> bool:
    """False: one process computes alone."""
    return False


def set_default_logger_severity(severity: int) -> None:
    """No effect: alula writes no log."""
    del severity


def set_default_logger_verbosity(verbosity: int) -> None:
    """No effect: alula writes no log."""
    del verbosity


def set_global_thread_pool_sizes(intra_op_num_threads: int = 0, inter_op_num_threads: int = 0) -> None:
    """No effect: sessions of as many threads share one pool already."""
    del intra_op_num_threads, inter_op_num_threads


def set_seed(seed: int) -> None:
    """No effect: random operators draw from fixed seeds."""
    del seed


def preload_dlls(**_: Any) -> None:
    """No effect: there are no libraries to load."""


def print_debug_info() -> None:
    """Print who computes."""
    sys.stdout.write(f"{get_build_info()}, the interface of onnxruntime {INTERFACE}, providers: {CPU}\n")


def enable_telemetry_events() -> None:
    """No effect: alula sends nothing anywhere."""


def disable_telemetry_events() -> None:
    """No effect: alula sends nothing anywhere."""
