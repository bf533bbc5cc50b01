"""Generated windows: convolution and pooling against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from hypothesis import given, settings
from hypothesis import strategies as st
from support.onnx_models import feeds_of, graph_of, one_node_model
from support.problem import reals

from alula.engine.graph.nodes import Array
from alula.engine.operators.evaluate import evaluate_graph


@st.composite
def _windows(draw: st.DrawFn) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Sizes of one to three spatial axes, and a window over them whose pads are smaller than its kernel."""
    rank = draw(st.integers(1, 3))
    kernel = draw(st.tuples(*[st.integers(1, 4)] * rank))
    window = {
        "kernel_shape": kernel,
        "strides": draw(st.tuples(*[st.integers(1, 4)] * rank)),
        "dilations": draw(st.tuples(*[st.integers(1, 2)] * rank)),
        "pads": tuple(draw(st.integers(0, size - 1)) for size in kernel * 2),
    }
    return draw(st.tuples(*[st.integers(7, 11)] * rank)), window


def _check(op: str, inputs: list[Array], attributes: dict[str, Any], outputs: int = 1) -> None:
    model = one_node_model(op, inputs, attributes, outputs=outputs)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    want = session.run(None, feeds_of(inputs))

    graph = graph_of(model)
    got = evaluate_graph(graph, feeds_of(inputs))

    for name, array in zip(graph.outputs, want, strict=True):
        np.testing.assert_allclose(got[name], array, rtol=1e-4, atol=1e-4)


@settings(max_examples=60)
@given(_windows(), st.sampled_from([1, 2, 4]))
def test_convolution_of_any_geometry(problem: tuple[tuple[int, ...], dict[str, Any]], group: int) -> None:
    """Stride, dilation, padding and groups combine freely."""
    sizes, window = problem

    _check("Conv", [reals(2, 4, *sizes), reals(4, 4 // group, *window["kernel_shape"])], {**window, "group": group})


@settings(max_examples=60)
@given(_windows(), st.sampled_from([1, 2, 4]))
def test_transposed_convolution_of_any_geometry(problem: tuple[tuple[int, ...], dict[str, Any]], group: int) -> None:
    """Stride, dilation, padding and groups combine freely."""
    sizes, window = problem

    _check("ConvTranspose", [reals(1, 4, *sizes), reals(4, 2, *window["kernel_shape"])], {**window, "group": group})


@settings(max_examples=80)
@given(_windows(), st.sampled_from([0, 1]), st.sampled_from([None, 0, 1]))
def test_pooling_of_any_geometry(
    problem: tuple[tuple[int, ...], dict[str, Any]], ceil: int, counted: int | None
) -> None:
    """The last window of ceil_mode, and what padding counts for, are the standard's."""
    sizes, window = problem
    attributes = {**window, "ceil_mode": ceil}

    if counted is None:
        _check("MaxPool", [reals(2, 3, *sizes)], attributes, outputs=2)
    else:
        _check("AveragePool", [reals(2, 3, *sizes)], {**attributes, "count_include_pad": counted})
