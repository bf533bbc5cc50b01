"""All operators that alula knows.

In: a domain and a name, or a node. Out: the operator's record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from alula.engine.graph.nodes import Node
from alula.engine.operators import (
    activation,
    align,
    arithmetic,
    attention,
    bitwise,
    boxes,
    chance,
    classify,
    compare,
    constant,
    control,
    conv,
    convert,
    crop,
    cumulate,
    deform,
    einsum,
    features,
    found,
    gate,
    grid,
    indexed,
    integer_products,
    internal,
    internal_spatial,
    join,
    layer_norms,
    loss,
    matmul,
    microsoft,
    microsoft_attention,
    microsoft_quantised,
    move,
    normalise,
    norms,
    pad,
    pattern,
    pick,
    pool,
    quantise,
    rectifier,
    recurrent,
    recurrent_attention,
    reduce,
    resize,
    roi,
    rounding,
    scaled_dot_product,
    scan,
    sequence,
    shape,
    spectrum,
    text,
    tfidf,
    tile,
    training,
    trees,
    trigonometry,
)
from alula.engine.operators.native.table import SELECTIONS
from alula.engine.operators.record import Operator
from alula.engine.operators.rewriting import MICROSOFT

# The newest version of ONNX's own operator set whose definitions the records have been held against.
NEWEST_OPSET = 28

_MISPLACED = frozenset({"SimplifiedLayerNormalization", "SkipLayerNormalization", "SkipSimplifiedLayerNormalization"})

_FILES = (
    activation, align, arithmetic, attention, bitwise, boxes, chance, classify, compare, constant, control, conv,
    convert, crop, cumulate, deform, einsum, features, found, gate, grid, indexed, integer_products, internal,
    internal_spatial, join, layer_norms, loss, matmul, microsoft, microsoft_attention, microsoft_quantised, move,
    normalise, norms, pad, pattern, pick, pool, quantise, rectifier, recurrent, recurrent_attention, reduce,
    resize, roi, rounding, scaled_dot_product, scan, sequence, shape, spectrum, text, tfidf, tile,
    training, trees, trigonometry,
)  # fmt: skip

OPERATORS: Mapping[tuple[str, str], Operator] = MappingProxyType(
    {
        (operator.domain, operator.name): replace(operator, select=SELECTIONS.get((operator.domain, operator.name)))
        for file in _FILES
        for operator in file.OPERATORS
    }
)


def operator_named(domain: str, name: str) -> Operator | None:
    """The record, or None; the domain `ai.onnx` is the empty one."""
    domain = "" if domain == "ai.onnx" else domain
    # ONNX Runtime's own, which its optimiser writes into the standard's domain.
    if not domain and name in _MISPLACED:
        domain = MICROSOFT
    return OPERATORS.get((domain, name))


def operator_of(node: Node) -> Operator | None:
    """The record of a node's operator, or None where alula does not know it."""
    return operator_named(node.domain, node.op)
