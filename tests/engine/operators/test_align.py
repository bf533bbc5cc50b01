from __future__ import annotations

import numpy as np
import pytest
from support.problem import X4, reals

from alula.base.tensors import DType
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Array, Node, Value
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.passes.driver import PassOptions
from alula.engine.passes.order import optimise
from alula.engine.sessions.reference import prepare_reference

# The second input's shape, the axis of [2, 4, 9, 8] that it begins at, its shape in today's broadcasting.
ALIGNED = [
    ((4,), 1, (4, 1, 1)),
    ((4, 9), 1, (4, 9, 1)),
    ((9, 8), -2, (9, 8)),
    ((1,), 1, (1, 1, 1)),
    ((2,), 0, (2, 1, 1, 1)),
]


def old(node: Node, second: Array, *, constant: bool) -> tuple[Graph, dict[str, Array]]:
    """A model of operator set 6 over `x` and `b`, and what to feed it."""
    arrays = {"x": X4, "b": second}
    fed = ("x",) if constant else ("x", "b")
    values = {name: Value(name, DType.FLOAT32, array.shape) for name, array in arrays.items()}
    constants = {"b": second} if constant else {}
    graph = Graph("old", (node,), tuple(values[name] for name in fed), ("y",), constants, values, {"": 6})
    return graph, {name: arrays[name] for name in fed}


@pytest.mark.parametrize("constant", [False, True], ids=["fed", "constant"])
@pytest.mark.parametrize(("shape", "axis", "today"), ALIGNED)
def test_second_input_begins_at_the_axis(
    shape: tuple[int, ...], axis: int, today: tuple[int, ...], *, constant: bool
) -> None:
    """Rule: Add-6 with broadcast=1 lines the second input up with `axis` of the first; Sub, Mul and Div likewise."""
    second = reals(*shape)
    node = Node("Add", ("x", "b"), ("y",), {"broadcast": 1, "axis": axis})
    graph, feeds = old(node, second, constant=constant)

    found = evaluate_graph(prepare_reference(graph), feeds)["y"]
    better = evaluate_graph(optimise(graph, PassOptions(check=True))[0], feeds)["y"]

    np.testing.assert_array_equal(found, X4 + second.reshape(today))
    np.testing.assert_array_equal(better, found)


@pytest.mark.parametrize("count", [1, 4])
def test_an_old_slope_is_one_number_a_channel(count: int) -> None:
    """Rule: PRelu-6 takes a slope of one axis for channels, PRelu-7 broadcasts it from the right."""
    slope = reals(count)
    graph, feeds = old(Node("PRelu", ("x", "b"), ("y",)), slope, constant=True)

    found = evaluate_graph(prepare_reference(graph), feeds)["y"]

    np.testing.assert_array_equal(found, np.where(X4 < 0, X4 * slope.reshape(-1, 1, 1), X4))
