"""Whole numbers of 8 and 16 bits between formulas stay in float32, which holds them exactly.

    Elementwise <f: int8> -> q   becomes   Elementwise <cast(f, float32)> -> q' -> Elementwise <cast(r0, int8)> -> q
    Elementwise <cast(r0, int8)> -> q -> Elementwise <f>, twice   becomes   Elementwise <f(cast(r0, int8))>, twice
    q -> MaxPool -> int8         becomes   q -> Elementwise <cast> -> MaxPool -> Elementwise <cast(r0, int8)>

In: a quantised value that several formulas read, or a pool. Out: the same behind a value in float32, which can be the
epilogue of what is before, lies in blocks, and is read there; no reader is left that needs the bytes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from alula.base.tensors import DType
from alula.engine.graph.dims import is_static, static
from alula.engine.graph.formula import Formula, FormulaBuilder, Register
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import INTERNAL, Node
from alula.engine.passes.compose import compose
from alula.engine.passes.fuse_chain import ELEMENTWISE, MOST_INPUTS, MOST_STEPS, applied
from alula.engine.passes.lower_quantisation import STORED
from alula.engine.passes.sketch import Sketch

_POOLS = frozenset({"MaxPool", "GlobalMaxPool"})


def widen_bytes(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Rewrite one formula that gives bytes to several or reads what is only cast, or one pool of bytes."""
    if not node.domain and node.op in _POOLS:
        return _pool(editor, node)
    if node.kind != ELEMENTWISE:
        return None
    return _past_cast(editor, node) or _behind_float(editor, node)


def _behind_float(editor: GraphEditor, node: Node) -> Rewrite | None:
    value, readers = editor.value(node.output), editor.consumers_of(node.output)
    formula = node.formula("formula")
    if value.dtype not in STORED or node.output in editor.outputs or len(readers) < 2 or _is_cast(node):  # noqa: PLR2004  uses
        return None
    if any(reader.kind != ELEMENTWISE for reader in readers):
        return None
    builder = FormulaBuilder(formula.inputs, formula.input_types)
    builder.cast(builder.call(formula, builder.arguments()), DType.FLOAT32)
    wide = replace(value, name=editor.fresh(f"{value.name}.wide"), dtype=DType.FLOAT32)
    made = replace(node.with_attributes(formula=builder.build()), outputs=(wide.name,))
    back = Node("Elementwise", (wide.name,), node.outputs, {"formula": _cast(DType.FLOAT32, value.dtype)},
                f"{node.label} (as {value.dtype})", INTERNAL)  # fmt: skip
    return Rewrite(drop=(node,), add=(made, back), values=(wide,))


def _past_cast(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Cast where the result is read: that costs less than to store it."""
    shape = editor.value(node.output).shape
    for name in node.inputs:
        maker = editor.producer_of(name)
        if maker is None or not _is_cast(maker) or editor.value(name).shape != shape:
            continue
        merged = compose(applied(node), name, applied(maker))
        if len(merged.names) > MOST_INPUTS or len(merged.formula.steps) > MOST_STEPS:
            continue
        gone = (maker, node) if editor.uses_of(name) == 1 else (node,)
        return Rewrite(drop=gone, add=(replace(node.with_attributes(formula=merged.formula), inputs=merged.names),))
    return None


def _cast(source: DType, result: DType) -> Formula:
    builder = FormulaBuilder(1, [source])
    builder.cast(Register(0), result)
    return builder.build()


def _is_cast(node: Node) -> bool:
    """Whether the node only makes bytes of float32."""
    formula = node.formula("formula")
    if node.kind != ELEMENTWISE or formula.inputs != 1 or len(formula.steps) != 1:
        return False
    return formula.steps[0].to in STORED and formula.input_types[0] is DType.FLOAT32


def _pool(editor: GraphEditor, node: Node) -> Rewrite | None:
    x, y = editor.value(node.inputs[0]), editor.value(node.output)
    if len([name for name in node.outputs if name]) > 1 or x.dtype not in STORED or not x.shape or not y.shape:
        return None
    if not is_static(x.shape) or not is_static(y.shape):
        return None
    sketch = Sketch(editor, node)
    wide = sketch.node("Elementwise", (x.name,), static(x.shape), INTERNAL, DType.FLOAT32,
                       formula=_cast(x.dtype, DType.FLOAT32))  # fmt: skip
    pooled = sketch.node(node.op, (wide,), static(y.shape), **dict[str, Any](node.attributes))
    return sketch.finish(
        sketch.node("Elementwise", (pooled,), static(y.shape), INTERNAL, x.dtype, formula=_cast(DType.FLOAT32, x.dtype))
    )
