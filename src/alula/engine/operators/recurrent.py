"""Recurrent layers: RNN, GRU and LSTM, in one or both directions.

In: x [steps, batch, input], weights [directions, gates x hidden, input or hidden]; with layout 1, batches come first.
Out: every step's state [steps, directions, batch, hidden], and the last states [directions, batch, hidden].
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.engine.graph.dims import Shape
from alula.engine.graph.nodes import INTERNAL, Array, Node
from alula.engine.operators.cells import KINDS, Cell, Kind, State, activations, turned_round, walk
from alula.engine.operators.common import Mismatch, show, without
from alula.engine.operators.precision import in_float32
from alula.engine.operators.record import REQUIRED, Inference, Inferred, Operator, Tolerance

_DIRECTIONS = MappingProxyType({"forward": 1, "reverse": 1, "bidirectional": 2})
_RANK = 3


def recurrent(kind: str, *inputs: Array | None, **attributes: Any) -> tuple[Array, ...]:
    """Both directions one after the other; the backward one reads and writes its steps in reverse."""
    padded: list[Array | None] = [*inputs, *[None] * (8 - len(inputs))]
    x, w, r, b, lengths, h, c, peepholes = padded
    if x is None or w is None or r is None:
        raise Mismatch("input and weights must be there", "one is left out")
    direction, layout = attributes["direction"], attributes["layout"]
    count = _directions(direction, w.shape)
    x = x.swapaxes(0, 1) if layout else x
    hidden, batch = r.shape[2], x.shape[1]
    given = [np.zeros((count, batch, hidden), x.dtype) if state is None else (state.swapaxes(0, 1) if layout else state)
             for state in (h, c)[: KINDS[kind].states]]  # fmt: skip
    functions = _functions(KINDS[kind], count, attributes)
    rows, lasts = [], []
    for way in range(count):
        bias = np.zeros(2 * r.shape[1], x.dtype) if b is None else b[way]
        cell = Cell(
            r[way], bias[r.shape[1] :], tuple(functions[way]), attributes["clip"],
            None if peepholes is None else peepholes[way], bool(attributes.get("input_forget", 0)),
            bool(attributes.get("linear_before_reset", 0)),
        )  # fmt: skip
        gates = x @ w[way].T + bias[: r.shape[1]]
        backward = direction == "reverse" or way == 1
        y, last = _one_way(KINDS[kind], cell, gates, tuple(state[way] for state in given), lengths, backward=backward)
        rows.append(y)
        lasts.append(last)
    y = np.stack(rows, 1)
    states = [np.stack(column) for column in zip(*lasts, strict=True)]
    if layout:
        return (y.transpose(2, 0, 1, 3), *(state.swapaxes(0, 1) for state in states))
    return (y, *states)


def _one_way(
    kind: Kind, cell: Cell, gates: Array, state: State, lengths: Array | None = None, *, backward: bool
) -> tuple[Array, State]:
    ordered = turned_round(gates, lengths) if backward else gates
    y, last = walk(kind, cell, ordered, state, lengths)
    return turned_round(y, lengths) if backward else y, last


def _directions(direction: str, w: tuple[Any, ...]) -> int:
    """How many directions there are.

    Raises:
        Mismatch: the word is unknown, or the weights are for another number.
    """
    if direction not in _DIRECTIONS:
        raise Mismatch(f"direction must be one of {', '.join(_DIRECTIONS)}", f"it is {direction}")
    count = _DIRECTIONS[direction]
    if len(w) != _RANK or w[0] != count:
        raise Mismatch(f"weights must be [{count}, gates x hidden, input]", f"they are {show(w)}")
    return count


def _functions(kind: Kind, count: int, attributes: Any) -> list[list[Callable[[Array], Array]]]:
    """The activations of each direction."""
    names = attributes["activations"] or kind.activations * count
    each = len(kind.activations)
    if len(names) < each * count:
        raise Mismatch(f"activations must be {each * count}", f"there are {len(names)}")
    found = activations(names[: each * count], attributes["activation_alpha"], attributes["activation_beta"])
    return [found[way * each : (way + 1) * each] for way in range(count)]


def _infer_recurrent(kind: str, at: Inference) -> Inferred:
    x, w, r = at.shape(0), at.shape(1), at.shape(2)
    count = _directions(at.attributes["direction"], w)
    if len(x) != _RANK or len(r) != _RANK:
        raise Mismatch("input must be [steps, batch, input]", f"it is {show(x)}")
    hidden, dtype = r[2], at.dtype(0)
    y: Shape = (x[0], count, x[1], hidden)
    last: Shape = (count, x[1], hidden)
    if at.attributes["layout"]:
        y, last = (x[0], x[1], count, hidden), (x[0], count, hidden)
    return [(dtype, y), *[(dtype, last)] * KINDS[kind].states]


def _upgrade_recurrent(node: Node, version: int, constant: Callable[[Array], str]) -> Node:
    """Before 7, `output_sequence` said whether all steps are wanted: naming the output says it too."""
    del version, constant
    return without(node, "output_sequence")


def recurrent_core(gates: Array, r: Array, bias: Array, *states: Array, **attributes: Any) -> tuple[Array, ...]:
    """One direction with default activations over gates [steps, batch, gates x hidden] that hold the input's share."""
    kind = KINDS[attributes["kind"]]
    functions = tuple(activations(kind.activations, (), ()))
    cell = Cell(r, bias, functions, linear_before_reset=bool(attributes["linear_before_reset"]))
    y, last = _one_way(kind, cell, gates, states, backward=bool(attributes["backward"]))
    return (y, *last)


