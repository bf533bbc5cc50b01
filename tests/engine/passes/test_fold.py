"""Tests of fold_batch_norm, fold_scale, fold_pads and resolve_auto_pad: before and after, and what must stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.pass_graphs import GraphBuilder, assert_same_results, kinds, prepared

from alula.engine.graph.check import check_graph
from alula.engine.graph.graph import Graph
from alula.engine.graph.text import show_graph
from alula.engine.passes.driver import NodePass, run_node_pass
from alula.engine.passes.fold_batch_norm import fold_batch_norm
from alula.engine.passes.fold_pads import fold_pads
from alula.engine.passes.fold_scale import fold_scale
from alula.engine.passes.resolve_auto_pad import resolve_auto_pad


def _after(builder: GraphBuilder, visit: NodePass, *outputs: str) -> Graph:
    """The graph after one pass, checked, with the same results."""
    source = prepared(builder.build(*outputs))
    graph, _ = run_node_pass(source, visit, repeat=True)
    check_graph(graph, visit.__name__)
    assert_same_results(graph, source, builder.feeds())
    return graph


def _lines(graph: Graph) -> list[str]:
    """The nodes of the text form, without attributes."""
    lines = [line.strip() for line in show_graph(graph).splitlines() if " = " in line]
    return [line.split(" {")[0] + " : " + line.rsplit(" : ", 1)[1] for line in lines]


def test_batch_norm_after_a_convolution_goes_into_its_weights() -> None:
    """The normalisation of a trained network costs nothing."""
    builder = GraphBuilder()
    builder.batch_norm(builder.conv("x", 4, 8), 8)

    graph = _after(builder, fold_batch_norm)

    assert _lines(graph) == [
        "%v1 = Conv(%x, #v1.scaled.1[8x4x3x3], #v1.shifted.2[8]) : float32 [1, 8, 6, 6]",
    ]


def test_batch_norm_goes_into_a_convolution_without_bias() -> None:
    """Exporters leave the bias out where a normalisation follows."""
    builder = GraphBuilder()
    builder.batch_norm(builder.node("Conv", "x", builder.normal(8, 2, 1, 1), group=2), 8)

    assert kinds(_after(builder, fold_batch_norm)) == ["Conv"]


@pytest.mark.parametrize("group", [1, 2, 4])
def test_batch_norm_goes_into_a_transposed_convolution(group: int) -> None:
    """Its output channels lie along the second axis of the weights, group by group."""
    builder = GraphBuilder()
    y = builder.node("ConvTranspose", "x", builder.normal(4, 3, 2, 2), group=group, strides=(2, 2))
    builder.batch_norm(y, 3 * group)

    assert kinds(_after(builder, fold_batch_norm)) == ["ConvTranspose"]


@pytest.mark.parametrize("attributes", [{}, {"transB": 1}, {"alpha": 2.0, "beta": 0.5}])
@pytest.mark.parametrize("bias", [(), (5,), (3, 1)])
def test_batch_norm_goes_into_a_gemm(attributes: dict[str, Any], bias: tuple[int, ...]) -> None:
    """Fully connected layers are normalised by column; alpha and beta are part of what is scaled."""
    builder = GraphBuilder(shape=(3, 4))
    weights = builder.normal(5, 4) if attributes.get("transB") else builder.normal(4, 5)
    builder.batch_norm(builder.node("Gemm", "x", weights, builder.normal(*bias), **attributes), 5)

    assert kinds(_after(builder, fold_batch_norm)) == ["Gemm"]


def test_batch_norm_alone_becomes_a_formula() -> None:
    """Where no weights stand before it, it is one multiply-add that later passes can fuse."""
    builder = GraphBuilder()
    builder.batch_norm(builder.node("MaxPool", "x", kernel_shape=(1, 1)), 4)

    graph = _after(builder, fold_batch_norm)

    assert show_graph(graph).splitlines()[3].strip() == (
        "%v1 = alula.Elementwise(%v0, #v1.scale.1[4x1x1], #v1.shift.2[4x1x1]) "
        "{formula=<r3 = mul(r0, r1); r4 = add(r3, r2)>} : float32 [1, 4, 6, 6]"
    )


def test_a_convolution_that_others_read_too_keeps_its_weights() -> None:
    """The other reader wants what it made before the normalisation."""
    builder = GraphBuilder()
    y = builder.conv("x", 4, 4)
    z = builder.batch_norm(y, 4)
    builder.node("Add", y, z)

    assert kinds(_after(builder, fold_batch_norm)) == ["Conv", "Elementwise", "Add"]
    assert kinds(_after(builder, fold_batch_norm, y, z)) == ["Conv", "Elementwise"]


def test_weights_that_two_convolutions_share_are_scaled_for_one() -> None:
    """Constants are never changed in place."""
    builder = GraphBuilder()
    weights = builder.normal(4, 4, 1, 1)
    normed = builder.batch_norm(builder.node("Conv", "x", weights), 4)
    builder.node("Add", normed, builder.node("Conv", "x", weights))

    assert kinds(_after(builder, fold_batch_norm)) == ["Conv", "Conv", "Add"]


def test_batch_norm_in_training_stays() -> None:
    """It goes by the batch's own statistics, which nobody knows beforehand."""
    builder = GraphBuilder()
    statistics = [builder.normal(4) for _ in range(3)]
    builder.node("BatchNormalization", "x", *statistics, builder.constant(np.ones(4, np.float32)), training_mode=1)

    assert kinds(_after(builder, fold_batch_norm)) == ["BatchNormalization"]


