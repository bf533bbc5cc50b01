"""Values weighed from the left, as blocks over pictures write attention, weighed from the right as all others do.

    scores -> Softmax -> Transpose -> w; MatMul(v [D, T], w [T, rows])
    becomes   MatMul(Softmax [rows, T], Transpose(v)) -> Transpose

In: a product of values and turned weights. Out: the product of the weights and the turned values: [D, T] is turned
instead of the larger [rows, T], and the fragment becomes one that `fuse_attention` knows.
"""

from __future__ import annotations

from types import MappingProxyType

from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node, Value
from alula.engine.passes.known import static_shape
from alula.engine.passes.merge_transposes import order_of

_MATRIX = 2


def turn_weighing(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Exchange the sides, if the right one is a turned softmax that nobody else reads turned."""
    if node.kind != ("", "MatMul"):
        return None
    turn = editor.producer_of(node.inputs[1])
    softmax = editor.producer_of(turn.inputs[0]) if turn is not None else None
    if turn is None or softmax is None or softmax.kind != ("", "Softmax") or editor.uses_of(turn.output) != 1:
        return None
    values, shape = static_shape(editor, node.inputs[0]), static_shape(editor, node.output)
    if values is None or shape is None or len(values) != len(shape) or len(shape) < _MATRIX:
        return None
    order = (*range(len(shape) - _MATRIX), len(shape) - 1, len(shape) - _MATRIX)
    if order_of(editor, turn) != order or editor.constant(node.inputs[0]) is not None:
        return None
    dtype = editor.value(node.output).dtype
    turned = Value(editor.fresh(f"{node.inputs[0]}.turned"), dtype, (*values[:-2], values[-1], values[-2]))
    product = Value(editor.fresh(f"{node.output}.turned"), dtype, (*shape[:-2], shape[-1], shape[-2]))
    attributes = MappingProxyType({"perm": order})
    add = (
        Node("Transpose", (node.inputs[0],), (turned.name,), attributes),
        Node("MatMul", (softmax.output, turned.name), (product.name,), name=node.name),
        Node("Transpose", (product.name,), node.outputs, attributes),
    )
    return Rewrite(drop=(turn, node), add=add, values=(turned, product))
