"""Elementwise operators of float32 become formulas; scalar constants become literals in them.

    x -> Clip(#0, #6)   becomes   x -> Elementwise <r1 = max(r0, 0.0); r2 = min(r1, 6.0)>

In: a node whose operator can be lowered. Out: an Elementwise over its other inputs, each once.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.formula import Formula, FormulaBuilder, Operand
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import INTERNAL, Node
from alula.engine.operators.attributes import attributes_of
from alula.engine.operators.common import Mismatch, broadcast_shapes
from alula.engine.operators.record import UnknownShape
from alula.engine.operators.table import operator_of
from alula.engine.passes.compose import is_complete, without_repeats
from alula.engine.passes.drop_identity import bypass


def fuse_elementwise(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Lower one node."""
    operator = operator_of(node)
    if node.domain == INTERNAL or operator is None or operator.lower is None or not _is_float(editor, node.output):
        return None
    literals = {name: _literal(editor, node, name) for name in node.inputs if name}
    names = without_repeats([name for name in node.inputs if name and literals[name] is None])
    if not names or not all(_is_float(editor, name) for name in names) or not _fills(editor, names, node.output):
        return None
    builder = FormulaBuilder(len(names))
    registers = dict(zip(names, builder.arguments(), strict=True))
    operands: list[Operand | None] = [_operand(name, literals, registers) for name in node.inputs]
    if not is_complete(builder, operator.lower(builder, *operands, **attributes_of(operator, node))):
        return None
    if not builder.steps:
        return bypass(editor, node) if names[0] == node.inputs[0] else None
    return Rewrite(drop=(node,), add=(_elementwise(node, builder.build(), names),))


def _operand(name: str, literals: Mapping[str, float | None], registers: Mapping[str, Operand]) -> Operand | None:
    if not name:
        return None
    literal = literals[name]
    return registers[name] if literal is None else literal


def _is_float(editor: GraphEditor, name: str) -> bool:
    value = editor.values.get(name)
    return value is not None and value.dtype is DType.FLOAT32


def _literal(editor: GraphEditor, node: Node, name: str) -> float | None:
    """The number behind a constant of one element; None for others, and where its axes give the output its rank."""
    array = editor.constant(name)
    if array is None or array.size != 1 or array.dtype.kind not in "fiu":
        return None
    ranks = [len(editor.value(other).shape or ()) for other in node.inputs if other and editor.constant(other) is None]
    if array.ndim > max(ranks, default=0):
        return None
    return float(np.float32(array.reshape(())))


def _fills(editor: GraphEditor, names: tuple[str, ...], output: str) -> bool:
    """Whether the inputs alone broadcast to the output's shape."""
    shapes = [shape for shape in (editor.value(name).shape for name in names) if shape is not None]
    if len(shapes) < len(names):
        return False
    try:
        return broadcast_shapes(*shapes) == editor.value(output).shape
    except (Mismatch, UnknownShape):
        return False


def _elementwise(node: Node, formula: Formula, names: tuple[str, ...]) -> Node:
    attributes = MappingProxyType({"formula": formula})
    return Node("Elementwise", names, node.outputs[:1], attributes, node.name, INTERNAL)
