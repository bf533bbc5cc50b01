"""Options of sessions and runs, under ONNX Runtime's names.

In: attributes that a script sets. Out: records that `InferenceSession` reads.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

from alula.onnxruntime.errors import refused


class GraphOptimizationLevel(enum.IntEnum):
    """How far a graph is rewritten: not at all beyond what must be, or with all passes."""

    ORT_DISABLE_ALL = 0
    ORT_ENABLE_BASIC = 1
    ORT_ENABLE_EXTENDED = 2
    ORT_ENABLE_LAYOUT = 3
    ORT_ENABLE_ALL = 99


class ExecutionMode(enum.IntEnum):
    """No effect: steps run one after the other, each on all threads."""

    ORT_SEQUENTIAL = 0
    ORT_PARALLEL = 1


class ExecutionOrder(enum.IntEnum):
    """No effect: the order is fixed when a model is compiled."""

    DEFAULT = 0
    PRIORITY_BASED = 1
    MEMORY_EFFICIENT = 2


class _Options:
    """Options are attributes of the class, with their defaults; owned by the script.

    As in ONNX Runtime, a name that is not there is no attribute, and a value of another type is refused.
    """

    def __init__(self) -> None:
        """ONNX Runtime's defaults."""
        self.__dict__["_entries"] = {}

    def __setattr__(self, name: str, value: Any) -> None:  # noqa: ANN401  checked here
        """Set an option.

        Raises:
            AttributeError: there is none of that name.
            TypeError: the value is of another type.
        """
        if name.startswith("_") or not hasattr(type(self), name):
            raise AttributeError(f"{type(self).__name__} has no option {name}")
        wanted = type(getattr(type(self), name))
        if not isinstance(value, wanted):
            raise TypeError(f"{type(self).__name__}.{name} needs {wanted.__name__}, got {value!r}")
        self.__dict__[name] = value

    def _add(self, key: str, value: str) -> None:
        self.__dict__["_entries"][key] = value

    def _get(self, key: str) -> str:
        entries: dict[str, str] = self.__dict__["_entries"]
        if key not in entries:
            raise refused("Fail", f"{type(self).__name__} does not have configuration with key: {key}")
        return entries[key]


class SessionOptions(_Options):
    """What a session may be told.

    These have an effect: `intra_op_num_threads` (0: as many as the process may use), `graph_optimization_level`
    (ORT_DISABLE_ALL leaves out every pass that can be left out), `add_free_dimension_override_by_name`. The others are
    kept and read back.
    """

    intra_op_num_threads: int = 0
    inter_op_num_threads: int = 0
    graph_optimization_level: GraphOptimizationLevel = GraphOptimizationLevel.ORT_ENABLE_ALL
    execution_mode: ExecutionMode = ExecutionMode.ORT_SEQUENTIAL
    execution_order: ExecutionOrder = ExecutionOrder.DEFAULT
    enable_cpu_mem_arena: bool = True
    enable_mem_pattern: bool = True
    enable_mem_reuse: bool = True
    enable_profiling: bool = False
    profile_file_prefix: str = "onnxruntime_profile_"
    optimized_model_filepath: str = ""
    use_deterministic_compute: bool = False
    use_per_session_threads: bool = True
    log_severity_level: int = -1
    log_verbosity_level: int = 0
    logid: str = ""

    def __init__(self) -> None:
        """ONNX Runtime's defaults."""
        super().__init__()
        self._free_dimensions: dict[str, int]
        self.__dict__["_free_dimensions"] = {}

    @property
    def free_dimensions(self) -> Mapping[str, int]:
        """Sizes of symbolic dimensions, by name."""
        return self._free_dimensions

    def add_session_config_entry(self, key: str, value: str) -> None:
        """Keep an entry; none has an effect."""
        self._add(key, value)

    def get_session_config_entry(self, key: str) -> str:
        """An entry that was added.

        Raises:
            RuntimeError: there is none of that key.
        """
        return self._get(key)

    def add_free_dimension_override_by_name(self, name: str, size: int) -> None:
        """Bind a symbolic dimension when the model is opened."""
        self._free_dimensions[name] = size

    def add_free_dimension_override_by_denotation(self, denotation: str, size: int) -> None:
        """No effect: such dimensions are bound by the first run's inputs."""
        del denotation, size

    def register_custom_ops_library(self, path: str) -> None:
        """Refused: alula runs no foreign code.

        Raises:
            Fail: always.
        """
        raise refused("Fail", f"custom operator libraries are not run: {path}")


class RunOptions(_Options):
    """What a run may be told; kept and read back, without effect."""

    log_severity_level: int = -1
    log_verbosity_level: int = 0
    logid: str = ""
    only_execute_path_to_fetches: bool = False
    terminate: bool = False

    def add_run_config_entry(self, key: str, value: str) -> None:
        """Keep an entry; none has an effect."""
        self._add(key, value)

    def get_run_config_entry(self, key: str) -> str:
        """An entry that was added.

        Raises:
            RuntimeError: there is none of that key.
        """
        return self._get(key)
