"""ONNX's numbers of element types, as models write them in tensors and in Cast.

In: nothing. Out: `ONNX_DTYPES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from alula.base.tensors import DType

# TensorProto.DataType of onnx.proto.
ONNX_DTYPES: Mapping[int, DType] = MappingProxyType(
    {
        1: DType.FLOAT32,
        2: DType.UINT8,
        3: DType.INT8,
        4: DType.UINT16,
        5: DType.INT16,
        6: DType.INT32,
        7: DType.INT64,
        9: DType.BOOL,
        10: DType.FLOAT16,
        11: DType.FLOAT64,
        12: DType.UINT32,
        13: DType.UINT64,
        16: DType.BFLOAT16,
    }
)
