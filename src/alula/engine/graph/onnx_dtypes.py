"""ONNX's numbers of element types, as models write them in tensors and in Cast.

In: nothing. Out: `ONNX_DTYPES`, and the way back, `ONNX_NUMBERS`.
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
        8: DType.STRING,
        9: DType.BOOL,
        10: DType.FLOAT16,
        11: DType.FLOAT64,
        12: DType.UINT32,
        13: DType.UINT64,
        16: DType.BFLOAT16,
        17: DType.FLOAT8E4M3FN,
        18: DType.FLOAT8E4M3FNUZ,
        19: DType.FLOAT8E5M2,
        20: DType.FLOAT8E5M2FNUZ,
        21: DType.UINT4,
        22: DType.INT4,
        23: DType.FLOAT4E2M1,
        24: DType.FLOAT8E8M0,
        25: DType.UINT2,
        26: DType.INT2,
    }
)

ONNX_NUMBERS: Mapping[DType, int] = MappingProxyType({dtype: number for number, dtype in ONNX_DTYPES.items()})
