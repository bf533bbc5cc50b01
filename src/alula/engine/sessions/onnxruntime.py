"""The provider `onnxruntime`: the same Session over ONNX Runtime, as a second opinion and an opponent.

In: an ONNX model. Out: a Session. Needs `pip install onnxruntime`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime

from alula.base.errors import InputError, ModelFileError
from alula.base.tensors import DType, Tensor, TensorSpec
from alula.engine.sessions.outside import feeds_of, tensors_of

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
            self._session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises classes of its own, without a common base
            raise ModelFileError(str(path), "needs a model that ONNX Runtime reads", str(error)) from error
        self._path = path
        self._threads = threads
        self.inputs = tuple(map(_spec, self._session.get_inputs()))
        self.outputs = tuple(map(_spec, self._session.get_outputs()))

    @property
    def library(self) -> Any:  # noqa: ANN401  it carries no annotations
        """ONNX Runtime's own session, for measurements without this class around it."""
        return self._session

    def run(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any] | None = None) -> Mapping[str, Tensor]:
        """Compute all outputs; see `Session.run`. Buffers handed in for outputs are filled by a copy."""
        if self._session is None:
            raise InputError("session", "needs to be open", "it has been closed")
        feeds = feeds_of(self.inputs, inputs)
        try:
            results = self._session.run(None, feeds)
        except Exception as error:  # as above
            raise InputError("onnxruntime", "needs inputs that the model accepts", str(error)) from error
        return tensors_of(self.outputs, results, outputs)

    def fork(self) -> OnnxRuntimeSession:
        """Another session; ONNX Runtime shares nothing between two."""
        return OnnxRuntimeSession(self._path, self._threads)

    def close(self) -> None:
        """Let the library's session go; a closed session refuses to run."""
        self._session = None


def _spec(argument: Any) -> TensorSpec:  # noqa: ANN401  the library has no annotations
    shape = tuple(dim if isinstance(dim, int) else str(dim) for dim in argument.shape)
    return TensorSpec(argument.name, _DTYPES[argument.type], shape)
