"""HardSwish put together again.

    x -> Add(#3) -> Clip(#0, #6) -> Mul(x) -> Div(#6)   becomes   x -> HardSwish
    x -> HardSigmoid {alpha=1/6, beta=1/2} -> Mul(x)    becomes   x -> HardSwish

In: the last node of one of the spellings. Out: one node. The formula that the parts would be fused to is as fast; one
node is easier to read, has a tolerance of its own, and does not overflow where 6 x would.
"""

from __future__ import annotations

from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node
from alula.engine.passes.match import Number, Some, either, find, keeps_shape, made, replaced

_X = Some("x")
_ZERO, _SIX, _SIXTH = Number(0.0), Number(6.0), Number(1 / 6)
_RAISED = made("Add", _X, Number(3.0))
# Howard et al., MobileNetV3, 2019: x relu6(x + 3) / 6.
_GATE = either(
    made("Clip", _RAISED, _ZERO, _SIX),
    made("Min", made("Relu", _RAISED), _SIX),
    made("Min", made("Max", _RAISED, _ZERO), _SIX),
    made("Clip", made("Relu", _RAISED), _ZERO, _SIX),
)
_SPELLINGS = (
    made("Div", made("Mul", _X, _GATE), _SIX),
    made("Mul", made("Mul", _X, _GATE), _SIXTH),
    made("Mul", _X, either(made("Div", _GATE, _SIX), made("Mul", _GATE, _SIXTH))),
    made("Mul", either(made("Div", _X, _SIX), made("Mul", _X, _SIXTH)), _GATE),
    made("Mul", _X, made("HardSigmoid", _X, name="gate")),
)
_NEAR = 1e-4
_ALPHA, _BETA = 0.2, 0.5  # ONNX, HardSigmoid: the defaults


def fuse_hard_swish(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Replace the fragment that ends here."""
    if node.domain or node.op not in {"Mul", "Div"}:
        return None
    match = find(editor, node, _SPELLINGS)
    if match is None or not keeps_shape(editor, match.values["x"], node.output):
        return None
    gate = match.named.get("gate")
    if gate is not None and not _is_sixth(gate):
        return None
    return replaced(match, node, "HardSwish", (match.values["x"],))


def _is_sixth(gate: Node) -> bool:
    """Whether a HardSigmoid is that of HardSwish; other slopes are exported too."""
    return abs(gate.real("alpha", _ALPHA) - 1 / 6) < _NEAR and abs(gate.real("beta", _BETA) - 1 / 2) < _NEAR
