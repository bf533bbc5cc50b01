"""Functions about the whole process: providers, version, logging.

In: nothing. Out: what ONNX Runtime's functions of the same names give where only the processor computes.
"""

from __future__ import annotations

CPU = "CPUExecutionProvider"


def get_available_providers() -> list[str]:
    """The processor alone."""
    return [CPU]


def get_all_providers() -> list[str]:
    """The processor alone."""
    return [CPU]


def get_device() -> str:
    """`CPU`."""
    return "CPU"


def get_build_info() -> str:
    """Who computes."""
    from alula import __version__  # noqa: PLC0415  the package root loads this package's users, not the other way round

    return f"alula {__version__}"


def get_version_string() -> str:
    """The release of ONNX Runtime whose interface this follows."""
    from alula.onnxruntime import __version__  # noqa: PLC0415  (the same)

    return __version__


def set_default_logger_severity(severity: int) -> None:
    """No effect: alula writes no log."""
    del severity


def set_default_logger_verbosity(verbosity: int) -> None:
    """No effect: alula writes no log."""
    del verbosity


def set_seed(seed: int) -> None:
    """No effect: random operators draw from fixed seeds."""
    del seed


def enable_telemetry_events() -> None:
    """No effect: alula sends nothing anywhere."""


def disable_telemetry_events() -> None:
    """No effect: alula sends nothing anywhere."""
