"""Options of sessions and runs, under ONNX Runtime's names.

In: attributes that a script sets. Out: records that `InferenceSession` reads.
"""

from __future__ import annotations

import enum

from alula.onnxruntime.errors import Fail


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


class _Entries:
    """Text by key, as scripts add and read it."""

    def __init__(self) -> None:
        self._entries: dict[str, str] = {}

    def _add(self, key: str, value: str) -> None:
        self._entries[key] = value

    def _get(self, key: str) -> str:
        if key not in self._entries:
            raise Fail(f"no configuration entry {key}")
        return self._entries[key]


class SessionOptions(_Entries):
    """What a session may be told.

    These have an effect: `intra_op_num_threads` (0: as many as the process may use), `graph_optimization_level`
    (ORT_DISABLE_ALL leaves out every pass that can be left out), `add_free_dimension_override_by_name`. The others are
    kept and read back.
    """

    def __init__(self) -> None:
        """ONNX Runtime's defaults."""
        super().__init__()
        self.intra_op_num_threads = 0
        self.inter_op_num_threads = 0
        self.graph_optimization_level = GraphOptimizationLevel.ORT_ENABLE_ALL
        self.execution_mode = ExecutionMode.ORT_SEQUENTIAL
        self.execution_order = ExecutionOrder.DEFAULT
        self.enable_cpu_mem_arena = True
        self.enable_mem_pattern = True
        self.enable_mem_reuse = True
        self.enable_profiling = False
        self.profile_file_prefix = "onnxruntime_profile_"
        self.optimized_model_filepath = ""
        self.use_deterministic_compute = False
        self.use_per_session_threads = True
        self.log_severity_level = -1
        self.log_verbosity_level = 0
        self.logid = ""
        self.free_dimensions: dict[str, int] = {}

    def add_session_config_entry(self, key: str, value: str) -> None:
        """Keep an entry; none has an effect."""
        self._add(key, value)

    def get_session_config_entry(self, key: str) -> str:
        """An entry that was added.

        Raises:
            Fail: there is none of that key.
        """
        return self._get(key)

    def add_free_dimension_override_by_name(self, name: str, size: int) -> None:
        """Bind a symbolic dimension when the model is opened."""
        self.free_dimensions[name] = size

    def register_custom_ops_library(self, path: str) -> None:
        """Refused: alula runs no foreign code.

        Raises:
            Fail: always.
        """
        raise Fail(f"custom operator libraries are not run: {path}")


class RunOptions(_Entries):
    """What a run may be told; kept and read back, without effect."""

    def __init__(self) -> None:
        """ONNX Runtime's defaults."""
        super().__init__()
        self.log_severity_level = -1
        self.log_verbosity_level = 0
        self.logid = ""
        self.only_execute_path_to_fetches = False
        self.terminate = False

    def add_run_config_entry(self, key: str, value: str) -> None:
        """Keep an entry; none has an effect."""
        self._add(key, value)

    def get_run_config_entry(self, key: str) -> str:
        """An entry that was added.

        Raises:
            Fail: there is none of that key.
        """
        return self._get(key)
