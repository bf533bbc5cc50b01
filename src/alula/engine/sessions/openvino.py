"""The provider `openvino`: the same Session over OpenVINO, for benchmarks.

In: an ONNX model. Out: a Session. Needs `pip install openvino`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import openvino

from alula.base.errors import InputError, ModelFileError
from alula.base.tensors import DType, Tensor, TensorSpec
from alula.engine.sessions.outside import feeds_of, tensors_of

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
        self._request: Any = model.create_infer_request()
        self.inputs = tuple(map(_spec, model.inputs))
        self.outputs = tuple(map(_spec, model.outputs))

    @property
    def library(self) -> Any:  # noqa: ANN401  it carries no annotations
        """OpenVINO's own inference request, for measurements without this class around it."""
        return self._request

    def run(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any] | None = None) -> Mapping[str, Tensor]:
        """Compute all outputs; see `Session.run`. Buffers handed in for outputs are filled by a copy."""
        if self._request is None:
            raise InputError("session", "needs to be open", "it has been closed")
        feeds = feeds_of(self.inputs, inputs)
        try:
            results = self._request.infer(feeds, share_inputs=True, share_outputs=True)
        except RuntimeError as error:
            raise InputError("openvino", "needs inputs that the model accepts", str(error)) from error
        return tensors_of(self.outputs, results.values(), outputs)

    def fork(self) -> OpenVinoSession:
        """Another session over the same file."""
        return OpenVinoSession(self._path, self._threads)

    def close(self) -> None:
        """Let the library's request go; a closed session refuses to run."""
        self._request = None


def _spec(port: Any) -> TensorSpec:  # noqa: ANN401  the library has no annotations
    shape = tuple(dim.get_length() if dim.is_static else str(dim) for dim in port.partial_shape)
    return TensorSpec(port.any_name, _DTYPES[port.element_type.get_type_name()], shape)
