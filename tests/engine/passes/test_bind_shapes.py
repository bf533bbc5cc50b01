from __future__ import annotations

from dataclasses import replace

import pytest

from alula.base.errors import RequestError, ShapeError
from alula.base.tensors import DType
from alula.engine.graph.dims import Dim, symbol
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Node, Value
from alula.engine.passes.bind_shapes import bind_shapes

N, H, W = symbol("N"), symbol("H"), symbol("W")


def _graph(*shapes: tuple[Dim, ...]) -> Graph:
    inputs = tuple(Value(f"x{index}", DType.FLOAT32, shape) for index, shape in enumerate(shapes))
    values = {value.name: value for value in inputs} | {"y": Value("y", DType.FLOAT32, (N, H * 2, (W + 1) // 2))}
    return Graph("model", (Node("Relu", ("x0",), ("y",)),), inputs, ("y",), {}, values)


def test_symbols_become_numbers_everywhere() -> None:
    """One symbol is one number, wherever it stands."""
    graph = bind_shapes(_graph((N, 3, H, W), (N, H)), {"N": 2, "H": 5, "W": 7})

    assert [value.shape for value in graph.inputs] == [(2, 3, 5, 7), (2, 5)]
    assert graph.value("x1").shape == (2, 5)
    assert graph.value("y").shape == (2, 10, 4)


def test_the_shape_of_one_input_binds_the_symbols_of_the_others() -> None:
    """Whoever gives the picture's shape need not repeat its batch size for the second input."""
    graph = bind_shapes(_graph((N, 3, H, W), (N, H)), {}, {"x0": (4, 3, 6, 8)})

    assert graph.inputs[1].shape == (4, 6)


def test_unbound_symbols_are_named_with_the_option_that_binds_them() -> None:
    """The error is where a user learns how to say it."""
    with pytest.raises(ShapeError) as caught:
        bind_shapes(_graph((N, 3, H, 32), (N, H)), {"H": 5})

    assert caught.value.found == "N unbound"
    assert caught.value.hint == "--shape x0=1x3x5x32"
    assert caught.value.detail.splitlines() == ["input x0 float32 [N, 3, 5, 32]", "input x1 float32 [N, 5]"]


def test_the_hint_for_a_picture_is_one_that_can_be_pasted() -> None:
    """A hint with holes in it helps nobody."""
    with pytest.raises(ShapeError, match="--shape x0=1x3x224x224"):
        bind_shapes(_graph((N, 3, H, W)), {})


@pytest.mark.parametrize("shape", [(1, 4, 8, 8), (1, 3, 8)])
def test_a_shape_that_contradicts_the_model_is_refused(shape: tuple[int, ...]) -> None:
    """A fixed dimension of the model is not the caller's to change."""
    with pytest.raises(ShapeError, match=r"needs a shape that fits \[N, 3, H, W\]"):
        bind_shapes(_graph((N, 3, H, W)), {}, {"x0": shape})


def test_shapes_that_contradict_each_other_are_refused() -> None:
    """Two batch sizes at once would give a graph whose shapes clash far from the cause."""
    with pytest.raises(ShapeError, match="input x1: needs N = 1, the shape given is"):
        bind_shapes(_graph((N, 3), (N, H)), {}, {"x0": (1, 3), "x1": (2, 5)})


def test_a_composed_dimension_must_come_out_as_given() -> None:
    """`2*H` given as 7 fits no H."""
    with pytest.raises(ShapeError, match="needs a shape that fits"):
        bind_shapes(_graph((H,), (H * 2,)), {}, {"x0": (3,), "x1": (7,)})


def test_a_shape_for_an_unknown_input_is_refused() -> None:
    """A misspelt name must not be ignored."""
    with pytest.raises(RequestError, match="inputs are x0, there is no image"):
        bind_shapes(_graph((N,)), {}, {"image": (1,)})


def test_sizes_below_one_are_refused() -> None:
    """An empty batch has no answer."""
    with pytest.raises(RequestError, match="at least 1"):
        bind_shapes(_graph((N,)), {}, {"x0": (0,)})


def test_a_recorded_shape_that_would_divide_by_zero_becomes_unknown() -> None:
    """Records of intermediate values are hints of the file; inference finds the truth later."""
    graph = _graph((N,))
    odd = Value("y", DType.FLOAT32, (N // (H - 1),))

    bound = bind_shapes(replace(graph, values={"y": odd}), {"N": 4, "H": 1})

    assert bound.value("y").shape is None
