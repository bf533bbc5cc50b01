"""Attention and its relatives: what the standard refuses is refused with a sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.problem import ints, positive, reals

from alula.base.errors import AlulaError
from alula.base.tensors import DType
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Array, Node, Value
from alula.engine.operators.evaluate import evaluate

_Q, _K, _V = reals(1, 4, 3, 8), reals(1, 2, 5, 8), reals(1, 2, 5, 6)


def _run(op: str, *inputs: Array | None, domain: str = "", **attributes: Any) -> Array:
    names = tuple("" if array is None else f"x{index}" for index, array in enumerate(inputs))
    return evaluate(Node(op, names, ("y",), attributes, domain=domain), inputs)[0]


@pytest.mark.parametrize(
    ("inputs", "attributes", "message"),
    [
        ((reals(1, 3, 32), reals(1, 5, 16), reals(1, 5, 12)), {}, "heads x size"),
        ((reals(1, 3, 32), reals(1, 5, 16), reals(1, 5, 12)), {"q_num_heads": 5, "kv_num_heads": 2}, "5 x size"),
        ((reals(1, 3, 3, 8), _K, _V), {}, "3 query heads must be a multiple"),
        ((_Q, _K, _V, None, _K), {}, "past keys come with past values"),
        ((_Q, _K, _V, None, _K, _V, ints(5)), {}, "without lengths"),
        ((_Q, _K, _V), {"softmax_precision": 7}, "softmax_precision must be"),
    ],
)
def test_forms_of_attention_that_do_not_fit_are_refused(
    inputs: tuple[Array, ...], attributes: dict[str, Any], message: str
) -> None:
    """Heads have to be countable, caches complete, precisions real."""
    with pytest.raises(AlulaError, match=message):
        _run("Attention", *inputs, **attributes)


def test_a_query_that_sees_no_key_gives_zeros() -> None:
    """ONNX, Attention: a fully masked row is a zero row; other rows are as they were."""
    mask = np.ones((3, 5), np.bool_)
    mask[1] = False

    y = _run("Attention", _Q, _K, _V, mask)

    assert not y[:, :, 1].any()
    np.testing.assert_array_equal(y[:, :, (0, 2)], _run("Attention", _Q, _K, _V)[:, :, (0, 2)])


def test_the_result_has_the_type_of_the_queries() -> None:
    """Rule: Y is T1, the type of queries and keys; values may have another."""
    q, k, v = reals(1, 2, 3, 4), reals(1, 2, 5, 4), reals(1, 2, 5, 6).astype(np.float16)

    y = _run("Attention", q, k, v)

    assert y.dtype == np.float32
    assert y.shape == (1, 2, 3, 6)


def test_scores_and_probabilities_go_through_graphs() -> None:
    """FlexAttention: a graph that doubles the scores is a doubled scale; captured values reach it."""
    value = Value("s", DType.FLOAT32, None)
    inputs = (value, Value("factor", DType.FLOAT32, None))
    doubled = Graph("twice", (Node("Mul", ("s", "factor"), ("t",)),), inputs, ("t",), {}, {})
    node = Node(
        "FlexAttention", ("q", "k", "v", "two"), ("y",),
        {"scale": 0.25, "score_mod": doubled, "captures": ("factor",)}, domain="ai.onnx.preview",
    )  # fmt: skip

    (y,) = evaluate(node, [_Q, _K, _V, np.asarray(2, np.float32)])

    np.testing.assert_allclose(y, _run("Attention", _Q, _K, _V, scale=0.5), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("inputs", "attributes", "message"),
    [
        ((None, None, None), {"update_rule": "odd"}, "update_rule must be one of"),
        ((None, None, positive(1, 3, 2)), {"update_rule": "linear"}, "rule linear takes of decay and beta neither"),
        ((None, None, None), {"update_rule": "gated"}, "rule gated takes of decay and beta decay"),
        ((reals(1, 2, 9, 6), None, None), {"update_rule": "linear"}, r"past state must be \[1, 2, 4, 6\]"),
        ((None, positive(1, 3, 5), None), {"update_rule": "gated"}, "decay and beta must be"),
    ],
)
def test_rules_of_linear_attention_have_their_inputs(
    inputs: tuple[Array | None, ...], attributes: dict[str, Any], message: str
) -> None:
    """An input that a rule does not have would be left out of the result without a word."""
    with pytest.raises(AlulaError, match=message):
        _run("LinearAttention", reals(1, 3, 16), reals(1, 3, 8), reals(1, 3, 12), *inputs, q_num_heads=4,
             kv_num_heads=2, **attributes)  # fmt: skip


def test_states_carry_a_stream_on() -> None:
    """Two calls over halves, the second with the first's state, give what one call over all steps gives."""
    q, k, v = reals(1, 6, 16), reals(1, 6, 8), reals(1, 6, 12)
    attributes: dict[str, Any] = {"q_num_heads": 4, "kv_num_heads": 2, "update_rule": "linear"}
    first, second = (
        Node("LinearAttention", names, ("y", "s"), attributes) for names in (("q", "k", "v"), ("q", "k", "v", "p"))
    )

    y, state = evaluate(first, [q[:, :4], k[:, :4], v[:, :4]])
    z, _ = evaluate(second, [q[:, 4:], k[:, 4:], v[:, 4:], state])

    whole = evaluate(first, [q, k, v])[0]
    np.testing.assert_allclose(np.concatenate([y, z], 1), whole, rtol=1e-5, atol=1e-6)