def test_batch_norm_of_computed_statistics_stays() -> None:
    """Only constants can be folded."""
    builder = GraphBuilder(shape=(4, 4))
    mean = builder.node("ReduceMean", "x", builder.constant(np.array([0], np.int64)), keepdims=0)
    builder.node("BatchNormalization", "x", builder.positive(4), builder.normal(4), mean, builder.positive(4))

    assert kinds(_after(builder, fold_batch_norm)) == ["ReduceMean", "BatchNormalization"]


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("shape", [(4, 1, 1), (1, 4, 1, 1), (1,), ()])
@pytest.mark.parametrize("turned", [False, True])
def test_factors_and_terms_by_channel_go_into_the_weights(op: str, shape: tuple[int, ...], *, turned: bool) -> None:
    """Old frameworks write a layer's scale as steps of their own."""
    builder = GraphBuilder()
    pair = (builder.conv("x", 4, 4), builder.positive(*shape))
    builder.node(op, *(reversed(pair) if turned else pair))

    graph = _after(builder, fold_scale)

    assert kinds(graph) == (["Conv", "Div"] if op == "Div" and turned else ["Conv"])


@pytest.mark.parametrize("shape", [(6,), (1, 1, 6, 1), (1, 4, 6, 6), (2, 4, 1, 1), (1, 1, 4, 1, 1)])
def test_constants_along_other_axes_stay(shape: tuple[int, ...]) -> None:
    """Weights have no place for what changes from pixel to pixel, nor for a larger result."""
    builder = GraphBuilder()
    builder.node("Mul", builder.conv("x", 4, 4), builder.positive(*shape))

    assert kinds(_after(builder, fold_scale)) == ["Conv", "Mul"]


def test_a_division_by_zero_stays() -> None:
    """It gives infinity where x is not 0, and NaN where it is; weights of infinity would give NaN everywhere."""
    builder = GraphBuilder()
    builder.node("Div", builder.conv("x", 4, 4), builder.constant(np.array([1, 0, 1, 1], np.float32).reshape(4, 1, 1)))

    assert kinds(_after(builder, fold_scale)) == ["Conv", "Div"]


def test_factors_after_a_lone_batch_norm_go_into_its_formula() -> None:
    """Normalise, scale, shift is one multiply-add, not three."""
    builder = GraphBuilder()
    y = builder.node("Mul", builder.batch_norm("x", 4), builder.positive(4, 1, 1))
    builder.node("Add", y, builder.normal(4, 1, 1))
    source = prepared(builder.build())

    graph, _ = run_node_pass(run_node_pass(source, fold_batch_norm)[0], fold_scale)

    assert kinds(graph) == ["Elementwise"]
    assert_same_results(graph, source, builder.feeds())


def _padded(builder: GraphBuilder, fill: float, amounts: tuple[int, ...] = (0, 0, 1, 2, 0, 0, 3, 4)) -> str:
    return builder.node("Pad", "x", builder.constant(np.array(amounts, np.int64)), builder.constant(fill))


def test_a_border_of_zeros_goes_into_the_convolution() -> None:
    """TensorFlow and Keras pad by a step of its own before each strided convolution."""
    builder = GraphBuilder()
    builder.conv(_padded(builder, 0.0), 4, 4, strides=(2, 2), pads=(1, 0, 0, 1))

    graph = _after(builder, fold_pads)

    assert kinds(graph) == ["Conv"]
    assert graph.nodes[0].ints("pads") == (2, 2, 3, 5)


def test_a_border_along_named_axes_goes_into_the_convolution() -> None:
    """Since opset 18, amounts may be for some axes only, counted from the end as well."""
    builder = GraphBuilder()
    amounts, axes = (builder.constant(np.array(numbers, np.int64)) for numbers in ([1, 2, 3, 4], [-1, 2]))
    builder.conv(builder.node("Pad", "x", amounts, "", axes), 4, 4, pads=(0, 0, 0, 0))

    graph = _after(builder, fold_pads)

    assert kinds(graph) == ["Conv"]
    assert graph.nodes[0].ints("pads") == (2, 1, 4, 3)


