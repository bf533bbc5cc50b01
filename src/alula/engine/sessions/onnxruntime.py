"""The provider `onnxruntime`: the same Session over ONNX Runtime, as a second opinion and an opponent.

In: an ONNX model. Out: a Session. Needs `pip install onnxruntime`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from alula.base.errors import InputError, ModelFileError
from alula.base.tensors import DType, Tensor, TensorSpec

_DTYPES = {
    "tensor(float)": DType.FLOAT32,
    "tensor(double)": DType.FLOAT64,
    "tensor(float16)": DType.FLOAT16,
    "tensor(int8)": DType.INT8,
    "tensor(int16)": DType.INT16,
    "tensor(int32)": DType.INT32,
    "tensor(int64)": DType.INT64,
    "tensor(uint8)": DType.UINT8,
    "tensor(bool)": DType.BOOL,
}


class OnnxRuntimeSession:
    """ONNX Runtime on the CPU with all optimisations, one sequential stream, as many threads as asked for."""

    def __init__(self, path: Path, threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises classes of its own, without a common base
            raise ModelFileError(str(path), "needs a model that ONNX Runtime reads", str(error)) from error
        self._path = path
        self._threads = threads
        self.inputs = tuple(map(_spec, self._session.get_inputs()))
        self.outputs = tuple(map(_spec, self._session.get_outputs()))

    def run(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any] | None = None) -> Mapping[str, Tensor]:
        """Compute all outputs; see `Session.run`. Buffers handed in for outputs are filled by a copy."""
        feeds = {spec.name: _array(spec, inputs) for spec in self.inputs}
        results = self._session.run(None, feeds)
        tensors = {}
        for spec, result in zip(self.outputs, results, strict=True):
            array = np.ascontiguousarray(result)
            target = (outputs or {}).get(spec.name)
            if target is not None:
                memoryview(target).cast("B")[:] = memoryview(array).cast("B")
            tensors[spec.name] = Tensor(array if target is None else target, DType(array.dtype.name), array.shape)
        return tensors

    def fork(self) -> OnnxRuntimeSession:
        """Another session; ONNX Runtime shares nothing between two."""
        return OnnxRuntimeSession(self._path, self._threads)

    def close(self) -> None:
        """Nothing to do: the session goes with its last reference."""


def _spec(argument: Any) -> TensorSpec:
    shape = tuple(dim if isinstance(dim, int) else str(dim) for dim in argument.shape)
    return TensorSpec(argument.name, _DTYPES[argument.type], shape)


def _array(spec: TensorSpec, inputs: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    if spec.name not in inputs:
        raise InputError(f"input {spec.name}", f"needs {spec}", f"got only {', '.join(inputs) or 'nothing'}")
    data = inputs[spec.name]
    if isinstance(data, (np.ndarray, Tensor)):
        return np.asarray(data)
    return np.frombuffer(data, spec.dtype.value).reshape([d if isinstance(d, int) else -1 for d in spec.shape])
