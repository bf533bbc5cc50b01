from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from alula.base.errors import ModelFileError, UnsupportedError
from alula.engine.graph.nodes import Array
from alula.engine.graph.onnx_dtypes import ONNX_DTYPES
from alula.engine.importers.external import ExternalFiles
from alula.engine.importers.onnx_tensor import read_tensor
from alula.engine.importers.wire import Wire

NUMBERS = sorted(set(ONNX_DTYPES) - {TensorProto.STRING})
VALUES = [0, 1, 100, 7, 5, 127]
SMALL: dict[int, int] = {
    TensorProto.INT4: 3,
    TensorProto.UINT4: 3,
    TensorProto.FLOAT4E2M1: 3,
    TensorProto.INT2: 1,
    TensorProto.UINT2: 3,
}


def read(tensor: TensorProto) -> Array:
    """The tensor through alula's reader."""
    data = tensor.SerializeToString()
    return read_tensor(Wire(memoryview(data), "test.onnx"), (0, len(data)), ExternalFiles(None, "test.onnx"))[1]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: ONNX_DTYPES[number].value)
def test_raw_and_typed_data_read_as_the_onnx_library_reads_them(number: int) -> None:
    """Both places where a tensor may keep its elements give the same array."""
    values = [bool(v) for v in VALUES] if number == TensorProto.BOOL else [v & SMALL.get(number, 127) for v in VALUES]
    typed = helper.make_tensor("t", number, [2, 3], values)
    raw = numpy_helper.from_array(numpy_helper.to_array(typed), "t")
    assert raw.HasField("raw_data")

    for tensor in (typed, raw):
        array = read(tensor)
        np.testing.assert_array_equal(array, numpy_helper.to_array(tensor), strict=True)
        assert not array.flags.writeable


@pytest.mark.parametrize("number", [TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64])
def test_negative_typed_integers_keep_their_sign(number: int) -> None:
    """Negative numbers are stored as ten-byte varints."""
    assert read(helper.make_tensor("t", number, [2], [-1, -128])).tolist() == [-1, -128]


def test_bfloat16_data_is_a_view() -> None:
    """Two bytes an element, as in the file: models are large."""
    array = np.array([1.5, -3.140625, 0], ml_dtypes.bfloat16)
    raw = TensorProto(data_type=TensorProto.BFLOAT16, dims=[3], raw_data=array.tobytes())

    found = read(raw)

    np.testing.assert_array_equal(found, array, strict=True)
    assert not found.flags.owndata


@pytest.mark.parametrize("name", ["INT4", "UINT4", "FLOAT4E2M1", "INT2", "UINT2"])
@pytest.mark.parametrize("count", range(9))
def test_packed_elements_of_any_number_come_apart(name: str, count: int) -> None:
    """Several elements share a byte, the first in its lowest bits; the last byte may have room left."""
    number = TensorProto.DataType.Value(name)
    raw = helper.make_tensor("t", number, [count], bytes(range(0x91, 0x91 + -(-count * _bits(name) // 8))), raw=True)
    typed = TensorProto(data_type=number, dims=[count], int32_data=raw.raw_data)

    for tensor in (raw, typed):
        np.testing.assert_array_equal(read(tensor), numpy_helper.to_array(raw), strict=True)


def _bits(name: str) -> int:
    return 2 if "2" in name[-2:] and "M" not in name else 4


def test_strings_come_as_text() -> None:
    """Each element is one Python string, empty ones and those beyond ASCII included."""
    texts = ["a", "", "h\u00e9", "\u4f60"]
    tensor = TensorProto(data_type=TensorProto.STRING, dims=[2, 2], string_data=[text.encode() for text in texts])

    assert read(tensor).tolist() == [texts[:2], texts[2:]]


def test_scalar_and_empty_tensors_keep_their_shape() -> None:
    """No dimension is one element; a dimension of zero is none."""
    scalar = numpy_helper.from_array(np.array(3.5, np.float32))
    empty = TensorProto(data_type=TensorProto.FLOAT, dims=[0, 4])

    assert (read(scalar).shape, read(empty).shape) == ((), (0, 4))


@pytest.mark.parametrize("number", [TensorProto.COMPLEX64, TensorProto.COMPLEX128])
def test_dtype_that_alula_lacks_is_refused_by_tensor_and_dtype(number: int) -> None:
    """The message names both, so that the user knows what to change."""
    tensor = TensorProto(name="odd", data_type=number, dims=[1])

    with pytest.raises(UnsupportedError, match=rf"tensor odd: .* {TensorProto.DataType.Name(number).lower()}"):
        read(tensor)


@pytest.mark.parametrize(
    "tensor",
    [
        pytest.param(TensorProto(data_type=1, dims=[3], raw_data=bytes(8)), id="too few bytes"),
        pytest.param(TensorProto(data_type=1, dims=[1], raw_data=bytes(8)), id="too many bytes"),
        pytest.param(TensorProto(data_type=1, dims=[3], float_data=[1, 2]), id="too few elements"),
        pytest.param(TensorProto(data_type=1, dims=[1], int64_data=[1]), id="elements in another field"),
        pytest.param(TensorProto(data_type=1, dims=[1], raw_data=bytes(4), float_data=[1]), id="data twice"),
        pytest.param(TensorProto(data_type=3, dims=[1], int32_data=[128]), id="int8 out of range"),
        pytest.param(TensorProto(data_type=9, dims=[1], raw_data=b"\2"), id="bool of 2"),
        pytest.param(TensorProto(data_type=22, dims=[3], raw_data=bytes(3)), id="packed bytes of another number"),
        pytest.param(TensorProto(data_type=22, dims=[3], int32_data=[0, 256]), id="packed byte out of range"),
        pytest.param(TensorProto(data_type=8, dims=[2], string_data=[b"a"]), id="too few strings"),
        pytest.param(TensorProto(data_type=8, dims=[2**62], string_data=[b"a"]), id="strings without number"),
        pytest.param(TensorProto(data_type=8, dims=[1], string_data=[b"\xff"]), id="string that is no UTF-8"),
        pytest.param(TensorProto(data_type=8, dims=[1], raw_data=b"a"), id="string as raw bytes"),
        pytest.param(TensorProto(data_type=8, dims=[1], int32_data=[1]), id="string as numbers"),
        pytest.param(TensorProto(data_type=1, dims=[1], string_data=[b"1"]), id="number as text"),
        pytest.param(TensorProto(data_type=99, dims=[1], raw_data=b"\2"), id="unknown dtype"),
    ],
)
def test_data_that_does_not_fit_dims_and_dtype_is_refused(tensor: onnx.TensorProto) -> None:
    """An array has exactly the elements that its shape says."""
    with pytest.raises(ModelFileError):
        read(tensor)
