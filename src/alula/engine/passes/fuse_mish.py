"""Mish put together again.

    x -> Softplus -> Tanh -> Mul(x)                   becomes   x -> Mish
    x -> Exp -> Add(#1) -> Log -> Tanh -> Mul(x)      becomes   x -> Mish

In: the last node of one of the spellings. Out: one node, whose softplus loses no digits where exp(x) is small.
"""

from __future__ import annotations

from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node
from alula.engine.passes.match import Number, Some, either, find, keeps_shape, made, replaced

_X = Some("x")
_SOFTPLUS = either(made("Softplus", _X), made("Log", made("Add", made("Exp", _X), Number(1.0))))
_SPELLINGS = (made("Mul", _X, made("Tanh", _SOFTPLUS)),)


def fuse_mish(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Replace the fragment that ends here."""
    if node.kind != ("", "Mul"):
        return None
    match = find(editor, node, _SPELLINGS)
    if match is None or not keeps_shape(editor, match.values["x"], node.output):
        return None
    return replaced(match, node, "Mish", (match.values["x"],))