def _infer_core(at: Inference) -> Inferred:
    gates, r = at.shape(0), at.shape(1)
    last = (gates[1], r[1])
    return [(at.dtype(0), (gates[0], *last)), *[(at.dtype(0), last)] * KINDS[at.attributes["kind"]].states]


_ATTRIBUTES = MappingProxyType(
    {
        "activations": (), "activation_alpha": (), "activation_beta": (), "clip": 0.0, "direction": "forward",
        "hidden_size": 0, "layout": 0,
    }
)  # fmt: skip


def _layer(name: str, since: tuple[int, ...], summary: str, **more: Any) -> Operator:
    states = ("h?", "c?", "peepholes?") if name == "LSTM" else ("h?",)
    return Operator(
        name=name, since=since, inputs=("x", "w", "r", "b?", "lengths?", *states),
        outputs=("y", "last_h", "last_c")[: 1 + KINDS[name].states],
        attributes=MappingProxyType({**_ATTRIBUTES, **more}), infer=partial(_infer_recurrent, name),
        reference=in_float32(partial(recurrent, name)), upgrade=_upgrade_recurrent,
        agrees_within=Tolerance(relative=1e-4, absolute=1e-5), summary=summary,
    )  # fmt: skip


RNN = _layer(
    "RNN", (1, 7, 14, 22), "A layer whose state is a function of its input and its state.", activations=("Tanh", "Tanh")
)
GRU = _layer("GRU", (1, 3, 7, 14, 22), "A layer with gated recurrent units.", linear_before_reset=0)
LSTM = _layer("LSTM", (1, 7, 14, 22), "A layer with long short-term memory.", input_forget=0)

RECURRENT_CORE = Operator(
    name="RecurrentCore",
    domain=INTERNAL,
    since=(1,),
    inputs=("gates", "r", "bias", "states*"),
    outputs=("y", "last_h", "last_c"),
    attributes=MappingProxyType({"kind": REQUIRED, "backward": 0, "linear_before_reset": 0}),
    infer=_infer_core,
    reference=recurrent_core,
    agrees_within=Tolerance(relative=1e-4, absolute=1e-5),
    summary="The steps of one direction of a recurrent layer, behind the products with its input.",
)

OPERATORS = (RNN, GRU, LSTM, RECURRENT_CORE)
