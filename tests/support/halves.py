"""Networks in 16-bit floats: the same graph with every float32 of it converted.

In: a float32 graph. Out: the graph in float16 or bfloat16, and what its results must be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.graph import Graph
from alula.engine.graph.numpy_dtypes import numpy_dtype
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.operators.precision import widened
from support.pass_graphs import Array, GraphBuilder, prepared

SHORT = (DType.FLOAT16, DType.BFLOAT16)
# Half the distance of neighbouring numbers, for numbers of size 1: 10 and 7 bits behind the point.
UNIT = {DType.FLOAT16: 2.0**-11, DType.BFLOAT16: 2.0**-8}


def halved(graph: Graph, dtype: DType) -> Graph:
    """Inputs and weights of 16 bits; the scales of Resize are float32 in every model."""
    scales = {node.input(2) for node in graph.nodes if node.op == "Resize"}
    constants = {
        name: array.astype(numpy_dtype(dtype)) if array.dtype == np.float32 and name not in scales else array
        for name, array in graph.constants.items()
    }
    inputs = tuple(replace(value, dtype=dtype) for value in graph.inputs)
    return replace(graph, inputs=inputs, constants=constants, values={value.name: value for value in inputs})


def short_feeds(feeds: Mapping[str, Array], dtype: DType) -> dict[str, Array]:
    """Inputs of 16 bits."""
    return {name: array.astype(numpy_dtype(dtype)) for name, array in feeds.items()}


def in_float32(short: Graph, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """What a graph of 16 bits gives if all of it is computed in float32 from the same numbers, and never rounded."""
    constants = {name: widened(array) for name, array in short.constants.items()}
    inputs = tuple(replace(value, dtype=DType.FLOAT32) for value in short.inputs)
    graph = replace(short, inputs=inputs, constants=constants, values={value.name: value for value in inputs})
    return evaluate_graph(prepared(graph), {name: widened(array) for name, array in feeds.items()})


def assert_rounded_once(found: Mapping[str, Array], exact: Mapping[str, Array], dtype: DType) -> None:
    """Results in 16 bits of a network that computed in float32.

    One rounding is off by at most a unit; that two float32 results which agree to 1e-4 of the largest number (see
    `assert_close`) lie on two sides of a border adds nothing beyond those 1e-4. Below the smallest normal number the
    distance of neighbours stays 2^-24 (float16); it is far below the absolute term for outputs that are not all tiny.
    """
    for name, array in exact.items():
        want = array.astype(numpy_dtype(dtype))
        assert found[name].dtype == want.dtype
        finite = np.isfinite(want)
        np.testing.assert_array_equal(widened(found[name])[~finite], widened(want)[~finite])
        largest = float(np.abs(array[finite]).max(initial=1e-3))
        error = np.abs(widened(found[name])[finite] - array[finite])
        assert (error <= UNIT[dtype] * np.abs(array[finite]) + 1e-4 * largest + 2.0**-25).all(), name


def assert_near_the_rounded(
    found: Mapping[str, Array], stepwise: Mapping[str, Array], dtype: DType, nodes: int
) -> None:
    """Results beside those of a network that rounds after every node.

    Each rounding is off by at most a unit of its value, so that `nodes` of them in a row are off by as many units of
    the largest number, in networks whose nodes enlarge no difference more than they enlarge numbers.
    """
    for name, array in stepwise.items():
        want = widened(array)
        largest = float(np.abs(want).max())
        np.testing.assert_allclose(widened(found[name]), want, rtol=0, atol=nodes * UNIT[dtype] * largest, err_msg=name)


def small_mobilenet() -> GraphBuilder:
    """Stem, inverted residuals with normalisations, hard swish and a gate, then ten classes."""
    b = GraphBuilder(shape=(4, 3, 24, 24), seed=3)
    y, channels = b.node("HardSwish", b.batch_norm(b.conv("x", 3, 8, 3, strides=(2, 2)), 8)), 8
    for outputs, stride in ((8, 1), (12, 2), (12, 1)):
        start, wide = y, 3 * channels
        y = b.node("Clip", b.batch_norm(b.conv(y, channels, wide, 1), wide), b.constant(0.0), b.constant(6.0))
        y = b.node("HardSwish", b.batch_norm(b.conv(y, wide, wide, 3, group=wide, strides=(stride, stride)), wide))
        gate = b.node("HardSigmoid", b.conv(b.node("GlobalAveragePool", y), wide, wide, 1))
        y = b.batch_norm(b.conv(b.node("Mul", y, gate), wide, outputs, 1), outputs)
        y, channels = (b.node("Add", start, y) if stride == 1 and outputs == channels else y), outputs
    pooled = b.node("Flatten", b.node("GlobalAveragePool", y))
    b.node("Softmax", b.node("Gemm", pooled, b.normal(10, channels), b.normal(10), transB=1), axis=-1)
    return b


def encoder_block() -> GraphBuilder:
    """A block of a transformer as exporters write it: norms by their parts, four heads, a gate of GELU."""
    tokens, width, heads = 6, 16, 4
    b = GraphBuilder(shape=(2, tokens, width), seed=5)
    apart, joined = (b.constant(np.array(s)) for s in ((2, tokens, heads, width // heads), (2, tokens, width)))
    normed = _layer_norm(b, "x", width)
    sides = []
    for turned in ((0, 2, 1, 3), (0, 2, 3, 1), (0, 2, 1, 3)):
        side = b.node("Add", b.node("MatMul", normed, b.normal(width, width)), b.normal(width))
        sides.append(b.node("Transpose", b.node("Reshape", side, apart), perm=turned))
    scores = b.node("Div", b.node("MatMul", sides[0], sides[1]), b.constant(2.0))
    weighed = b.node("MatMul", b.node("Softmax", scores, axis=-1), sides[2])
    y = b.node("Reshape", b.node("Transpose", weighed, perm=(0, 2, 1, 3)), joined)
    y = b.node("Add", "x", b.node("MatMul", y, b.normal(width, width)))
    inner = b.node("Add", b.node("MatMul", _layer_norm(b, y, width), b.normal(width, 2 * width)), b.normal(2 * width))
    bent = b.node("Add", b.node("Erf", b.node("Div", inner, b.constant(2.0**0.5))), b.constant(1.0))
    gelu = b.node("Mul", b.node("Mul", inner, bent), b.constant(0.5))
    b.node("Add", y, b.node("MatMul", gelu, b.normal(2 * width, width)))
    return b


def _layer_norm(b: GraphBuilder, x: str, width: int) -> str:
    axes = b.constant(np.array([-1]))
    centred = b.node("Sub", x, b.node("ReduceMean", x, axes))
    variance = b.node("ReduceMean", b.node("Mul", centred, centred), axes)
    scaled = b.node("Div", centred, b.node("Sqrt", b.node("Add", variance, b.constant(1e-5))))
    return b.node("Add", b.node("Mul", scaled, b.positive(width)), b.normal(width))
