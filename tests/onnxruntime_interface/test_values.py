from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

X = np.array([[1, 1, 1], [0, 5, -4]], np.float32)
SUM = np.array([[2, -1, 4], [1, 3, -1]], np.float32)


def test_a_value_tells_of_its_array(ort: Any) -> None:
    """Scripts read types as ONNX Runtime writes them."""
    value = ort.OrtValue.ortvalue_from_numpy(X)

    assert (value.shape(), value.data_type(), value.element_type()) == ([2, 3], "tensor(float)", 1)
    assert (value.device_name(), value.has_value(), value.is_tensor()) == ("cpu", True, True)
    assert (value.is_sparse_tensor(), value.is_tensor_sequence(), value.tensor_size_in_bytes()) == (False, False, 24)


def test_a_value_lies_in_the_memory_of_its_array(ort: Any) -> None:
    """Nothing is copied on the way in: writing the array changes the value."""
    array = X.copy()
    value = ort.OrtValue.ortvalue_from_numpy(array)
    array[0, 0] = 9

    assert value.numpy()[0, 0] == 9
    assert value.data_ptr() == array.ctypes.data


@pytest.mark.parametrize("kind", [np.float32, 1], ids=["numpy", "onnx"])
def test_a_value_is_made_of_a_shape_and_a_type(ort: Any, kind: Any) -> None:
    """A type is numpy's, or ONNX's number."""
    value = ort.OrtValue.ortvalue_from_shape_and_type([2, 3], kind)
    value.update_inplace(X)

    assert np.array_equal(value.numpy(), X)
    with pytest.raises(RuntimeError):
        value.update_inplace(np.ones((1, 3), np.float32))


def test_another_device_is_refused(ort: Any) -> None:
    """Neither package of this test has one."""
    with pytest.raises(RuntimeError):
        ort.OrtValue.ortvalue_from_numpy(X, "cuda", 0)


def test_values_run_in_place_of_arrays(ort: Any, session: Any) -> None:
    """A session takes values wherever it takes arrays."""
    value = ort.OrtValue.ortvalue_from_numpy(X)

    (given,) = session.run_with_ort_values(["sum"], {"x": value})

    assert isinstance(given, ort.OrtValue)
    assert np.array_equal(given.numpy(), SUM)
    assert np.array_equal(session.run(["sum"], {"x": value})[0], SUM)


def test_a_binding_computes_what_is_bound(session: Any) -> None:
    """Outputs come in the order of binding."""
    binding = session.io_binding()
    binding.bind_cpu_input("x", X)
    binding.bind_output("sum")
    binding.bind_output("positive")
    session.run_with_iobinding(binding)

    total, positive = binding.copy_outputs_to_cpu()

    assert np.array_equal(total, SUM)
    assert np.array_equal(positive, np.maximum(SUM, 0))
    assert [value.shape() for value in binding.get_outputs()] == [[2, 3], [2, 3]]


def test_a_bound_value_is_written_in_place(ort: Any, session: Any) -> None:
    """The point of a binding: results land where the next stage reads."""
    result = np.zeros((2, 3), np.float32)
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", ort.OrtValue.ortvalue_from_numpy(X))
    binding.bind_ortvalue_output("sum", ort.OrtValue.ortvalue_from_numpy(result))
    session.run_with_iobinding(binding)

    assert np.array_equal(result, SUM)


def test_addresses_are_bound(session: Any) -> None:
    """How arrays of other libraries go in and out without a copy."""
    result = np.zeros((2, 3), np.float32)
    binding = session.io_binding()
    binding.bind_input("x", "cpu", 0, np.float32, X.shape, X.ctypes.data)
    binding.bind_output("sum", "cpu", 0, np.float32, result.shape, result.ctypes.data)
    session.run_with_iobinding(binding)

    assert np.array_equal(result, SUM)


def _nothing(_: Any) -> None:
    """Bind no output."""


def _unknown_input(binding: Any) -> None:
    binding.bind_output("sum")
    binding.bind_cpu_input("q", X)


def _unknown_output(binding: Any) -> None:
    binding.bind_output("q")


def _misfit(binding: Any) -> None:
    binding.bind_cpu_input("x", X.astype(np.float64))
    binding.bind_output("sum")


@pytest.mark.parametrize("bind", [_nothing, _unknown_input, _unknown_output, _misfit])
def test_a_binding_that_does_not_fit_is_a_runtime_error(session: Any, bind: Callable[[Any], None]) -> None:
    """When it is bound, or when it runs."""
    binding = session.io_binding()
    binding.bind_cpu_input("x", X)

    def work() -> None:
        bind(binding)
        session.run_with_iobinding(binding)

    with pytest.raises(RuntimeError):
        work()


def test_a_binding_forgets(session: Any) -> None:
    """A cleared binding needs its ends anew."""
    binding = session.io_binding()
    binding.bind_cpu_input("x", X)
    binding.bind_output("sum")
    binding.clear_binding_inputs()
    binding.clear_binding_outputs()

    with pytest.raises(RuntimeError):
        session.run_with_iobinding(binding)
