"""Recurrent layers that no kernel has as they are, step by step; and those that stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.lowered import Form, assert_lowered, host_operators
from support.pass_graphs import prepared
from support.problem import reals

from alula.engine.graph.nodes import Array
from alula.engine.operators.cells import KINDS
from alula.engine.passes.driver import run_node_pass
from alula.engine.passes.order import optimise
from alula.engine.passes.unroll_recurrent import unroll_recurrent

_STEPS, _BATCH, _INPUT, _HIDDEN = 5, 3, 4, 6
_LENGTHS = np.array([5, 0, 3], np.int32)
_OUTPUTS = {"RNN": ("y", "h"), "GRU": ("y", "h"), "LSTM": ("y", "h", "c")}


def _form(op: str, *, lengths: Array | None = None, states: bool = False, fed: int = 99, **attributes: Any) -> Form:
    """A layer; `states` brings first ones, and peepholes where there are such."""
    ways = 2 if attributes.get("direction") == "bidirectional" else 1
    rows, layout = KINDS[op].gates * _HIDDEN, attributes.get("layout", 0)
    x = reals(*((_BATCH, _STEPS, _INPUT) if layout else (_STEPS, _BATCH, _INPUT)))
    state = reals(*((_BATCH, ways, _HIDDEN) if layout else (ways, _BATCH, _HIDDEN))) / 3
    weights = (reals(ways, rows, _INPUT) / 3, reals(ways, rows, _HIDDEN) / 6, reals(ways, 2 * rows) / 3)
    more = [state, state / 2, reals(ways, 3 * _HIDDEN) / 2][: 3 if op == "LSTM" else 1] if states else []
    return Form(op, (x, *weights, lengths, *more), attributes, _OUTPUTS[op], fed)


_WORDS: tuple[dict[str, Any], ...] = (
    {},
    {"direction": "reverse", "states": True},
    {"direction": "bidirectional", "lengths": _LENGTHS, "states": True},
    {"direction": "reverse", "lengths": _LENGTHS, "fed": 1},
    {"layout": 1, "direction": "bidirectional", "states": True, "clip": 0.4},
    {"lengths": _LENGTHS, "clip": 0.5, "fed": 4},
)


@pytest.mark.parametrize("op", list(KINDS))
@pytest.mark.parametrize("words", _WORDS, ids=str)
def test_computed_weights_lengths_clips_and_peepholes_run_in_generated_code(
    op: str, words: dict[str, Any], tmp_path: Path
) -> None:
    """Rule: behind its length a sample stands still, gives zeros, and is turned round within its length only."""
    assert_lowered(_form(op, **words), tmp_path)


@pytest.mark.parametrize(("op", "words"), [
    ("GRU", {"linear_before_reset": 1}),
    ("LSTM", {"input_forget": 1, "states": True}),
    ("LSTM", {"activations": ("Sigmoid", "Softsign", "Relu"), "fed": 1}),
    ("RNN", {"direction": "bidirectional", "activations": ("Relu", "Softplus"), "fed": 1}),
])  # fmt: skip
def test_options_of_cells_keep_their_meaning(op: str, words: dict[str, Any], tmp_path: Path) -> None:
    """Rule: what the standard says of each option."""
    assert_lowered(_form(op, **words), tmp_path)


def test_activations_with_parameters_stay() -> None:
    """Rule: only operators without attributes stand for activations."""
    form = _form("GRU", activations=("HardSigmoid", "Relu"), activation_alpha=(0.3,))

    assert host_operators(form.graph()) == ["GRU"]


def test_a_layer_with_a_kernel_is_not_unrolled() -> None:
    """Rule: constant weights and usual activations go to the core, whose steps are a loop."""
    graph, _ = optimise(_form("LSTM", fed=1).graph())

    assert [node.op for node in graph.nodes].count("RecurrentCore") == 1


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_other_types_and_many_steps_stay(kind: type) -> None:
    """Rule: products have kernels for float32, and a plan of very many steps is no plan."""
    steps = 129 if kind is np.float32 else 2
    arrays = (reals(steps, 1, 2), reals(1, 3, 2), reals(1, 3, 3))
    before = prepared(Form("RNN", tuple(array.astype(kind) for array in arrays)).graph())

    assert run_node_pass(before, unroll_recurrent)[1] == 0
