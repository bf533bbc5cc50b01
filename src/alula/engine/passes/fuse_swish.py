"""Swish put together again, the quick form of GELU included.

    x -> Sigmoid -> Mul(x)                      becomes   x -> Swish
    x -> Mul(#1.702) -> Sigmoid -> Mul(x)       becomes   x -> Swish {alpha=1.702}
    x -> Neg -> Exp -> Add(#1) -> Div(x, .)     becomes   x -> Swish

In: the last node of one of the spellings. Out: one node, which takes one step less than its parts: x / (1 + exp(-x))
needs no product, and rounds once less.
"""

from __future__ import annotations

from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node
from alula.engine.passes.match import Number, Some, either, find, keeps_shape, made, replaced

_X, _ALPHA = Some("x"), Number(name="alpha")
_SPELLINGS = (
    made("Mul", _X, made("Sigmoid", _X)),
    made("Mul", _X, made("Sigmoid", made("Mul", _X, _ALPHA))),
    made("Div", _X, made("Add", made("Exp", either(made("Neg", _X), made("Mul", _X, Number(-1.0)))), Number(1.0))),
)


def fuse_swish(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Replace the fragment that ends here."""
    if node.domain or node.op not in {"Mul", "Div"}:
        return None
    match = find(editor, node, _SPELLINGS)
    if match is None or not keeps_shape(editor, match.values["x"], node.output):
        return None
    return replaced(match, node, "Swish", (match.values["x"],), {"alpha": match.numbers.get("alpha", 1.0)})
