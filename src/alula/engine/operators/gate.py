"""The gate of squeeze-and-excitation: two products of a vector of channels, a formula behind each.

In: x [N, C, 1, 1], W1 [S, C], b1 [S], W2 [O, S], b2 [O], all float32. Out: [N, O, 1, 1].
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from alula.engine.graph.formula import IDENTITY, Formula
from alula.engine.graph.nodes import INTERNAL, Array
from alula.engine.operators.common import Mismatch, agree, show
from alula.engine.operators.formula import evaluate_formula
from alula.engine.operators.record import Inference, Inferred, Operator

_MATRIX = 2


def channel_gate(x: Array, *matrices: Array | None, squeeze: Formula, excite: Formula) -> Array:
    """excite(W2 squeeze(W1 x + b1) + b2) for each image (Hu et al., Squeeze-and-excitation networks, 2018).

    `matrices` are W1, b1, W2 and b2; the biases may be None, and the last may be left out.
    """
    w1, b1, w2, b2 = (*matrices, None)[:4]
    hidden = evaluate_formula(squeeze, (_product(x.reshape(len(x), -1), w1, b1),))
    return evaluate_formula(excite, (_product(hidden, w2, b2),)).reshape(len(x), -1, 1, 1)


def _product(x: Array, w: Array | None, b: Array | None) -> Array:
    y = np.asarray(np.matmul(x, np.asarray(w).T), x.dtype)
    return y if b is None else y + b


def _infer(at: Inference) -> Inferred:
    x, w1, w2 = at.shape(0), at.shape(1), at.shape(3)
    if x[2:] != (1, 1) or len(w1) != _MATRIX or len(w2) != _MATRIX:
        raise Mismatch("x must be [N, C, 1, 1] and weights matrices", f"they are {show(x)}, {show(w1)} and {show(w2)}")
    if not agree(x[1], w1[1]) or not agree(w1[0], w2[1]):
        raise Mismatch("channels must be the columns of weights", f"they are {show(x)}, {show(w1)} and {show(w2)}")
    for index, rows in ((2, w1[0]), (4, w2[0])):
        if at.has(index) and (len(at.shape(index)) != 1 or not agree(at.shape(index)[0], rows)):
            raise Mismatch(f"a bias must be {show((rows,))}", f"it is {show(at.shape(index))}")
    for name in ("squeeze", "excite"):
        if at.attributes[name].inputs != 1:
            raise Mismatch(f"{name} is to be a formula of one input", f"it has {at.attributes[name].inputs}")
    return [(at.dtype(0), (x[0], w2[0], 1, 1))]


CHANNEL_GATE = Operator(
    name="ChannelGate",
    domain=INTERNAL,
    since=(1,),
    inputs=("x", "w1", "b1?", "w2", "b2?"),
    attributes=MappingProxyType({"squeeze": IDENTITY, "excite": IDENTITY}),
    infer=_infer,
    reference=channel_gate,
    summary="Two products of a vector of channels, a formula behind each.",
)

OPERATORS = (CHANNEL_GATE,)
