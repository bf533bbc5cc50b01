"""Matrix products.

In: matrices, stacked over leading axes for MatMul. Out: their product in the dtype of the first.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.engine.graph.dims import Shape
from alula.engine.graph.nodes import Array, Node
from alula.engine.operators.common import Mismatch, agree, broadcast_shapes, broadcasts_to, same_dtypes, show, without
from alula.engine.operators.precision import in_float32
from alula.engine.operators.record import Inference, Inferred, Operator

_MATRIX = 2


def matmul_shape(a: Shape, b: Shape) -> Shape:
    """The shape of numpy's matmul.

    Raises:
        Mismatch: a scalar, or inner dimensions that differ.
    """
    if not a or not b:
        raise Mismatch("matrix product needs at least one axis on both sides", f"they are {show(a)} and {show(b)}")
    inner = b[-2] if len(b) > 1 else b[0]
    if not agree(a[-1], inner):
        raise Mismatch(f"matrix product needs {inner} columns on the left", f"{show(a)} has {a[-1]}")
    rows = a[-2:-1]
    columns = b[-1:] if len(b) > 1 else ()
    return (*broadcast_shapes(a[:-2], b[:-2]), *rows, *columns)


def turned(shape: Shape, flag: int) -> Shape:
    """The shape with its last two axes exchanged if `flag`."""
    return (*shape[:-2], shape[-1], shape[-2]) if flag and len(shape) >= _MATRIX else shape


def turn(x: Array, flag: int) -> Array:
    """The array with its last two axes exchanged if `flag`; a view."""
    return x.swapaxes(-1, -2) if flag and x.ndim >= _MATRIX else x


def gemm(a: Array, b: Array, c: Array | None = None, **attributes: Any) -> Array:
    """Alpha A B + beta C, in the dtype of A."""
    kind = a.dtype.type
    y: Array = np.matmul(turn(a, attributes["transA"]), turn(b, attributes["transB"]))
    if attributes["alpha"] != 1:
        y = y * kind(attributes["alpha"])
    if c is None:
        return y
    return np.asarray(y + (c if attributes["beta"] == 1 else c * kind(attributes["beta"])), a.dtype)


def _infer_matmul(at: Inference) -> Inferred:
    same_dtypes(at, (0, 1))
    return [(at.dtype(0), matmul_shape(at.shape(0), at.shape(1)))]


def _infer_gemm(at: Inference) -> Inferred:
    same_dtypes(at, (0, 1, 2))
    if len(at.shape(0)) != _MATRIX or len(at.shape(1)) != _MATRIX:
        raise Mismatch("inputs must be matrices", f"they are {show(at.shape(0))} and {show(at.shape(1))}")
    y = matmul_shape(turned(at.shape(0), at.attributes["transA"]), turned(at.shape(1), at.attributes["transB"]))
    if at.has(2) and not broadcasts_to(at.shape(2), y):
        raise Mismatch(f"C must broadcast to {show(y)}", f"it is {show(at.shape(2))}")
    return [(at.dtype(0), y)]


def _upgrade_gemm(node: Node, version: int, constant: Callable[[Array], str]) -> Node:
    # Before 7, `broadcast` allowed what is always allowed since; the shapes that it forbade cannot occur.
    del version, constant
    return without(node, "broadcast")


MATMUL = Operator(
    name="MatMul",
    since=(1, 9, 13),
    inputs=("a", "b"),
    infer=_infer_matmul,
    reference=in_float32(np.matmul),
    summary="Matrix product over the last two axes; the others broadcast.",
)

GEMM = Operator(
    name="Gemm",
    since=(1, 6, 7, 9, 11, 13),
    inputs=("a", "b", "c?"),
    attributes=MappingProxyType({"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0}),
    infer=_infer_gemm,
    reference=in_float32(gemm),
    upgrade=_upgrade_gemm,
    summary="alpha A B + beta C, each matrix transposed if asked for.",
)

OPERATORS = (MATMUL, GEMM)
