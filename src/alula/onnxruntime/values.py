"""Arrays that belong to a script, and inputs and outputs bound to them, under ONNX Runtime's names.

In: numpy arrays. Out: `OrtValue`, `IOBinding`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.nodes import Array
from alula.engine.graph.numpy_dtypes import dtype_of, numpy_dtype
from alula.engine.graph.onnx_dtypes import ONNX_DTYPES
from alula.onnxruntime.errors import InvalidArgument

if TYPE_CHECKING:
    from alula.onnxruntime.session import InferenceSession

# ONNX Runtime's words for element types; the others are called as we call them.
_WORDS = {DType.FLOAT32: "float", DType.FLOAT64: "double"}


def tensor_type(dtype: DType) -> str:
    """For example `tensor(float)`."""
    return f"tensor({_WORDS.get(dtype, str(dtype))})"


class OrtValue:
    """An array in this process's memory."""

    def __init__(self, array: Array) -> None:
        """Wrap an array; not copied."""
        self._array = array

    @staticmethod
    def ortvalue_from_numpy(array: Array, device_type: str = "cpu", device_id: int = 0) -> OrtValue:
        """A copy of an array, row-major.

        Raises:
            InvalidArgument: another device than the processor.
        """
        check_device(device_type)
        del device_id
        return OrtValue(np.array(array, order="C"))

    @staticmethod
    def ortvalue_from_shape_and_type(
        shape: Sequence[int],
        element_type: Any,  # noqa: ANN401  a numpy dtype, or ONNX's number of one
        device_type: str = "cpu",
        device_id: int = 0,
    ) -> OrtValue:
        """Memory for an array, zeroed; `element_type` is a numpy dtype or ONNX's number.

        Raises:
            InvalidArgument: another device than the processor.
        """
        check_device(device_type)
        del device_id
        return OrtValue(np.zeros(tuple(shape), as_dtype(element_type)))

    def numpy(self) -> Array:
        """The array; not copied."""
        return self._array

    def shape(self) -> list[int]:
        """The dimensions."""
        return list(self._array.shape)

    def data_type(self) -> str:
        """For example `tensor(float)`."""
        return tensor_type(dtype_of(self._array))

    def element_type(self) -> int:
        """ONNX's number of the element type."""
        kind = dtype_of(self._array)
        return next(number for number, dtype in ONNX_DTYPES.items() if dtype is kind)

    def device_name(self) -> str:
        """`cpu`."""
        return "cpu"

    def data_ptr(self) -> int:
        """The address of the first element."""
        return int(self._array.ctypes.data)

    def tensor_size_in_bytes(self) -> int:
        """Size in bytes."""
        return int(self._array.nbytes)

    def has_value(self) -> bool:
        """True."""
        return True

    def is_tensor(self) -> bool:
        """True."""
        return True

    def is_sparse_tensor(self) -> bool:
        """False."""
        return False

    def is_tensor_sequence(self) -> bool:
        """False."""
        return False

    def update_inplace(self, array: Array) -> None:
        """Copy an array of the same shape and dtype into this one's memory.

        Raises:
            InvalidArgument: shape or dtype differ.
        """
        if array.shape != self._array.shape or array.dtype != self._array.dtype:
            raise InvalidArgument(f"needs {self._array.dtype} {self.shape()}, got {array.dtype} {list(array.shape)}")
        self._array[...] = array


class IOBinding:
    """Inputs and outputs of a session, bound before it runs; owned by one thread."""

    def __init__(self, session: InferenceSession) -> None:
        """Nothing bound yet."""
        self._order = [argument.name for argument in session.get_outputs()]
        self.inputs: dict[str, Array] = {}
        self.targets: dict[str, Array | None] = {}
        self.results: dict[str, Array] = {}

    def bind_cpu_input(self, name: str, array: Array) -> None:
        """Bind an array; read at each run, never kept beyond this binding."""
        self.inputs[name] = array

    def bind_ortvalue_input(self, name: str, value: OrtValue) -> None:
        """Bind a value."""
        self.inputs[name] = value.numpy()

    def bind_output(self, name: str, device_type: str = "cpu", *_: Any, **options: Any) -> None:
        """Ask for an output in memory of its own.

        Raises:
            InvalidArgument: another device than the processor, or an address, which alula does not write to.
        """
        check_device(device_type)
        if options.get("buffer_ptr"):
            raise InvalidArgument(f"output {name}: bind an OrtValue in place of an address")
        self.targets[name] = None

    def bind_ortvalue_output(self, name: str, value: OrtValue) -> None:
        """Have an output written into a value's memory."""
        self.targets[name] = value.numpy()

    def get_outputs(self) -> list[OrtValue]:
        """The outputs of the last run, in the order of binding."""
        return [OrtValue(self.results[name]) for name in self.targets or self._order]

    def copy_outputs_to_cpu(self) -> list[Array]:
        """The outputs of the last run, in the order of binding."""
        return [value.numpy() for value in self.get_outputs()]

    def clear_binding_inputs(self) -> None:
        """Forget the inputs."""
        self.inputs.clear()

    def clear_binding_outputs(self) -> None:
        """Forget the outputs."""
        self.targets.clear()

    def synchronize_inputs(self) -> None:
        """No effect: nothing runs elsewhere."""

    def synchronize_outputs(self) -> None:
        """No effect: nothing runs elsewhere."""


def check_device(name: str) -> None:
    """Accept the processor.

    Raises:
        InvalidArgument: any other device.
    """
    if name.lower() != "cpu":
        raise InvalidArgument(f"device {name}: only cpu is there")


def as_dtype(kind: Any) -> np.dtype[Any]:  # noqa: ANN401  a numpy dtype, or ONNX's number of one
    """The numpy dtype."""
    return numpy_dtype(ONNX_DTYPES[kind]) if isinstance(kind, int) else np.dtype(kind)


def feed_of(value: Any) -> Any:  # noqa: ANN401  what a script hands over
    """A value as sessions take it: a row-major array; a list (a sequence) and None as they are."""
    if value is None or isinstance(value, list):
        return value
    return np.asarray(value.numpy() if isinstance(value, OrtValue) else value, order="C")
