"""Which kernel runs a matrix product.

In: a FusedMatMul on plain memory. Out: one kernel call, or None for the reference.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import static
from alula.engine.graph.nodes import Array
from alula.engine.kernels.call import KernelCall, Selection
from alula.engine.kernels.matmul import Batch, MatMul, pack_matmul
from alula.engine.kernels.tile import vector_groups

_MATRIX = 2
_ENOUGH_GROUPS = 4


def select_matmul(at: Selection) -> tuple[KernelCall, ...] | None:
    """A product with a constant or computed right-hand side, over batches that broadcast in any way."""
    a, b, result = at.shape(0), at.shape(1), at.result_shape()
    if not _fits(at):
        return None
    weights, bias = at.constant(1), at.constant(2)
    if at.node.integer("transB"):
        if weights is None:
            return None
        weights = weights.swapaxes(-1, -2)
    batch = _batch(a, b, result)
    if batch.b:  # constant, but not one matrix: read as it is
        if at.node.integer("transB"):
            return None
        weights = None
    rows, columns = result[-2:]
    turned = at.node.integer("transA")
    inner = a[-2] if turned else a[-1]
    strides = (1, a[-1]) if turned else (a[-1], 1)
    if batch.count > 1 and batch.b == 0 and batch.a == rows * inner and not turned and not batch.loops:
        # The same right-hand side for a stack of rows is one taller product.
        rows, batch = rows * batch.count, Batch()
    kernel = MatMul(
        rows=rows,
        inner=inner,
        columns=columns,
        target=at.target,
        packed=weights is not None,
        a_strides=strides,
        batch=batch,
        split=_split(at, rows * batch.count, columns),
        epilogue=at.node.formula("epilogue"),
        extras=len(at.node.inputs[3:]),
    )
    packed = pack_matmul(_as_matrix(weights), _as_row(bias, columns), columns, at.target)
    reads = (at.node.inputs[0], *(() if weights is not None else (at.node.inputs[1],)), *at.node.inputs[3:], packed)
    return (KernelCall(kernel, reads, (at.node.output,), 2 * math.prod(result) * inner),)


def _fits(at: Selection) -> bool:
    """Whether all is float32 on plain memory, nothing is empty, the bias is a constant row, and extras are whole."""
    sides, result = (at.shape(0), at.shape(1)), at.result_shape()
    names = [name for name in (*at.node.inputs, *at.node.outputs) if name]
    if any(at.values[name].dtype is not DType.FLOAT32 or at.values[name].block for name in names):
        return False
    if any(len(side) < _MATRIX or not math.prod(side) for side in sides):
        return False
    bias = at.constant(2)
    if at.node.input(2) and (bias is None or not _is_row(bias, result[-1])):
        return False
    return all(static(at.values[name].shape or ()) == result for name in at.node.inputs[3:])


def _is_row(bias: Array, columns: int) -> bool:
    return bias.size == 1 or bias.size == bias.shape[-1] == columns


def _batch(a: tuple[int, ...], b: tuple[int, ...], result: tuple[int, ...]) -> Batch:
    """How both sides advance from product to product: by one distance each, or along several axes."""
    extents = result[:-2]
    steps = [_steps(side, len(extents)) for side in (a, b)]
    loops: list[tuple[int, int, int]] = []
    for loop in zip(extents, *steps, strict=True):
        extent, here_a, here_b = loop
        if extent == 1:
            continue
        if loops and loops[-1][1:] == (here_a * extent, here_b * extent):
            loops[-1] = (loops[-1][0] * extent, here_a, here_b)
        else:
            loops.append(loop)
    if not loops:
        return Batch()
    if len(loops) == 1:
        return Batch(*loops[0])
    moved_a, moved_b = (max(loop[side] for loop in loops) for side in (1, 2))
    return Batch(math.prod(extents), moved_a, moved_b, tuple(loops))


def _steps(shape: tuple[int, ...], axes: int) -> list[int]:
    """Floats from one index to the next of each batch axis, 0 where the side repeats."""
    full = (1,) * (axes + _MATRIX - len(shape)) + shape
    return [0 if full[axis] == 1 else math.prod(full[axis + 1 :]) for axis in range(axes)]


def _split(at: Selection, rows: int, columns: int) -> Literal["columns", "rows"]:
    groups = len(vector_groups(-(-columns // at.target.lanes), at.target))
    return "columns" if groups >= _ENOUGH_GROUPS and columns >= rows else "rows"


def _as_matrix(weights: Array | None) -> Array | None:
    return None if weights is None else np.ascontiguousarray(weights.reshape(weights.shape[-2:]), np.float32)


def _as_row(bias: Array | None, columns: int) -> Array | None:
    return None if bias is None else np.broadcast_to(bias.reshape(-1), (columns,))
