"""Tests of lower_general_attention: every form of ONNX's Attention as steps with kernels, and those that must stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.pass_graphs import prepared
from support.planned import assert_close, planned, results_of

from alula.engine.graph.check import check_graph
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Array, Node, Value
from alula.engine.graph.numpy_dtypes import dtype_of
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.operators.table import NEWEST_OPSET
from alula.engine.passes.driver import run_node_pass
from alula.engine.passes.lower_general_attention import lower_general_attention
from alula.engine.passes.order import optimise

_RANDOM = np.random.default_rng(7)
_ROWS, _KEYS = 5, 7
_SEEN = _RANDOM.random((2, 1, _ROWS, _KEYS)) < 0.6
_BLIND = _SEEN & (np.arange(_ROWS)[:, None] != 3)
_OUTPUTS = ("y", "present_k", "present_v", "scores")


def _normal(*shape: int) -> Array:
    return _RANDOM.normal(0, 1, shape).astype(np.float32)


def _apart(keys: int = _KEYS, groups: int = 4) -> tuple[Array, Array, Array]:
    """Queries, keys and values with an axis for heads."""
    return _normal(2, 4, _ROWS, 6), _normal(2, groups, keys, 6), _normal(2, groups, keys, 3)


def _packed(keys: int = _KEYS) -> tuple[Array, Array, Array]:
    """Four heads of queries over two of keys, beside each other."""
    return _normal(2, _ROWS, 24), _normal(2, keys, 12), _normal(2, keys, 6)


_HEADS = {"q_num_heads": 4, "kv_num_heads": 2}
_PAST = (_normal(2, 2, 4, 6), _normal(2, 2, 4, 3))
_LENGTHS = np.array([3, 7])
_FORMS: dict[str, tuple[tuple[Array | None, ...], int, dict[str, Any]]] = {
    "booleans": ((*_apart(), _SEEN), 1, {}),
    "rows that see nothing": ((*_apart(), _BLIND), 1, {"scale": 0.3}),
    "numbers of rank 1": ((*_apart(), _normal(_KEYS)), 1, {"is_causal": 1}),
    "a short mask": ((*_apart(), _normal(4, 1, _KEYS - 2)), 1, {}),
    "short booleans": ((*_apart(), np.ones((_ROWS, _KEYS - 2), np.bool_)), 1, {"softcap": 2.0}),
    "a window": (_apart(), 1, {"left_window_size": 1, "right_window_size": 2}),
    "groups": (_apart(groups=2), 1, {}),
    "packed groups": ((*_packed(), _SEEN), 1, _HEADS),
    "one head of keys": ((*_apart(groups=1), _SEEN), 1, {"softcap": 1.5}),
    "past": ((*_packed(3), _normal(_ROWS, _KEYS), *_PAST), 3, _HEADS),
    "past without mask": ((*_packed(3), None, *_PAST), 3, {**_HEADS, "is_causal": 1}),
    "lengths": ((*_apart(), None, None, None, _LENGTHS), 1, {}),
    "lengths, causal": ((*_apart(), _SEEN, None, None, _LENGTHS), 1, {"is_causal": 1, "softmax_precision": 1}),
    "lengths and windows": (
        (*_apart(), _normal(2, 1, 1, _KEYS), None, None, _LENGTHS), 1, {"left_window_size": 2, "right_window_size": 0},
    ),
    "products": ((*_apart(), _BLIND), 4, {"qk_matmul_output_mode": 0}),
    "capped": ((*_apart(), _BLIND), 4, {"qk_matmul_output_mode": 1, "softcap": 1.0}),
    "biased": ((*_apart(), _normal(_ROWS, _KEYS)), 4, {"qk_matmul_output_mode": 2}),
    "weights": ((*_apart(), _BLIND), 4, {"qk_matmul_output_mode": 3}),
}  # fmt: skip


def _model(inputs: tuple[Array | None, ...], outputs: int, attributes: dict[str, Any], fed: int) -> Graph:
    """A node whose first inputs are fed, and the rest of which is constant."""
    arrays = {f"x{index}": array for index, array in enumerate(inputs) if array is not None}
    names = tuple(f"x{index}" if array is not None else "" for index, array in enumerate(inputs))
    given = [Value(name, dtype_of(arrays[name]), arrays[name].shape) for name in names[:fed] if name]
    constants = {name: array for name, array in arrays.items() if name in names[fed:]}
    node = Node("Attention", names, _OUTPUTS[:outputs], attributes, "attention")
    values = {value.name: value for value in given}
    return Graph("model", (node,), tuple(given), _OUTPUTS[:outputs], constants, values, {"": NEWEST_OPSET})


@pytest.mark.parametrize("fed", [3, 7], ids=["constant", "computed"])
@pytest.mark.parametrize("form", list(_FORMS))
def test_every_form_runs_in_generated_code(form: str, fed: int, tmp_path: Path) -> None:
    """Rule: no step is left to the reference, whether masks are known or computed, and results stay."""
    inputs, outputs, attributes = _FORMS[form]
    graph = _model(inputs, outputs, attributes, fed)
    feeds = {value.name: np.asarray(inputs[int(value.name[1:])]) for value in graph.inputs}

    plan = planned(optimise(graph)[0])

    assert not [step for step in plan.steps if type(step).__name__ == "HostStep"]
    assert_close(results_of(plan, tmp_path, feeds), evaluate_graph(prepared(graph), feeds))


@pytest.mark.parametrize(
    ("form", "fused"), [("booleans", True), ("packed groups", True), ("weights", False), ("one head of keys", False)]
)
def test_scores_are_stored_only_where_somebody_asks_for_them(form: str, *, fused: bool) -> None:
    """Rule: the steps are put together again, unless scores are shown or capped."""
    graph, _ = optimise(_model(*_FORMS[form], fed=7))

    assert ("ScaledDotProduct" in [node.op for node in graph.nodes]) == fused


@pytest.mark.parametrize(
    ("inputs", "attributes"),
    [
        (_apart(), {"softcap": 1.0, "softmax_precision": 11}),
        (tuple(array.astype(np.float64) for array in _apart()), {"softcap": 1.0}),
        (_apart(), {}),
    ],
    ids=["a softmax in float64", "float64", "a form that has a kernel"],
)
def test_other_forms_stay(inputs: tuple[Array, ...], attributes: dict[str, Any]) -> None:
    """Rule: there is no softmax of float64, and the kernel reads plain forms without steps before it."""
    before = prepared(_model(inputs, 1, attributes, 3))

    graph, rewrites = run_node_pass(before, lower_general_attention)

    assert rewrites == 0
    assert graph is before


def test_sizes_that_only_the_run_tells_stay() -> None:
    """Rule: steps are written with their shapes."""
    before = _model((*_apart(), _SEEN), 1, {}, 4)
    values = {name: Value(name, value.dtype, None) for name, value in before.values.items()}

    graph, rewrites = run_node_pass(before.with_(values=values), lower_general_attention)

    assert rewrites == 0
    check_graph(graph, "lower_general_attention")
