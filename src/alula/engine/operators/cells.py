"""The cells of recurrent networks: what one step makes of its state, and the walk along the steps.

In: gates as the input alone gives them, [steps, batch, gates x hidden]. Out: [steps, batch, hidden], and the last
states.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from alula.engine.graph.nodes import Array
from alula.engine.operators.activation import sigmoid
from alula.engine.operators.common import Mismatch

Activation = Callable[[Array], Array]
State = tuple[Array, ...]


@dataclass(frozen=True)
class Cell:
    """One direction of a recurrent layer: recurrence weights [gates x hidden, hidden], their bias, and options.

    Attributes:
        functions: the activations in ONNX's order: f; f, g; f, g, h.
        clip: limit of what goes into an activation; 0 is none.
        peepholes: [3 x hidden] for input, output and forget gate; LSTM only.
    """

    r: Array
    bias: Array
    functions: tuple[Activation, ...]
    clip: float = 0.0
    peepholes: Array | None = None
    input_forget: bool = False
    linear_before_reset: bool = False

    def bounded(self, x: Array) -> Array:
        """Within the clip."""
        return np.clip(x, -self.clip, self.clip) if self.clip > 0 else x


def rnn_step(cell: Cell, gates: Array, state: State) -> State:
    """H <- f(gates + R H)."""
    (h,) = state
    return (cell.functions[0](cell.bounded(gates + h @ cell.r.T + cell.bias)),)


def gru_step(cell: Cell, gates: Array, state: State) -> State:
    """Cho et al. 2014; with `linear_before_reset` the form of cuDNN, which resets behind the product."""
    (h,) = state
    f, g = cell.functions
    from_input = np.split(gates, 3, 1)
    r_z, r_r, r_h = np.split(cell.r, 3)
    b_z, b_r, b_h = np.split(cell.bias, 3)
    update = f(cell.bounded(from_input[0] + h @ r_z.T + b_z))
    reset = f(cell.bounded(from_input[1] + h @ r_r.T + b_r))
    held = reset * (h @ r_h.T + b_h) if cell.linear_before_reset else (reset * h) @ r_h.T + b_h
    new = g(cell.bounded(from_input[2] + held))
    return ((1 - update) * new + update * h,)


def lstm_step(cell: Cell, gates: Array, state: State) -> State:
    """Hochreiter and Schmidhuber 1997, with forget gates; gates stand in ONNX's order i, o, f, c."""
    h, c = state
    f, g, h_of = cell.functions
    i, o, forget, new = np.split(gates + h @ cell.r.T + cell.bias, 4, 1)
    p_i, p_o, p_f = (0, 0, 0) if cell.peepholes is None else np.split(cell.peepholes, 3)
    i = f(cell.bounded(i + p_i * c))
    forget = 1 - i if cell.input_forget else f(cell.bounded(forget + p_f * c))
    c = forget * c + i * g(cell.bounded(new))
    o = f(cell.bounded(o + p_o * c))
    return o * h_of(c), c


@dataclass(frozen=True)
class Kind:
    """A kind of cell: how many gates and states it has, how it steps, its default activations."""

    gates: int
    states: int
    step: Callable[[Cell, Array, State], State]
    activations: tuple[str, ...]


KINDS = MappingProxyType(
    {
        "RNN": Kind(1, 1, rnn_step, ("Tanh",)),
        "GRU": Kind(3, 1, gru_step, ("Sigmoid", "Tanh")),
        "LSTM": Kind(4, 2, lstm_step, ("Sigmoid", "Tanh", "Tanh")),
    }
)


def walk(kind: Kind, cell: Cell, gates: Array, state: State, lengths: Array | None = None) -> tuple[Array, State]:
    """Step through [steps, batch, gates x hidden]; a sample stands still behind its length, and gives zeros there."""
    rows = []
    for step in range(len(gates)):
        after = kind.step(cell, gates[step], state)
        if lengths is None:
            state = after
            rows.append(state[0])
            continue
        alive = (step < lengths)[:, None]
        state = tuple(np.where(alive, new, old) for new, old in zip(after, state, strict=True))
        rows.append(np.where(alive, after[0], 0).astype(gates.dtype))
    return np.stack(rows) if rows else np.zeros((0, *state[0].shape), gates.dtype), state


def turned_round(x: Array, lengths: Array | None) -> Array:
    """Steps in reverse order, each sample within its own length; the same again undoes it."""
    if lengths is None:
        return x[::-1]
    steps = np.arange(len(x))[:, None]
    places = np.where(steps < lengths, lengths - 1 - steps, steps)
    return x[places, np.arange(x.shape[1])]


# ONNX, LSTM: activations by lower-case name, with their default alpha and beta.
_PARAMETERS = MappingProxyType(
    {
        "relu": (lambda x, _a, _b: np.maximum(x, 0), ()),
        "tanh": (lambda x, _a, _b: np.tanh(x), ()),
        "sigmoid": (lambda x, _a, _b: sigmoid(x), ()),
        "softsign": (lambda x, _a, _b: x / (1 + np.abs(x)), ()),
        "softplus": (lambda x, _a, _b: np.logaddexp(x, 0), ()),
        "affine": (lambda x, a, b: a * x + b, (1.0, 0.0)),
        "scaledtanh": (lambda x, a, b: a * np.tanh(b * x), (1.0, 1.0)),
        "hardsigmoid": (lambda x, a, b: np.clip(a * x + b, 0, 1), (0.2, 0.5)),
        "leakyrelu": (lambda x, a, _b: np.where(x >= 0, x, a * x), (0.01,)),
        "thresholdedrelu": (lambda x, a, _b: np.where(x > a, x, 0), (1.0,)),
        "elu": (lambda x, a, _b: np.where(x >= 0, x, a * (np.exp(x) - 1)), (1.0,)),
    }
)


def activations(names: Sequence[str], alphas: Sequence[float], betas: Sequence[float]) -> list[Activation]:
    """The functions by name; those that have parameters take theirs from the lists, in their order.

    Raises:
        Mismatch: there is no such function.
    """
    left_alphas, left_betas = list(alphas), list(betas)
    found = []
    for name in names:
        if name.lower() not in _PARAMETERS:
            raise Mismatch(f"activations are {', '.join(_PARAMETERS)}", f"one is {name}")
        formula, defaults = _PARAMETERS[name.lower()]
        alpha = (left_alphas.pop(0) if left_alphas else defaults[0]) if defaults else 0.0
        beta = (left_betas.pop(0) if left_betas else defaults[1]) if len(defaults) > 1 else 0.0
        found.append(_bound(formula, alpha, beta))
    return found


def _bound(formula: Callable[[Array, Array, Array], Array], alpha: float, beta: float) -> Activation:
    return lambda x: np.asarray(formula(x, x.dtype.type(alpha), x.dtype.type(beta)), x.dtype)
