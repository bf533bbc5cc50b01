"""Recurrent layers taken apart: products over all steps at once, then one core a direction."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.pass_graphs import assert_same_results, kinds
from support.problem import reals

from alula.base.tensors import DType
from alula.engine.graph.check import check_graph
from alula.engine.graph.dims import static
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Array, Node, Value
from alula.engine.kernels.target import TARGETS
from alula.engine.operators.table import NEWEST_OPSET
from alula.engine.passes.choose_layout import choose_layout
from alula.engine.passes.driver import run_node_pass
from alula.engine.passes.fold_constants import fold_constants
from alula.engine.passes.order import optimise
from alula.engine.passes.split_recurrent import split_recurrent
from alula.engine.plan.drafts import draft_steps

_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
_STEPS, _BATCH, _INPUT, _HIDDEN = 5, 3, 4, 6


def _model(
    op: str, *, directions: int = 1, states: bool = False, more: dict[int, Array] | None = None, **attributes: Any
) -> Graph:
    """A layer of float32 whose input and first states are fed; `more` are constants at places of further inputs."""
    rows, layout = _GATES[op] * _HIDDEN, attributes.get("layout", 0)
    names = ["x", "w", "r", "b", *[""] * 4]
    shape = (_BATCH, _STEPS, _INPUT) if layout else (_STEPS, _BATCH, _INPUT)
    inputs = [Value("x", DType.FLOAT32, shape)]
    constants: dict[str, Array] = {
        "w": reals(directions, rows, _INPUT) / 3, "r": reals(directions, rows, _HIDDEN) / 6,
        "b": reals(directions, 2 * rows) / 3,
    }  # fmt: skip
    state = (_BATCH, directions, _HIDDEN) if layout else (directions, _BATCH, _HIDDEN)
    for place in (5, 6)[: (1 + (op == "LSTM")) * states]:
        names[place] = f"s{place}"
        inputs.append(Value(names[place], DType.FLOAT32, state))
    for place, array in (more or {}).items():
        names[place] = f"m{place}"
        constants[names[place]] = array
    while not names[-1]:
        names.pop()
    outputs = ("y", "h", "c") if op == "LSTM" else ("y", "h")
    node = Node(op, tuple(names), outputs, attributes, "layer")
    values = {value.name: value for value in inputs}
    return fold_constants(Graph("model", (node,), tuple(inputs), outputs, constants, values, {"": NEWEST_OPSET}))


def _feeds(graph: Graph) -> dict[str, Array]:
    return {value.name: reals(*static(value.shape or ())) / 3 for value in graph.inputs}


@pytest.mark.parametrize("op", _GATES)
@pytest.mark.parametrize(
    ("directions", "attributes"),
    [
        (1, {}),
        (1, {"direction": "reverse"}),
        (2, {"direction": "bidirectional"}),
        (1, {"layout": 1}),
        (2, {"layout": 1, "direction": "bidirectional"}),
    ],
)
@pytest.mark.parametrize("states", [False, True])
def test_a_layer_keeps_its_results(op: str, directions: int, attributes: dict[str, Any], states: bool) -> None:  # noqa: FBT001
    """Directions, layouts and first states; the model's outputs keep their names and shapes."""
    before = _model(op, directions=directions, states=states, **attributes)

    after, found = run_node_pass(before, split_recurrent)

    check_graph(after, "split_recurrent")
    assert (found, kinds(after).count("RecurrentCore"), op in kinds(after)) == (1, directions, False)
    assert [after.values[name].shape for name in after.outputs] == [
        before.values[name].shape for name in before.outputs
    ]
    assert_same_results(after, before, _feeds(before))


def test_a_gru_may_reset_behind_its_product() -> None:
    """Then the last third of the recurrence's bias cannot be added beforehand."""
    before = _model("GRU", linear_before_reset=1)

    after, _ = run_node_pass(before, split_recurrent)

    assert "RecurrentCore" in kinds(after)
    assert_same_results(after, before, _feeds(before))


def test_what_is_learned_of_new_values_is_what_inference_says() -> None:
    """Passes behind this one, and memory, go by these shapes."""
    for layout in (0, 1):
        after, _ = run_node_pass(_model("LSTM", states=True, layout=layout), split_recurrent)

        inferred = fold_constants(after.with_(values={value.name: value for value in after.inputs}))

        assert {name: value.shape for name, value in after.values.items()} == {
            name: inferred.values[name].shape for name in after.values
        }


@pytest.mark.parametrize(
    ("op", "changes"),
    [
        ("LSTM", {"clip": 0.5}),
        ("LSTM", {"input_forget": 1}),
        ("LSTM", {"activations": ("Sigmoid", "Relu", "Tanh")}),
        ("LSTM", {"more": {4: np.asarray([5, 2, 3], np.int32)}}),
        ("LSTM", {"more": {7: reals(1, 3 * _HIDDEN)}}),
    ],
)
def test_unusual_layers_stay(op: str, changes: dict[str, Any]) -> None:
    """They run through the reference, which has all forms."""
    before = _model(op, **changes)

    assert run_node_pass(before, split_recurrent)[0] is before


def test_weights_that_are_computed_stay() -> None:
    """They cannot be packed before the run."""
    known = _model("RNN")
    weights = Value("w", DType.FLOAT32, known.constants["w"].shape)
    constants = {name: array for name, array in known.constants.items() if name != "w"}
    inputs = (*known.inputs, weights)
    before = Graph("model", known.nodes, inputs, known.outputs, constants, {value.name: value for value in inputs})

    assert run_node_pass(before, split_recurrent)[1] == 0


@pytest.mark.parametrize("op", _GATES)
@pytest.mark.parametrize("directions", [1, 2])
def test_every_step_of_a_layer_has_a_kernel(op: str, directions: int) -> None:
    """The usual layer runs without any step on the host."""
    word = "bidirectional" if directions == 2 else "forward"
    graph, _ = optimise(_model(op, directions=directions, states=True, direction=word))

    steps = draft_steps(choose_layout(graph, TARGETS[0].block), TARGETS[0]).steps

    assert [step.node.op for step in steps if step.kernel is None] == []
    assert [step.kernel.family for step in steps if step.kernel].count(op.lower()) == directions
