"""Which kernel runs a matrix product of numbers other than float32.

In: a MatMul on plain memory, vectors included. Out: one kernel call, or None for the reference.
"""

from __future__ import annotations

import math

from alula.base.tensors import DType
from alula.engine.kernels.call import KernelCall, Selection
from alula.engine.kernels.product import Product

_MATRIX = 2
# What MatMul takes besides floats of 32 bits and less.
MULTIPLIED = frozenset({DType.FLOAT64, DType.INT32, DType.INT64, DType.UINT32, DType.UINT64})


def select_product(at: Selection) -> tuple[KernelCall, ...] | None:
    """Products over batches that broadcast in any way."""
    a, b = (at.shape(side) for side in (0, 1))
    values = (at.value(0), at.value(1), at.result())
    if any(value.dtype not in MULTIPLIED or value.block for value in values) or not math.prod((*a, *b)):
        return None
    a, b = (1, *a) if len(a) < _MATRIX else a, (*b, 1) if len(b) < _MATRIX else b
    rank = max(len(a), len(b))
    a, b = (1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b
    loops = tuple(
        (max(a[axis], b[axis]), _step(a, axis), _step(b, axis))
        for axis in range(rank - _MATRIX)
        if max(a[axis], b[axis]) > 1
    )
    kernel = Product(at.value(0).dtype, a[-2], a[-1], b[-1], loops)
    flops = 2 * math.prod(extent for extent, _, _ in loops) * a[-2] * a[-1] * b[-1]
    return (KernelCall(kernel, at.node.inputs[:2], at.node.outputs[:1], flops),)


def _step(shape: tuple[int, ...], axis: int) -> int:
    """Elements from one index to the next along a batch axis, 0 where the side repeats."""
    return 0 if shape[axis] == 1 else math.prod(shape[axis + 1 :])
