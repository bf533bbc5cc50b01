"""Operators that are written as several: what runs without its reference, and what stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.lowered import Form, assert_lowered, host_operators
from support.pass_graphs import GraphBuilder, kinds, prepared
from support.problem import reals

from alula.engine.graph.nodes import Array, Value
from alula.engine.passes.driver import NodePass, run_node_pass
from alula.engine.passes.lower_dropout import lower_dropout
from alula.engine.passes.lower_losses import lower_losses
from alula.engine.passes.lower_norm_pools import lower_norm_pools
from alula.engine.passes.lower_rotary import lower_rotary

_CACHES = (reals(9, 4), reals(9, 4) + 1)
_PLACES = np.array([[0, 1, 2, 3, 4], [4, 3, 8, 0, 1]])
_TAPS, _PAST = reals(6, 1, 3), reals(2, 6, 2)
_CLASSES = np.array([[0, 4, 2], [3, 3, 1]])
_BOTH = ("y", "second")


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
], ids=["overhang", "training", "computed training", "float64 norms", "float64 angles", "float64 scores"])  # fmt: skip
def test_near_misses_stay(form: Form, wanted: list[str]) -> None:
    """Rule: windows that hang over, training, modes that only the run tells, and float64 are for the reference."""
    assert host_operators(form.graph()) == wanted


@pytest.mark.parametrize(("visit", "op", "attributes"), [
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
