"""Operators that are written as several: what runs without its reference, and what stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.lowered import Form, assert_lowered, host_operators
from support.pass_graphs import GraphBuilder, kinds, prepared
from support.planned import assert_close, planned, results_of
from support.problem import reals

from alula.base.tensors import DType
from alula.engine.graph.nodes import Array, Value
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.passes.driver import NodePass, run_node_pass
from alula.engine.passes.lower_dropout import lower_dropout
from alula.engine.passes.lower_losses import lower_losses
from alula.engine.passes.lower_norm_pools import lower_norm_pools
from alula.engine.passes.lower_rotary import lower_rotary
from alula.engine.passes.lower_spectra import lower_spectra
from alula.engine.passes.order import optimise
from alula.engine.passes.unroll_linear_attention import unroll_linear_attention

_CACHES = (reals(9, 4), reals(9, 4) + 1)
_PLACES = np.array([[0, 1, 2, 3, 4], [4, 3, 8, 0, 1]])
_TAPS, _PAST = reals(6, 1, 3), reals(2, 6, 2)
_CLASSES = np.array([[0, 4, 2], [3, 3, 1]])
_BOTH = ("y", "second")
_GROUPS = {"q_num_heads": 4, "kv_num_heads": 2}
_STATE = (
    reals(2, 3, 16), reals(2, 3, 8) / 2, reals(2, 3, 6), reals(2, 2, 4, 3), -abs(reals(2, 3, 8)), abs(reals(2, 3, 2)),
)  # fmt: skip


def _loss(op: str, weight: Array | None = None, **attributes: Any) -> Form:
    outputs = _BOTH if op.startswith("Softmax") else ("y",)
    return Form(op, (reals(2, 5, 3), _CLASSES, weight), attributes, outputs)


_FORMS = {
    "rotary": Form("RotaryEmbedding", (reals(2, 3, 5, 8), *_CACHES, _PLACES)),
    "rotary, packed": Form("RotaryEmbedding", (reals(2, 5, 24), *_CACHES, _PLACES), {"num_heads": 3}),
    "rotary, interleaved": Form("RotaryEmbedding", (reals(2, 3, 5, 8), *_CACHES, _PLACES), {"interleaved": 1}),
    "rotary, in part": Form(
        "RotaryEmbedding", (reals(2, 3, 5, 10), *_CACHES, _PLACES), {"interleaved": 1, "rotary_embedding_dim": 8}
    ),
    "rotary, no places": Form("RotaryEmbedding", (reals(2, 3, 5, 8), reals(2, 5, 4), reals(2, 5, 4)), fed=1),
    "causal convolution": Form("CausalConvWithState", (reals(2, 6, 5), _TAPS), outputs=_BOTH),
    "causal convolution, state": Form(
        "CausalConvWithState", (reals(2, 6, 5), _TAPS, reals(6), _PAST), {"activation": "silu"}, _BOTH
    ),
    "causal convolution, one step": Form("CausalConvWithState", (reals(2, 6, 1), _TAPS, None, _PAST), {}, _BOTH, 1),
    "likelihood": _loss("NegativeLogLikelihoodLoss"),
    "likelihood, weights": _loss("NegativeLogLikelihoodLoss", reals(5) + 1, ignore_index=3),
    "likelihood, each": _loss("NegativeLogLikelihoodLoss", reals(5), reduction="none"),
    "likelihood, a class that is none": _loss("NegativeLogLikelihoodLoss", ignore_index=-1, reduction="sum"),
    "cross entropy": _loss("SoftmaxCrossEntropyLoss", ignore_index=4),
    "cross entropy, weights": _loss("SoftmaxCrossEntropyLoss", reals(5) + 1, reduction="sum"),
    "norm of windows": Form("LpPool", (reals(1, 2, 7, 7),), {"kernel_shape": (3, 2), "pads": (1, 0, 1, 0)}),
    "sizes in windows": Form("LpPool", (reals(1, 2, 7),), {"kernel_shape": (3,), "p": 1, "strides": (2,)}),
    "third norm": Form("LpPool", (reals(1, 2, 7, 7),), {"kernel_shape": (3, 3), "p": 3, "auto_pad": "SAME_UPPER"}),
    "norm of all": Form("GlobalLpPool", (reals(2, 3, 4, 5),)),
    "third norm of all": Form("GlobalLpPool", (reals(2, 3, 4, 5),), {"p": 3}),
    "dropout": Form("Dropout", (reals(2, 3), np.array(0.3, np.float32)), {}, _BOTH),
    "dropout, training without loss": Form(
        "Dropout", (reals(2, 3), np.array(0, np.float32), np.ones(1, np.bool_)), {}, _BOTH, 1
    ),
    "a state": Form("LinearAttention", _STATE[:3], {**_GROUPS, "update_rule": "linear"}, _BOTH),
    "a state from before, gated": Form("LinearAttention", _STATE[:5], {**_GROUPS, "update_rule": "gated"}, _BOTH),
    "a state with corrections": Form(
        "LinearAttention", (*_STATE[:3], None, None, _STATE[5]),
        {**_GROUPS, "update_rule": "delta", "scale": 0.3}, _BOTH,
    ),
    "a state with both": Form("LinearAttention", _STATE, _GROUPS, _BOTH),
    "a state with one gate for all": Form(
        "LinearAttention", (*_STATE[:3], None, -abs(reals(2, 3, 1)), abs(reals(2, 3, 1))), _GROUPS, _BOTH, 1
    ),
    "attention without graphs": Form(
        "FlexAttention", (reals(2, 4, 5, 6), reals(2, 2, 7, 6), reals(2, 2, 7, 3)), {"scale": 0.2},
        domain="ai.onnx.preview",
    ),
    "spectrum": Form("DFT", (reals(2, 9, 1),), {"onesided": 1}),
    "spectrum of complex numbers": Form("DFT", (reals(2, 8, 2),)),
    "spectrum along the first axis": Form("DFT", (reals(5, 2, 3, 1), None, np.array(0)), fed=1),
    "spectrum, cut": Form("DFT", (reals(2, 9, 2), np.array(6), np.array(1)), {"onesided": 1}, fed=1),
    "spectrum, longer": Form("DFT", (reals(2, 9, 1), np.array(12)), fed=1),
    "spectrum, back from a half": Form("DFT", (reals(2, 6, 2), np.array(9)), {"inverse": 1, "onesided": 1}, fed=1),
    "frames": Form("STFT", (reals(2, 40, 1), np.array(5), reals(16)), fed=1),
    "frames, length": Form("STFT", (reals(2, 40, 1), np.array(7), None, np.array(12)), {"onesided": 0}, fed=1),
    "frames of complex numbers": Form("STFT", (reals(1, 40, 2), np.array(9), reals(16)), {"onesided": 0}, fed=1),
}  # fmt: skip


@pytest.mark.parametrize("form", list(_FORMS))
def test_a_composite_operator_runs_in_generated_code(form: str, tmp_path: Path) -> None:
    """Rule: an operator whose parts all have kernels is left to no reference, and gives what its reference gives."""
    assert_lowered(_FORMS[form], tmp_path)


@pytest.mark.parametrize(("form", "wanted"), [
    (Form("LpPool", (reals(1, 2, 8),), {"kernel_shape": (3,), "strides": (2,), "ceil_mode": 1}), ["LpPool"]),
    (Form("Dropout", (reals(2, 3), np.array(0.5, np.float32), np.ones(1, np.bool_)), fed=1), ["Dropout"]),
    (Form("Dropout", (reals(2, 3), np.array(0.5, np.float32), np.zeros(1, np.bool_))), ["Dropout"]),
    (Form("GlobalLpPool", (reals(2, 3, 4).astype(np.float64),)), ["GlobalLpPool"]),
    (Form("RotaryEmbedding", (reals(2, 3, 5, 8).astype(np.float64), *_CACHES, _PLACES)), ["RotaryEmbedding"]),
    (Form("NegativeLogLikelihoodLoss", (reals(2, 5).astype(np.float64), np.array([1, 2]))),
     ["NegativeLogLikelihoodLoss"]),
    (Form("LinearAttention", (reals(1, 129, 4), reals(1, 129, 4), reals(1, 129, 2)),
          {"q_num_heads": 2, "kv_num_heads": 2, "update_rule": "linear"}), ["LinearAttention"]),
    (Form("FlexAttention", (reals(2, 4, 5, 6).astype(np.float64),) * 3, domain="ai.onnx.preview"), ["Attention"]),
    (Form("DFT", (reals(1, 1500, 1),), {"onesided": 1}), ["DFT"]),
    (Form("DFT", (reals(2, 9, 2),), {"inverse": 1}), ["DFT"]),
    (Form("DFT", (reals(1, 15, 1).astype(np.float64),)), ["DFT"]),
], ids=["overhang", "training", "computed training", "float64 norms", "float64 angles", "float64 scores",
        "many steps", "float64 attention", "a long signal", "back", "float64 signals"])  # fmt: skip
def test_near_misses_stay(form: Form, wanted: list[str]) -> None:
    """Rule: windows that hang over, training, what is long or delicate, and float64 are for the reference."""
    assert host_operators(form.graph()) == wanted


def test_a_window_that_is_computed_weighs_the_frames(tmp_path: Path) -> None:
    """Rule: what is not known cannot be part of the table."""
    window = Value("x2", DType.FLOAT32, (16,))
    form = Form("STFT", (reals(2, 40, 1), np.array(5), reals(16)), fed=1)
    before = form.graph()
    constants = {name: array for name, array in before.constants.items() if name != "x2"}
    graph = replace(
        before, inputs=(*before.inputs, window), constants=constants,
        values={**before.values, "x2": window},
    )  # fmt: skip
    feeds = {**form.feeds(), "x2": reals(16)}

    found = results_of(planned(optimise(graph)[0]), tmp_path, feeds)

    assert host_operators(graph) == []
    assert_close(found, evaluate_graph(before, feeds))


@pytest.mark.parametrize(("visit", "op", "attributes"), [
    (lower_spectra, "DFT", {}),
    (unroll_linear_attention, "LinearAttention", {}),
    (lower_losses, "SoftmaxCrossEntropyLoss", {}),
    (lower_norm_pools, "GlobalLpPool", {}),
    (lower_dropout, "Dropout", {}),
    (lower_rotary, "CausalConvWithState", {}),
])  # fmt: skip
def test_values_of_unknown_shape_are_let_be(visit: NodePass, op: str, attributes: dict[str, Any]) -> None:
    """Rule: steps are written with their shapes."""
    b = GraphBuilder(shape=(2, 3, 4))
    b.node(op, "x", b.constant(np.zeros((2, 4), np.int64)), **attributes)
    before = b.build()
    graph = before.with_(values={"x": Value("x", before.value("x").dtype, None)})

    assert run_node_pass(graph, visit)[1] == 0


def test_a_dropout_between_nodes_is_gone() -> None:
    """Rule: what keeps everything costs nothing, also where its mask is read."""
    b = GraphBuilder()
    b.node("Relu", b.node("Dropout", b.node("Neg", "x")))

    graph, _ = run_node_pass(prepared(b.build()), lower_dropout)

    assert kinds(graph) == ["Neg", "Relu"]


def test_a_dropout_that_only_gives_its_mask_is_not_taken_for_nothing(tmp_path: Path) -> None:
    """Rule: it is the first output that may be the input."""
    assert_lowered(Form("Dropout", (reals(2, 3),), {}, ("", "mask")), tmp_path)
