"""The type that another value has is a type by name.

    CastLike(x, t)   becomes   Cast(x) {to=the type of t}

In: a CastLike. Out: a Cast; whoever makes the other value only for its type goes.
"""

from __future__ import annotations

from types import MappingProxyType

from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node, Value
from alula.engine.graph.onnx_dtypes import ONNX_NUMBERS


def resolve_cast_like(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Name the type."""
    cast = cast_by_name(node, editor.values.get(node.input(1)))
    return None if cast is None else Rewrite(drop=(node,), add=(cast,))


def cast_by_name(node: Node, like: Value | None) -> Node | None:
    """The Cast that a CastLike is; None for other nodes, and where the other value's type is not known."""
    if node.kind != ("", "CastLike") or like is None:
        return None
    number = ONNX_NUMBERS.get(like.dtype)
    if number is None:
        return None
    attributes = MappingProxyType({**node.attributes, "to": number})
    return Node("Cast", node.inputs[:1], node.outputs, attributes, node.name)
