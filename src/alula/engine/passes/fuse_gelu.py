"""GELU put together again, exact and in the tanh form.

    x -> Div(#sqrt 2) -> Erf -> Add(#1) -> Mul(x) -> Mul(#0.5)     becomes   x -> Gelu
    x -> Pow(#3) -> Mul(#0.044715) -> Add(x) -> Mul(#0.79788456) -> Tanh -> Add(#1) -> Mul(x) -> Mul(#0.5)
                                                                   becomes   x -> Gelu {approximate=tanh}

In: the last node of one of the spellings. Out: one node; readable, with the tolerance that the curve needs, and with
fewer products: the factors are gathered.
"""

from __future__ import annotations

import math

from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node
from alula.engine.passes.match import Made, Number, Pattern, Some, either, find, keeps_shape, made, replaced

_X, _ONE, _HALF, _TWO = Some("x"), Number(1.0), Number(0.5), Number(2.0)
# Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016, section 2.
_INNER, _CUBIC = Number(math.sqrt(2 / math.pi)), Number(0.044715)
_SQUARE = either(made("Mul", _X, _X), made("Pow", _X, _TWO))
_CUBE = either(made("Pow", _X, Number(3.0)), made("Mul", _X, _SQUARE))
_BENT = either(
    made("Add", _X, made("Mul", _CUBE, _CUBIC)),
    made("Add", _X, made("Mul", _X, made("Mul", _SQUARE, _CUBIC))),
    made("Mul", _X, made("Add", made("Mul", _SQUARE, _CUBIC), _ONE)),
)
_TANH = made(
    "Tanh",
    either(
        made("Mul", _BENT, _INNER),
        made("Mul", made("Mul", _X, _INNER), made("Add", made("Mul", _SQUARE, _CUBIC), _ONE)),
        made("Mul", made("Mul", _X, _INNER), made("Add", made("Mul", _X, made("Mul", _X, _CUBIC)), _ONE)),
    ),
)
_ERF = made("Erf", either(made("Div", _X, Number(math.sqrt(2))), made("Mul", _X, Number(math.sqrt(0.5)))))


def _spellings(curve: Pattern) -> tuple[Made, ...]:
    """X times half of (curve + 1), in all orders."""
    raised = made("Add", curve, _ONE)
    return (
        made("Mul", made("Mul", _X, raised), _HALF),
        made("Div", made("Mul", _X, raised), _TWO),
        made("Mul", _X, either(made("Mul", raised, _HALF), made("Div", raised, _TWO))),
        made("Mul", either(made("Mul", _X, _HALF), made("Div", _X, _TWO)), raised),
    )


_FORMS = (("none", _spellings(_ERF)), ("tanh", _spellings(_TANH)))


def fuse_gelu(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Replace the fragment that ends here."""
    if node.domain or node.op not in {"Mul", "Div"}:
        return None
    for approximate, spellings in _FORMS:
        match = find(editor, node, spellings)
        if match is not None and keeps_shape(editor, match.values["x"], node.output):
            return replaced(match, node, "Gelu", (match.values["x"],), {"approximate": approximate})
    return None
