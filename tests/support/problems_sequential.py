"""Problems: recurrent layers, attention, and the normalisations that stand around them.

In: nothing. Out: `PROBLEMS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from support.problem import X4, Problem, bools, ints, positive, problem, reals

_STEPS, _BATCH, _INPUT, _HIDDEN = 5, 3, 4, 6
_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
_LENGTHS = np.asarray([5, 2, 3], np.int32)


def _layer(op: str, directions: int = 1) -> list[Any]:
    """Input and weights of a layer."""
    rows = _GATES[op] * _HIDDEN
    weights = (directions, rows, _INPUT), (directions, rows, _HIDDEN), (directions, 2 * rows)
    return [reals(*shape, low=-0.9, high=0.9) for shape in ((_STEPS, _BATCH, _INPUT), *weights)]


def _states(op: str, directions: int = 1) -> list[Any]:
    state = reals(directions, _BATCH, _HIDDEN, low=-0.7, high=0.7)
    return [state, state + 0.1] if op == "LSTM" else [state]


def _recurrences() -> list[Problem]:
    found = []
    for op in _GATES:
        outputs = 3 if op == "LSTM" else 2
        kept: dict[str, Any] = {"hidden_size": _HIDDEN, "outputs": outputs, "judge": "ort", "opset": 14}
        one, two = _layer(op), _layer(op, 2)
        found += [
            problem(op, *one, **kept),
            problem(op, *one[:3], **kept),
            problem(op, *one, None, *_states(op), direction="reverse", **kept),
            problem(op, *two, None, *_states(op, 2), direction="bidirectional", **kept),
            problem(op, *two, _LENGTHS, *_states(op, 2), direction="bidirectional", **kept),
            problem(op, *one, _LENGTHS, direction="reverse", **kept),
            problem(op, *one, clip=0.4, **kept),
            problem(op, *one, **(kept | {"opset": 7})),
        ]
    return [*found, *_options()]


def _options() -> list[Problem]:
    kept: dict[str, Any] = {"hidden_size": _HIDDEN, "judge": "ort", "opset": 14}
    peepholes = reals(1, 3 * _HIDDEN)
    turned = [_layer("LSTM")[0].swapaxes(0, 1).copy(), *_layer("LSTM")[1:]]
    states = [state.swapaxes(0, 1).copy() for state in _states("LSTM")]
    return [
        problem("LSTM", *_layer("LSTM"), None, *_states("LSTM"), peepholes, outputs=3, **kept),
        problem("LSTM", *_layer("LSTM"), input_forget=1, outputs=3, **kept),
        problem("LSTM", *turned, None, *states, layout=1, outputs=3, hidden_size=_HIDDEN),
        problem("GRU", *_layer("GRU"), linear_before_reset=1, outputs=2, **kept),
        problem("GRU", *_layer("GRU", 2), direction="bidirectional", linear_before_reset=1, outputs=2, **kept),
        problem("LSTM", *_layer("LSTM"), activations=("HardSigmoid", "Softsign", "Relu"), activation_alpha=(0.3,),
                activation_beta=(0.6,), outputs=3, **kept),
        *(problem("RNN", *_layer("RNN"), activations=(name,), outputs=2, **kept, **more) for name, more in _FUNCTIONS),
        problem("RNN", *_layer("RNN", 2), activations=("LeakyRelu", "Elu"), activation_alpha=(0.2, 0.7), outputs=2,
                direction="bidirectional", **kept),
    ]  # fmt: skip


_FUNCTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("Relu", {}), ("Sigmoid", {}), ("Softsign", {}), ("Softplus", {}), ("HardSigmoid", {}), ("LeakyRelu", {}),
    ("ThresholdedRelu", {"activation_alpha": (0.1,)}),
    ("ScaledTanh", {"activation_alpha": (0.5,), "activation_beta": (0.7,)}),
    ("Affine", {"activation_alpha": (0.5,), "activation_beta": (0.1,)}),
)  # fmt: skip


def _attentions() -> list[Problem]:
    q, k, v = reals(2, 4, 3, 8), reals(2, 2, 5, 8), reals(2, 2, 5, 6)
    packed, past = (reals(2, 3, 32), reals(2, 5, 16), reals(2, 5, 12)), (reals(2, 2, 4, 8), reals(2, 2, 4, 6))
    every: dict[str, Any] = {"outputs": 4, "opset": 24}
    mask, hidden = reals(3, 5), bools(2, 1, 3, 5)
    return [
        problem("Attention", q, k, v, opset=23),
        problem("Attention", *packed, q_num_heads=4, kv_num_heads=2, opset=23),
        problem("Attention", q, k, v, mask, scale=0.2, softcap=3.0, qk_matmul_output_mode=1, **every),
        problem("Attention", q, k, v, hidden, qk_matmul_output_mode=3, **every),
        problem("Attention", q, k, v, None, *past, is_causal=1, qk_matmul_output_mode=2, **every),
        problem("Attention", q, k, v, reals(2, 4, 3, 7), *past, softmax_precision=11, **every),
        problem("Attention", q, k, v, None, None, None, ints(5, 2), is_causal=1, opset=24),
        problem("Attention", q, k, v, left_window_size=1, right_window_size=2, opset=25),
        problem("Attention", q, k, v, np.zeros((3, 5), np.bool_), opset=24),
    ]


def _streams() -> list[Problem]:
    q, k, v, strengths = reals(2, 3, 16), reals(2, 3, 8), reals(2, 3, 12), positive(2, 3, 2) / 3
    state, gates = reals(2, 2, 4, 6), -positive(2, 3, 2)
    heads: dict[str, Any] = {"q_num_heads": 4, "kv_num_heads": 2, "outputs": 2, "opset": 27}
    angles, signal = reals(6, 4), reals(2, 3, 7)
    return [
        problem("LinearAttention", q, k, v, state, gates, strengths, **heads),
        problem("LinearAttention", q, k, v, None, -positive(2, 3, 8), None, update_rule="gated", **heads),
        problem("LinearAttention", q, k, v, None, None, strengths, update_rule="delta", scale=0.3, **heads),
        problem("LinearAttention", q, k, v, update_rule="linear", **heads),
        problem("CausalConvWithState", signal, reals(3, 1, 4), outputs=2, opset=27),
        problem("CausalConvWithState", signal, reals(3, 1, 4), reals(3), reals(2, 3, 3), activation="silu", outputs=2,
                opset=27),
        problem("RotaryEmbedding", reals(2, 3, 5, 8), np.cos(angles), np.sin(angles), ints(0, 5, 1, 2, 3, 4, 1, 0, 2,
                5).reshape(2, 5), opset=23),
        problem("RotaryEmbedding", reals(2, 3, 24), np.cos(reals(2, 3, 4)), np.sin(reals(2, 3, 4)), num_heads=3,
                interleaved=1, opset=23),
        problem("RotaryEmbedding", reals(2, 3, 5, 12), np.cos(reals(2, 5, 4)), np.sin(reals(2, 5, 4)),
                rotary_embedding_dim=8, opset=23),
    ]  # fmt: skip


def _normalisations() -> list[Problem]:
    return [
        problem("RMSNormalization", X4, reals(8), opset=23),
        problem("RMSNormalization", X4, reals(9, 8), axis=-2, epsilon=0.1, opset=23),
        problem("GroupNormalization", X4, reals(4), reals(4, low=-1), num_groups=2, opset=21),
        problem("GroupNormalization", X4, reals(4), reals(4, low=-1), num_groups=4, epsilon=0.1, opset=21),
        problem("GroupNormalization", X4, reals(2), reals(2, low=-1), num_groups=2, opset=18),
    ]


PROBLEMS: Sequence[Problem] = (*_recurrences(), *_attentions(), *_streams(), *_normalisations())
