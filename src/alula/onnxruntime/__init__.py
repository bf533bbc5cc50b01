"""ONNX Runtime's Python interface over alula, for scripts that are written against it.

    import alula.onnxruntime as onnxruntime

In: model files and numpy arrays. Out: numpy arrays. What has no meaning here (arenas, logging, profiling) is accepted
and has no effect; what would change answers (custom operators, other devices) is refused.
"""

from alula.onnxruntime.options import ExecutionMode, ExecutionOrder, GraphOptimizationLevel, RunOptions, SessionOptions
from alula.onnxruntime.process import (
    disable_telemetry_events,
    enable_telemetry_events,
    get_all_providers,
    get_available_providers,
    get_build_info,
    get_device,
    get_version_string,
    set_default_logger_severity,
    set_default_logger_verbosity,
    set_seed,
)
from alula.onnxruntime.session import InferenceSession, ModelMetadata, NodeArg
from alula.onnxruntime.values import IOBinding, OrtValue

# The release of ONNX Runtime whose interface this follows: scripts compare versions.
__version__ = "1.31.1"

__all__ = [
    "ExecutionMode",
    "ExecutionOrder",
    "GraphOptimizationLevel",
    "IOBinding",
    "InferenceSession",
    "ModelMetadata",
    "NodeArg",
    "OrtValue",
    "RunOptions",
    "SessionOptions",
    "__version__",
    "disable_telemetry_events",
    "enable_telemetry_events",
    "get_all_providers",
    "get_available_providers",
    "get_build_info",
    "get_device",
    "get_version_string",
    "set_default_logger_severity",
    "set_default_logger_verbosity",
    "set_seed",
]
