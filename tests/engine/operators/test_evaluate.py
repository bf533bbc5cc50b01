"""The evaluator of nodes and graphs, and of formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.problem import floats, ints, reals

from alula.base.errors import AlulaError, GraphError, InputError, LimitError, ShapeError, UnsupportedError
from alula.base.tensors import DType
from alula.engine.graph.formula import Formula, FormulaBuilder
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Array, Node, Value
from alula.engine.operators.evaluate import evaluate, evaluate_graph
from alula.engine.operators.formula import erf, evaluate_formula

_GRAPH = Graph(
    name="two steps",
    nodes=(
        Node("Add", ("x", "c"), ("sum",)),
        Node("Relu", ("sum",), ("y",)),
        Node("TopK", ("y", "k"), ("", "places")),
    ),
    inputs=(Value("x", DType.FLOAT32, (3,)),),
    outputs=("y", "places"),
    constants={"c": floats(1, 2, -9), "k": ints(1)},
    values={},
)


def test_a_graph_gives_its_outputs_and_nothing_else() -> None:
    """Intermediates are let go; outputs left out by an empty name are not returned."""
    results = evaluate_graph(_GRAPH, {"x": floats(-5, 1, 2)})

    assert {name: array.tolist() for name, array in results.items()} == {"y": [0, 3, 0], "places": [1]}


@pytest.mark.parametrize("keep", [True, ["sum"]])
def test_intermediates_that_are_asked_for_are_kept(keep: bool | list[str]) -> None:  # noqa: FBT001
    """Comparing a plan step by step needs every value in between."""
    results = evaluate_graph(_GRAPH, {"x": floats(-5, 1, 2)}, keep=keep)

    assert results["sum"].tolist() == [-4, 3, -7]
    assert ("x" in results) == (keep is True)


def test_an_output_that_is_an_input_or_constant_is_returned() -> None:
    """A model may hand through what it got."""
    graph = Graph("ends", (), (Value("x", DType.FLOAT32, (1,)),), ("x", "c"), {"c": ints(3)}, {})

    results = evaluate_graph(graph, {"x": floats(2)})

    assert {name: array.tolist() for name, array in results.items()} == {"x": [2], "c": [3]}


def test_a_missing_feed_is_named() -> None:
    """The message says which input, before anything is computed."""
    with pytest.raises(InputError, match="input x: needs an array"):
        evaluate_graph(_GRAPH, {})


def test_inputs_are_never_written() -> None:
    """Constants may view a mapped file."""
    x = reals(2, 3, 4, 4)
    x.flags.writeable = False

    for node in (Node("Relu", ("x",), ("y",)), Node("MaxPool", ("x",), ("y",), {"kernel_shape": (2, 2)})):
        evaluate(node, [x])


@pytest.mark.parametrize(
    ("node", "inputs", "message"),
    [
        (Node("Add", ("a", "b"), ("y",), name="sum"), [reals(3), reals(4)], r"sum \(Add\)"),
        (Node("Gather", ("a", "b"), ("y",)), [reals(3), ints(7)], "out of bounds"),
        (Node("Concat", ("a", "b"), ("y",), {"axis": 0}), [reals(3), reals(4, 2)], "dimensions"),
        (Node("Tile", ("a", "b"), ("y",)), [reals(3), ints(-1)], "negative"),
    ],
)
def test_misfits_that_numpy_finds_name_the_node_and_its_inputs(node: Node, inputs: list[Array], message: str) -> None:
    """numpy knows neither the node nor the model; the user needs both."""
    with pytest.raises(ShapeError, match=message) as caught:
        evaluate(node, inputs)

    assert "input a [3] float32" in caught.value.detail


def test_sizes_beyond_memory_are_an_error_of_ours() -> None:
    """Attack: a constant shape asks for exabytes."""
    with pytest.raises(AlulaError, match="y"):
        evaluate(Node("ConstantOfShape", ("s",), ("y",)), [ints(2**40, 2**20)])


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("Conv", {"pads": (2**30, 2**30, 0, 0), "strides": (2**30, 2**30)}),
        ("ConvTranspose", {"strides": (2**30, 2**30), "output_shape": (4, 4)}),
        ("MaxPool", {"kernel_shape": (2**20, 2**20), "pads": (2**20, 2**20, 0, 0)}),
        ("AveragePool", {"kernel_shape": (2**40, 1), "strides": (2**40, 1), "ceil_mode": 1}),
    ],
)
def test_small_results_of_huge_windows_are_refused(op: str, attributes: dict[str, int]) -> None:
    """Attack: pads and strides of which the output shows nothing ask for gigabytes in between."""
    inputs = [reals(1, 1, 4, 4), reals(1, 1, 2, 2)][: 2 if op.startswith("Conv") else 1]
    node = Node(op, ("x", "w")[: len(inputs)], ("y",), attributes)

    with pytest.raises((LimitError, ShapeError), match=op):
        evaluate(node, inputs)


def test_more_parts_than_rows_are_refused() -> None:
    """Attack: num_outputs asks for a list of 2**50 sizes."""
    with pytest.raises(ShapeError, match="can be cut into 1 to 3 parts"):
        evaluate(Node("Split", ("x",), ("y",), {"num_outputs": 2**50}), [reals(3)])


@pytest.mark.parametrize(
    ("node", "inputs", "error"),
    [
        (Node("Conv", ("x",), ("y",)), [reals(1, 2, 3, 3)], GraphError),
        (Node("Relu", ("x", "z"), ("y",)), [reals(3), reals(3)], GraphError),
        (Node("Sum", (), ("y",)), [], GraphError),
        (Node("Sum", ("x", ""), ("y",)), [reals(3), None], GraphError),
        (Node("Relu", ("x",), ("y", "z")), [reals(3)], UnsupportedError),
        (Node("Sinc", ("x",), ("y",)), [reals(3)], UnsupportedError),
        (Node("Constant", (), ("y",), {"value_string": "a"}), [], UnsupportedError),
        (Node("Constant", (), ("y",)), [], ShapeError),
        (Node("LayerNormalization", ("x", "s"), ("y",), {"stash_type": 7}), [reals(3), reals(3)], UnsupportedError),
    ],
)
def test_nodes_that_break_the_standard_are_refused(
    node: Node, inputs: list[Array | None], error: type[AlulaError]
) -> None:
    """A wrong number of inputs or outputs, or a form that is not run, never reaches numpy."""
    with pytest.raises(error, match=node.op):
        evaluate(node, inputs)


@given(st.lists(st.floats(width=64), min_size=1, max_size=50))
def test_erf_is_that_of_the_standard_library(numbers: list[float]) -> None:
    """The error function is right to nine digits everywhere."""
    x = np.asarray(numbers)

    got = erf(x)

    want = np.asarray([math.erf(number) for number in numbers])
    np.testing.assert_allclose(got, want, rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_erf_keeps_its_dtype(dtype: type[np.floating]) -> None:
    """Half precision stays half precision."""
    assert erf(np.zeros(3, dtype)).dtype == dtype


def test_formula_without_steps_is_its_input() -> None:
    """The identity is a formula too."""
    assert evaluate_formula(Formula(1), [floats(1, 2)]).tolist() == [1, 2]


def test_formula_of_literals_has_the_shape_of_its_inputs() -> None:
    """A result that reads no input is repeated over all of them."""
    b = FormulaBuilder(2)
    b.add(1.0, 2.0)

    got = evaluate_formula(b.build(), [reals(3, 1), reals(1, 2)])

    assert got.tolist() == [[3, 3]] * 3


def test_min_and_max_of_a_formula_let_nan_win() -> None:
    """A NaN in a register must not vanish in a clamp."""
    b = FormulaBuilder(1)
    b.clamp(b.arguments()[0], 0.0, 6.0)

    got = evaluate_formula(b.build(), [floats(np.nan, -1, 9)])

    np.testing.assert_array_equal(got, floats(np.nan, 0, 6))


def test_formula_refuses_a_wrong_number_of_arrays() -> None:
    """Register numbers would otherwise shift silently."""
    with pytest.raises(ValueError, match="2 inputs, it got 1"):
        evaluate_formula(Formula(2), [floats(1)])
