"""Arrays that belong to a script, and inputs and outputs bound to them, under ONNX Runtime's names.

In: numpy arrays. Out: `OrtValue`, `IOBinding`.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.nodes import Array
from alula.engine.graph.numpy_dtypes import dtype_of, numpy_dtype
from alula.engine.graph.onnx_dtypes import ONNX_DTYPES
from alula.onnxruntime.devices import OrtDevice, check_device
from alula.onnxruntime.errors import refused

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
        """A value over an array's own memory; over a copy where the array is not row-major.

        Raises:
            RuntimeError: another device than the processor.
        """
        check_device(device_type)
        del device_id
        return OrtValue(np.asarray(array, order="C"))

    @staticmethod
    def ortvalue_from_numpy_with_onnx_type(data: Array, onnx_element_type: int) -> OrtValue:
        """A value over an array's memory, read as ONNX's type of that number and of the same size."""
        return OrtValue(np.asarray(data, order="C").view(as_dtype(onnx_element_type)))

    @staticmethod
    def ortvalue_from_shape_and_type(
        shape: Sequence[int],
        element_type: Any,  # noqa: ANN401  a numpy dtype, or ONNX's number of one
        device_type: str = "cpu",
        device_id: int = 0,
    ) -> OrtValue:
        """Memory for an array, zeroed; `element_type` is a numpy dtype or ONNX's number.

        Raises:
            RuntimeError: another device than the processor.
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
            RuntimeError: shape or dtype differ.
        """
        if array.shape != self._array.shape or array.dtype != self._array.dtype:
            needed, found = f"{self._array.dtype} {self.shape()}", f"{array.dtype} {list(array.shape)}"
            raise refused("InvalidArgument", f"the value needs {needed}, got {found}")
        self._array[...] = array


class IOBinding:
    """Inputs and outputs of a session, bound before it runs; owned by one thread."""

    def __init__(self, session: InferenceSession) -> None:
        """Nothing bound yet."""
        self._inputs = {argument.name for argument in session.get_inputs()}
        self._outputs = {argument.name for argument in session.get_outputs()}
        self.inputs: dict[str, Array] = {}
        self.targets: dict[str, Array | None] = {}
        self.results: dict[str, Array] = {}

    def bind_cpu_input(self, name: str, array: Array) -> None:
        """Bind an array; read at each run, never kept beyond this binding.

        Raises:
            RuntimeError: the model has no such input.
        """
        _check_name(name, self._inputs)
        self.inputs[name] = array

    def bind_ortvalue_input(self, name: str, value: OrtValue) -> None:
        """Bind a value; see `bind_cpu_input`."""
        self.bind_cpu_input(name, value.numpy())

    def bind_input(
        self,
        name: str,
        device_type: str | OrtDevice,
        device_id: int,
        element_type: Any,  # noqa: ANN401  a numpy dtype, or ONNX's number of one
        shape: Sequence[int],
        buffer_ptr: int,
    ) -> None:
        """Bind memory by its address, which must stay readable for as long as the binding is used.

        Raises:
            RuntimeError: another device than the processor, or no such input.
        """
        del device_id
        _check_place(device_type)
        self.bind_cpu_input(name, _array_at(buffer_ptr, element_type, shape))

    def bind_output(
        self,
        name: str,
        device_type: str | OrtDevice = "cpu",
        device_id: int = 0,
        element_type: Any = None,  # noqa: ANN401  a numpy dtype, or ONNX's number of one
        shape: Sequence[int] | None = None,
        buffer_ptr: int | None = None,
    ) -> None:
        """Ask for an output: in memory of its own, or at an address that must stay writable while the binding is used.

        Raises:
            RuntimeError: another device than the processor, or no such output.
        """
        del device_id
        _check_place(device_type)
        _check_name(name, self._outputs)
        self.targets[name] = _array_at(buffer_ptr, element_type, shape or ()) if buffer_ptr else None

    def bind_ortvalue_output(self, name: str, value: OrtValue) -> None:
        """Have an output written into a value's memory.

        Raises:
            RuntimeError: the model has no such output.
        """
        _check_name(name, self._outputs)
        self.targets[name] = value.numpy()

    def get_outputs(self) -> list[OrtValue]:
        """The outputs of the last run, in the order of binding; none before it."""
        return [OrtValue(self.results[name]) for name in self.targets if name in self.results]

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


def as_dtype(kind: Any) -> np.dtype[Any]:  # noqa: ANN401  a numpy dtype, or ONNX's number of one
    """The numpy dtype."""
    return numpy_dtype(ONNX_DTYPES[kind]) if isinstance(kind, int) else np.dtype(kind)


def feeds_of(values: Mapping[str, Any], dtypes: Mapping[str, DType]) -> dict[str, Any]:
    """A script's values as sessions take them.

    Args:
        values: by name: arrays, OrtValues, None; lists of numbers, and lists of arrays for sequences.
        dtypes: of the inputs that are tensors: lists of numbers take them.
    """
    return {name: _feed(value, dtypes.get(name)) for name, value in values.items()}


def _feed(value: Any, dtype: DType | None) -> Any:  # noqa: ANN401  what a script hands over
    if value is None:
        return None
    if isinstance(value, (list, tuple)):
        return list(value) if dtype is None else np.array(value, numpy_dtype(dtype))
    return np.asarray(value.numpy() if isinstance(value, OrtValue) else value, order="C")


def _array_at(address: int, element_type: Any, shape: Sequence[int]) -> Array:  # noqa: ANN401  as `as_dtype`
    """The caller's memory as an array."""
    dtype = as_dtype(element_type)
    memory = (ctypes.c_char * (math.prod(shape) * dtype.itemsize)).from_address(address)
    return np.frombuffer(memoryview(memory), dtype).reshape(tuple(shape))


def _check_name(name: str, known: set[str]) -> None:
    if name not in known:
        raise refused("InvalidArgument", f"Failed to find NodeArg with name: {name} in the def list")


def _check_place(device: str | OrtDevice) -> None:
    check_device(device if isinstance(device, str) else device.name)