def test_a_border_that_two_convolutions_read_goes_into_both() -> None:
    """The border is gone only when its last reader has it."""
    builder = GraphBuilder()
    wide = _padded(builder, 0.0)
    builder.node("Add", builder.conv(wide, 4, 4), builder.conv(wide, 4, 4))

    assert kinds(_after(builder, fold_pads)) == ["Conv", "Conv", "Add"]


@pytest.mark.parametrize(
    ("fill", "amounts"),
    [(1.0, (0, 0, 1, 1, 0, 0, 1, 1)), (0.0, (0, 0, 1, 1, 0, 0, -1, 1)), (0.0, (1, 0, 0, 0, 0, 0, 0, 0))],
)
def test_a_border_that_a_convolution_cannot_have_stays(fill: float, amounts: tuple[int, ...]) -> None:
    """Convolutions pad rows and columns with zeros, and nothing else."""
    builder = GraphBuilder()
    builder.conv(_padded(builder, fill, amounts), 4, 4)

    assert kinds(_after(builder, fold_pads)) == ["Pad", "Conv"]


def test_a_mirrored_border_stays() -> None:
    """Only constants can be an attribute."""
    builder = GraphBuilder()
    amounts = builder.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64))
    builder.conv(builder.node("Pad", "x", amounts, mode="reflect"), 4, 4)

    assert kinds(_after(builder, fold_pads)) == ["Pad", "Conv"]


@pytest.mark.parametrize(
    ("op", "fill", "attributes", "folds"),
    [
        ("MaxPool", -np.inf, {}, True),
        ("MaxPool", 0.0, {}, False),
        ("MaxPool", -np.inf, {"ceil_mode": 1, "strides": (2, 2)}, False),
        ("AveragePool", 0.0, {}, True),
        ("AveragePool", 1.0, {}, False),
        ("AveragePool", 0.0, {"pads": (1, 1, 1, 1)}, False),
        ("AveragePool", 0.0, {"pads": (1, 1, 1, 1), "count_include_pad": 1}, True),
    ],
)
def test_a_border_goes_into_a_pool_that_treats_it_alike(
    op: str, fill: float, attributes: dict[str, Any], *, folds: bool
) -> None:
    """MaxPool's own border is minus infinity; AveragePool counts its own only when told to."""
    builder = GraphBuilder()
    wide = _padded(builder, fill, (0, 0, 1, 1, 0, 0, 1, 1))
    builder.node(op, wide, kernel_shape=(3, 3), **attributes)

    assert kinds(_after(builder, fold_pads)) == ([op] if folds else ["Pad", op])


def test_a_border_as_wide_as_the_window_stays() -> None:
    """A pool must not have windows that cover nothing but its border."""
    builder = GraphBuilder()
    builder.node("AveragePool", _padded(builder, 0.0), kernel_shape=(3, 3))

    assert kinds(_after(builder, fold_pads)) == ["Pad", "AveragePool"]


@pytest.mark.parametrize("word", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize(
    ("op", "kernel", "stride"),
    [(op, *sizes) for op in ("Conv", "MaxPool", "AveragePool") for sizes in ((3, 2), (2, 1), (1, 3), (4, 3))]
    + [("ConvTranspose", *sizes) for sizes in ((3, 2), (2, 1), (3, 3), (4, 3))],
)
def test_padding_in_words_becomes_numbers(op: str, word: str, kernel: int, stride: int) -> None:
    """Kernels read numbers only."""
    builder = GraphBuilder(shape=(1, 4, 7, 6))
    attributes: dict[str, Any] = {"strides": (stride, stride), "auto_pad": word}
    if op.startswith("Conv"):
        builder.node(op, "x", builder.normal(4, 4, kernel, kernel), **attributes)
    else:
        builder.node(op, "x", kernel_shape=(kernel, kernel), ceil_mode=1, **attributes)

    graph = _after(builder, resolve_auto_pad)

    assert len(graph.nodes[0].ints("pads")) == 4
    assert "auto_pad" not in graph.nodes[0].attributes


def test_the_output_shape_of_a_transposed_convolution_becomes_padding() -> None:
    """The attribute only says how much of the border is cut off."""
    builder = GraphBuilder()
    builder.node("ConvTranspose", "x", builder.normal(4, 4, 3, 3), strides=(2, 2), output_shape=(11, 12))

    graph = _after(builder, resolve_auto_pad)

    assert graph.nodes[0].ints("pads") == (1, 1, 1, 0)
    assert "output_shape" not in graph.nodes[0].attributes


def test_padding_that_would_have_to_be_negative_stays_in_words() -> None:
    """A transposed convolution of one tap with stride 3 leaves gaps at the end that no padding describes."""
    builder = GraphBuilder()
    builder.node("ConvTranspose", "x", builder.normal(4, 4, 1, 1), strides=(3, 3), auto_pad="SAME_UPPER")

    assert "auto_pad" in _after(builder, resolve_auto_pad).nodes[0].attributes
