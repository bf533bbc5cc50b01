"""What is quantised already is not quantised again.

    q -> DequantizeLinear(#s, #z) -> QuantizeLinear(#s, #z) -> r    becomes   q, read in the place of r
    d -> MaxPool -> QuantizeLinear(#s, #z) -> DequantizeLinear(#s, #z) -> y    becomes   d -> MaxPool -> y

In: both with one constant scale; d stands behind a DequantizeLinear(#s, #z), with nothing between that makes numbers
that were not there. Out: the graph without the pair; every bit stays.
"""

from __future__ import annotations

import numpy as np

from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Array, Node
from alula.engine.graph.numpy_dtypes import dtype_of
from alula.engine.operators.quantise import RANGES

# They give elements of their input, and no others. Relu and MaxPool give 0 besides, or what is there.
_CARRIERS = frozenset(
    {
        "MaxPool", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Slice", "Gather", "Expand",
        "DepthToSpace", "SpaceToDepth", "Split", "Relu", "GlobalMaxPool", "Tile",
    }
)  # fmt: skip
# (q - z) s / s is q - z but for two roundings, less than half where scales are normal numbers and q has 16 bits.
_SMALLEST, _LARGEST = 1e-30, 1e30


def drop_requantisation(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Let the readers of what is quantised twice read it as it was."""
    if node.domain or node.op not in {"QuantizeLinear", "DequantizeLinear"}:
        return None
    if node.op == "DequantizeLinear":
        inner = editor.producer_of(node.inputs[0])
        if inner is None or inner.domain or inner.op != "QuantizeLinear" or not _same(editor, inner, node):
            return None
        source = inner.inputs[0]
        known = _first_factors(editor, source, node)
        return Rewrite(drop=(node,), rename={node.output: source}) if known else None
    inner = editor.producer_of(node.inputs[0])
    if inner is None or inner.domain or inner.op != "DequantizeLinear" or not _same(editor, inner, node):
        return None
    return Rewrite(drop=(node,), rename={node.output: inner.inputs[0]})


def _first_factors(editor: GraphEditor, name: str, node: Node) -> bool:
    """Whether a value is a dequantised one with the same factors, moved around."""
    maker = editor.producer_of(name)
    while maker is not None and not maker.domain and maker.op in _CARRIERS:
        maker = editor.producer_of(maker.inputs[0])
    return maker is not None and not maker.domain and maker.op == "DequantizeLinear" and _same(editor, maker, node)


def _same(editor: GraphEditor, one: Node, other: Node) -> bool:
    """Whether both have the same constant scale and zero point, each a number, of a type with a full range."""
    first, second = _factors(editor, one), _factors(editor, other)
    return first is not None and first == second and _is_plain(one) and _is_plain(other)


def _is_plain(node: Node) -> bool:
    return not any(node.integer(name) for name in ("block_size", "precision")) and (
        node.op == "QuantizeLinear" or not node.integer("output_dtype")
    )


def _factors(editor: GraphEditor, node: Node) -> tuple[float, int, str] | None:
    scale, zero = editor.constant(node.inputs[1]), editor.constant(node.input(2))
    stored = editor.value(node.output if node.op == "QuantizeLinear" else node.inputs[0])
    if not _is_number(scale) or scale is None or scale.dtype != np.float32 or (node.input(2) and not _is_number(zero)):
        return None
    factor = float(scale.reshape(-1)[0])
    if not _SMALLEST < factor < _LARGEST or stored.dtype not in RANGES or stored.shape is None:
        return None
    if zero is not None and dtype_of(zero) is not stored.dtype:
        return None
    return factor, 0 if zero is None else int(zero.reshape(-1)[0]), str(stored.dtype)


def _is_number(array: Array | None) -> bool:
    return array is not None and array.size == 1
