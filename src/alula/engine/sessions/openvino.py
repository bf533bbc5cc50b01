"""The provider `openvino`: the same Session over OpenVINO, for benchmarks.

In: an ONNX model. Out: a Session. Needs `pip install openvino`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openvino

from alula.base.errors import ModelFileError
from alula.base.tensors import DType, Tensor, TensorSpec

_DTYPES = {"f32": DType.FLOAT32, "f64": DType.FLOAT64, "f16": DType.FLOAT16, "i32": DType.INT32, "i64": DType.INT64,
           "i8": DType.INT8, "u8": DType.UINT8, "boolean": DType.BOOL}  # fmt: skip


class OpenVinoSession:
    """OpenVINO on the CPU in float32 with the latency hint; inputs and outputs shared, not copied."""

    def __init__(self, path: Path, threads: int = 0) -> None:
        config: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if threads:
            config["INFERENCE_NUM_THREADS"] = threads
        try:
            model = openvino.Core().compile_model(str(path), "CPU", config)
        except RuntimeError as error:
            raise ModelFileError(str(path), "needs a model that OpenVINO reads", str(error)) from error
        self._path = path
        self._threads = threads
        self._request = model.create_infer_request()
        self.inputs = tuple(map(_spec, model.inputs))
        self.outputs = tuple(map(_spec, model.outputs))

    def run(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any] | None = None) -> Mapping[str, Tensor]:
        """Compute all outputs; see `Session.run`. Buffers handed in for outputs are filled by a copy."""
        feeds = {spec.name: _array(spec, inputs[spec.name]) for spec in self.inputs}
        results = self._request.infer(feeds, share_inputs=True, share_outputs=True)
        tensors = {}
        for spec, result in zip(self.outputs, results.values(), strict=True):
            target = (outputs or {}).get(spec.name)
            if target is not None:
                memoryview(target).cast("B")[:] = memoryview(result).cast("B")
            tensors[spec.name] = Tensor(result if target is None else target, DType(result.dtype.name), result.shape)
        return tensors

    def fork(self) -> OpenVinoSession:
        """Another session over the same file."""
        return OpenVinoSession(self._path, self._threads)

    def close(self) -> None:
        """Nothing to do: the session goes with its last reference."""


def _spec(port: Any) -> TensorSpec:
    shape = tuple(dim.get_length() if dim.is_static else str(dim) for dim in port.partial_shape)
    return TensorSpec(port.any_name, _DTYPES[port.element_type.get_type_name()], shape)


def _array(spec: TensorSpec, data: Any) -> np.ndarray[Any, Any]:
    if isinstance(data, (np.ndarray, Tensor)):
        return np.asarray(data)
    return np.frombuffer(data, spec.dtype.value).reshape([d if isinstance(d, int) else -1 for d in spec.shape])
