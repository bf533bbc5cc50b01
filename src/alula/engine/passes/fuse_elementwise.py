"""Elementwise operators become formulas; scalar constants become literals in them.

    x -> Clip(#0, #6)   becomes   x -> Elementwise <r1 = max(r0, 0.0); r2 = min(r1, 6.0)>

In: a node whose operator can be lowered. Out: an Elementwise over its other inputs, each once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from alula.base.tensors import DType
from alula.engine.graph.formula import Formula, FormulaBuilder, Operand
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import INTERNAL, Node
from alula.engine.graph.primitives import FORMULA_TYPES, REALS, Inexpressible
from alula.engine.operators.attributes import attributes_of
from alula.engine.operators.common import Mismatch, broadcast_shapes
from alula.engine.operators.evaluate import known_operator
from alula.engine.operators.record import Lower, UnknownShape
from alula.engine.operators.table import operator_of
from alula.engine.passes.compose import is_complete, without_repeats
from alula.engine.passes.drop_identity import bypass

# Sums of thousands of values are left to the reference: a loop needs a pointer for each.
_MOST_INPUTS = 64


def fuse_elementwise(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Lower one node."""
    operator = operator_of(node)
    if node.domain == INTERNAL or operator is None or operator.lower is None:
        return None
    types = {name: _type(editor, name) for name in (*node.inputs, node.output) if name}
    if not FORMULA_TYPES.issuperset(types.values()):
        return None
    literals = {name: _literal(editor, node, name) for name in node.inputs if name}
    names = without_repeats([name for name in node.inputs if name and literals[name] is None])
    if not 0 < len(names) <= _MOST_INPUTS or not _fills(editor, names, node.output):
        return None
    result = types[node.output]
    builder = FormulaBuilder(
        len(names), [types[name] for name in names], types[names[0]] if result is DType.BOOL else result
    )
    if not _lowered(builder, operator.lower, node, names, literals):
        return None
    formula = builder.build()
    if formula.result_type is not result:
        return None
    changed = Rewrite(drop=(node,), add=(_elementwise(node, formula, names),))
    return changed if builder.steps else bypass(editor, node) or changed


def _lowered(
    builder: FormulaBuilder, lower: Lower, node: Node, names: tuple[str, ...], literals: Mapping[str, float | None]
) -> bool:
    """Whether the formula that the operator writes is the whole of it."""
    registers = dict(zip(names, builder.arguments(), strict=True))
    operands: list[Operand | None] = [_operand(name, literals, registers) for name in node.inputs]
    try:
        return is_complete(builder, lower(builder, *operands, **attributes_of(known_operator(node), node)))
    except Inexpressible:
        return False


def _operand(name: str, literals: Mapping[str, float | None], registers: Mapping[str, Operand]) -> Operand | None:
    if not name:
        return None
    literal = literals[name]
    return registers[name] if literal is None else literal


def _type(editor: GraphEditor, name: str) -> DType:
    """The element type; string, of which there are no formulas, where nothing is known."""
    value = editor.values.get(name)
    return DType.STRING if value is None else value.dtype


def _literal(editor: GraphEditor, node: Node, name: str) -> float | None:
    """The number behind a constant of one element; None for others, and where its axes give the output its rank.

    Formulas compare by value: NaN would differ from itself, and -0.0 be the same as 0.0. Both stay inputs.
    """
    array = editor.constant(name)
    if array is None or array.size != 1:
        return None
    ranks = [len(editor.value(other).shape or ()) for other in node.inputs if other and editor.constant(other) is None]
    if array.ndim > max(ranks, default=0):
        return None
    number = array.reshape(-1)[0]
    if _type(editor, name) not in REALS:
        return bool(number) if array.dtype.kind == "b" else int(number)
    real = float(number)
    return None if math.isnan(real) or (real == 0 and math.copysign(1, real) < 0) else real


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
