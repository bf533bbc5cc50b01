"""ONNX Runtime's Python interface over alula, for scripts that are written against it.

    import alula.onnxruntime as onnxruntime

In: model files and numpy arrays. Out: numpy arrays. What has no meaning here (arenas, logging, profiling) is accepted
and has no effect; what would change answers (custom operators, other devices) is refused. docs/howto/onnxruntime.md
lists every difference.
"""

from alula.onnxruntime.devices import (
    OrtAllocatorType,
    OrtDevice,
    OrtMemoryInfo,
    OrtMemType,
    create_and_register_allocator,
)
from alula.onnxruntime.options import ExecutionMode, ExecutionOrder, GraphOptimizationLevel, RunOptions, SessionOptions
from alula.onnxruntime.process import (
    INTERFACE,
    disable_telemetry_events,
    enable_telemetry_events,
    get_all_providers,
    get_available_providers,
    get_build_info,
    get_device,
    get_ep_devices,
    get_version_string,
    has_collective_ops,
    preload_dlls,
    print_debug_info,
    set_default_logger_severity,
    set_default_logger_verbosity,
    set_global_thread_pool_sizes,
    set_seed,
)
from alula.onnxruntime.session import InferenceSession, ModelMetadata, NodeArg
from alula.onnxruntime.values import IOBinding, OrtValue

__version__ = INTERFACE

__all__ = [
    "ExecutionMode",
    "ExecutionOrder",
    "GraphOptimizationLevel",
    "IOBinding",
    "InferenceSession",
    "ModelMetadata",
    "NodeArg",
    "OrtAllocatorType",
    "OrtDevice",
    "OrtMemType",
    "OrtMemoryInfo",
    "OrtValue",
    "RunOptions",
    "SessionOptions",
    "__version__",
    "create_and_register_allocator",
    "disable_telemetry_events",
    "enable_telemetry_events",
    "get_all_providers",
    "get_available_providers",
    "get_build_info",
    "get_device",
    "get_ep_devices",
    "get_version_string",
    "has_collective_ops",
    "preload_dlls",
    "print_debug_info",
    "set_default_logger_severity",
    "set_default_logger_verbosity",
    "set_global_thread_pool_sizes",
    "set_seed",
]
