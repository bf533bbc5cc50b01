"""FlexAttention without graphs is Attention.

    FlexAttention(q, k, v)   becomes   Attention(q, k, v)

In: a FlexAttention over heads with an axis of their own that changes neither scores nor weights. Out: an Attention.
"""

from __future__ import annotations

from types import MappingProxyType

from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node
from alula.engine.passes.known import static_shape

_KIND = ("ai.onnx.preview", "FlexAttention")
_SAME = ("scale", "softmax_precision")
_INPUTS, _RANK = 3, 4


def resolve_flex_attention(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Name the operator that has kernels."""
    if node.kind != _KIND or len(node.inputs) != _INPUTS:
        return None
    changed = any(node.attributes.get(name) is not None for name in ("score_mod", "prob_mod"))
    if changed or any(len(static_shape(editor, name) or ()) != _RANK for name in node.inputs):
        return None
    attributes = MappingProxyType({name: node.attributes[name] for name in _SAME if name in node.attributes})
    return Rewrite(drop=(node,), add=(Node("Attention", node.inputs, node.outputs, attributes, node.name),))
