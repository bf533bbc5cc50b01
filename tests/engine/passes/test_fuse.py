"""Tests of fuse_elementwise, fuse_chain, fuse_matmul, fuse_convolution and fuse_epilogue: before, after, what stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.pass_graphs import GraphBuilder, assert_same_results, kinds, prepared

from alula.engine.graph.check import check_graph
from alula.engine.graph.graph import Graph
from alula.engine.graph.text import show_graph
from alula.engine.passes.driver import NodePass, run_node_pass
from alula.engine.passes.fuse_chain import MOST_INPUTS, MOST_STEPS, fuse_chain
from alula.engine.passes.fuse_convolution import fuse_convolution
from alula.engine.passes.fuse_elementwise import fuse_elementwise
from alula.engine.passes.fuse_epilogue import fuse_epilogue
from alula.engine.passes.fuse_matmul import fuse_matmul

_ALL = (fuse_matmul, fuse_convolution, fuse_elementwise, fuse_chain, fuse_epilogue)


def _after(builder: GraphBuilder, visits: tuple[NodePass, ...], *outputs: str) -> Graph:
    """The graph after some passes, checked, with the same results."""
    source = graph = prepared(builder.build(*outputs))
    for visit in visits:
        graph, _ = run_node_pass(graph, visit, repeat=True)
        check_graph(graph, visit.__name__)
    assert_same_results(graph, source, builder.feeds())
    return graph


def _formulas(graph: Graph) -> list[str]:
    formulas = [node.attributes.get("formula") or node.attributes.get("epilogue") for node in graph.nodes]
    return [str(formula) for formula in formulas if formula is not None]


def test_scalar_constants_become_literals() -> None:
    """A literal lives in the code; an input would need a pointer and loads."""
    builder = GraphBuilder()
    builder.node("Clip", "x", builder.constant(0), builder.constant(np.array([6], np.float32)))

    graph = _after(builder, (fuse_elementwise,))

    assert show_graph(graph).splitlines()[2].strip() == (
        "%v0 = alula.Elementwise(%x) {formula=<r1 = max(r0, 0.0); r2 = min(r1, 6.0)>} : float32 [1, 4, 6, 6]"
    )


def test_constants_by_channel_stay_inputs() -> None:
    """A formula has no room for arrays."""
    builder = GraphBuilder()
    builder.node("PRelu", "x", builder.normal(4, 1, 1))

    graph = _after(builder, (fuse_elementwise,))

    assert graph.nodes[0].inputs == ("x", "c0")


def test_an_input_that_is_read_twice_is_one_register() -> None:
    """Reading it once is half the traffic."""
    builder = GraphBuilder()
    builder.node("Mul", "x", "x")

    graph = _after(builder, (fuse_elementwise,))

    assert graph.nodes[0].inputs == ("x",)
    assert _formulas(graph) == ["r1 = mul(r0, r0)"]


def test_a_power_of_one_goes() -> None:
    """A formula without steps would be a copy."""
    builder = GraphBuilder()
    builder.node("Neg", builder.node("Pow", "x", builder.constant(1)))

    assert _formulas(_after(builder, (fuse_elementwise,))) == ["r1 = neg(r0)"]


def test_a_constant_that_adds_axes_stays_an_input() -> None:
    """As a literal it would lose the axes that it gives to the result."""
    builder = GraphBuilder(shape=(3,))
    builder.node("Add", "x", builder.constant(np.ones((1, 1), np.float32)))

    graph = _after(builder, (fuse_elementwise,))

    assert kinds(graph) == ["Elementwise"]
    assert graph.nodes[0].inputs == ("x", "c0")
    assert graph.value(graph.outputs[0]).shape == (1, 3)


def test_formulas_in_a_row_become_one() -> None:
    """HardSwish as old exporters write it: four steps over memory become one."""
    builder = GraphBuilder()
    gate = builder.node("Clip", builder.node("Add", "x", builder.constant(3)), builder.constant(0), builder.constant(6))
    builder.node("Div", builder.node("Mul", "x", gate), builder.constant(6))

    graph = _after(builder, (fuse_elementwise, fuse_chain))

    assert _formulas(graph) == [
        "r1 = add(r0, 3.0); r2 = max(r1, 0.0); r3 = min(r2, 6.0); r4 = mul(r0, r3); r5 = div(r4, 6.0)"
    ]


def test_a_diamond_becomes_one_formula() -> None:
    """Both sides read the same value; it is made once inside the formula."""
    builder = GraphBuilder()
    top = builder.node("Neg", "x")
    builder.node("Add", builder.node("Abs", top), builder.node("Exp", top))

    graph = _after(builder, (fuse_elementwise, fuse_chain))

    assert kinds(graph) == ["Elementwise"]
    assert _formulas(graph)[0].count("neg") == 1


def test_a_formula_that_others_read_too_stays() -> None:
    """Merging would compute it twice; as an output of the model it must be stored anyway."""
    builder = GraphBuilder()
    y = builder.node("Relu", "x")
    z = builder.node("Neg", y)

    assert kinds(_after(builder, (fuse_elementwise, fuse_chain), y, z)) == ["Elementwise", "Elementwise"]


def test_a_smaller_formula_is_not_computed_again_for_every_pixel() -> None:
    """A gate by channel is computed once a channel, not once a pixel."""
    builder = GraphBuilder()
    gate = builder.node("Sigmoid", builder.node("GlobalAveragePool", "x"))
    builder.node("Mul", "x", gate)

    graph = _after(builder, (fuse_elementwise, fuse_chain))

    assert kinds(graph) == ["GlobalAveragePool", "Elementwise", "Elementwise"]


def test_formulas_have_limits() -> None:
    """Beyond some length, and some number of inputs, registers spill and a larger loop is slower than two."""
    builder = GraphBuilder(shape=(4,))
    x = builder.node("Neg", "x")
    for _ in range(40):
        x = builder.node("Add", x, builder.normal(4))

    graph = _after(builder, (fuse_elementwise, fuse_chain))

    assert len(graph.nodes) == 6
    assert all(len(node.inputs) <= MOST_INPUTS for node in graph.nodes)
    assert all(len(node.formula("formula").steps) <= MOST_STEPS for node in graph.nodes)


def test_convolutions_write_their_numbers_out() -> None:
    """Kernels read no defaults."""
    builder = GraphBuilder()
    builder.node("Conv", "x", builder.normal(4, 4, 3, 3))

    (node,) = _after(builder, (fuse_convolution,)).nodes

    assert node.inputs == ("x", "c0", "")
    assert {name: value for name, value in node.attributes.items() if name != "epilogue"} == {
        "kernel_shape": (3, 3),
        "strides": (1, 1),
        "dilations": (1, 1),
        "pads": (0, 0, 0, 0),
        "group": 1,
    }


def test_a_convolution_with_computed_weights_stays() -> None:
    """Weights are packed before the run; those that change have only the reference."""
    builder = GraphBuilder()
    pooled = builder.node("GlobalAveragePool", "x")
    weights = builder.node("Reshape", pooled, builder.constant(np.array([1, 4, 1, 1], np.int64)))
    builder.node("Conv", "x", weights)

    assert kinds(_after(builder, (fuse_convolution,)))[-1] == "Conv"


def test_activation_and_residual_go_into_the_epilogue() -> None:
    """A residual block is stored once, not three times."""
    builder = GraphBuilder()
    skip = builder.node("MaxPool", "x", kernel_shape=(1, 1))
    y = builder.conv(builder.node("Relu", builder.conv(skip, 4, 4)), 4, 4)
    builder.node("Relu", builder.node("Add", skip, y))

    graph = _after(builder, _ALL)

    assert kinds(graph) == ["MaxPool", "FusedConv", "FusedConv"]
    assert _formulas(graph) == ["r1 = max(r0, 0.0)", "r2 = add(r1, r0); r3 = max(r2, 0.0)"]
    assert graph.nodes[2].inputs[3:] == (skip,)


def test_an_activation_that_reads_the_result_twice_goes_into_the_epilogue() -> None:
    """SiLU as exporters write it: x times sigmoid of x."""
    builder = GraphBuilder()
    y = builder.conv("x", 4, 4)
    builder.node("Mul", y, builder.node("Sigmoid", y))

    assert kinds(_after(builder, _ALL)) == ["FusedConv"]


@pytest.mark.parametrize("turned", [False, True])
def test_the_sum_of_two_convolutions_goes_into_the_later_one(*, turned: bool) -> None:
    """The earlier one stays at its place, so that its input can be forgotten early."""
    builder = GraphBuilder()
    pair = (builder.conv("x", 4, 4), builder.conv("x", 4, 4, 1))
    builder.node("Add", *(reversed(pair) if turned else pair))

    graph = _after(builder, _ALL)

    assert [node.ints("kernel_shape") for node in graph.nodes] == [(3, 3), (1, 1)]
    assert graph.nodes[1].inputs[3:] == (pair[0],)


def test_two_residuals_follow_each_other_into_one_epilogue() -> None:
    """Extras of the first stay in front; each value is read once."""
    builder = GraphBuilder()
    y = builder.node("Add", builder.conv("x", 4, 4), "x")
    builder.node("Mul", builder.node("Add", y, builder.node("MaxPool", "x", kernel_shape=(1, 1))), "x")

    graph = _after(builder, (fuse_convolution, fuse_elementwise, fuse_epilogue))

    assert kinds(graph) == ["MaxPool", "FusedConv"]
    assert len(graph.nodes[1].inputs[3:]) == 2


@pytest.mark.parametrize("other", ["gate", "channels", "pixels", "rank"])
def test_what_does_not_have_the_shape_of_the_result_stays_outside(other: str) -> None:
    """An epilogue reads its extras where it writes its result."""
    builder = GraphBuilder()
    y = builder.conv("x", 4, 4)
    others = {
        "gate": builder.node("GlobalAveragePool", "x"),
        "channels": builder.positive(4, 1, 1),
        "pixels": builder.positive(1, 4, 6, 6),
        "rank": builder.positive(2, 1, 4, 6, 6),
    }
    z = builder.node("Mul", y, others[other])

    graph = _after(builder, _ALL, z)

    assert kinds(graph)[0] == "FusedConv"
    assert kinds(graph)[-1] == "Elementwise"
    assert _formulas(graph)[0] == "r0"


def test_a_result_that_others_read_too_keeps_its_epilogue() -> None:
    """They want the convolution, not the activation."""
    builder = GraphBuilder()
    y = builder.conv("x", 4, 4)
    z = builder.node("Relu", y)

    assert kinds(_after(builder, _ALL, y, z)) == ["FusedConv", "Elementwise"]


@pytest.mark.parametrize("attributes", [{}, {"alpha": 0.5}, {"beta": 2.0}, {"transB": 1, "alpha": 3.0}, {"transA": 1}])
@pytest.mark.parametrize("bias", [None, (), (1,), (3,), (1, 3), (3, 3), (3, 1)])
def test_every_gemm_comes_out_right(attributes: dict[str, Any], bias: tuple[int, ...] | None) -> None:
    """Factors go into constants, C into the bias or an extra input; what fits neither is added behind."""
    builder = GraphBuilder(shape=(3, 3))
    inputs = ["x", builder.normal(3, 3), *([builder.normal(*bias)] if bias is not None else [])]
    builder.node("Gemm", *inputs, **attributes)

    graph = _after(builder, (fuse_matmul,))

    assert kinds(graph) == (["FusedMatMul", "Add"] if bias == (3, 1) else ["FusedMatMul"])
    row = bias is not None and bias not in {(3, 1), (3, 3)}
    assert (graph.nodes[0].input(2) != "") == row


@pytest.mark.parametrize("attributes", [{"alpha": 2.0}, {"alpha": 2.0, "beta": 0.5}])
def test_a_gemm_of_computed_matrices_scales_in_its_epilogue(attributes: dict[str, Any]) -> None:
    """There is no constant that could take the factors."""
    builder = GraphBuilder(shape=(3, 3))
    builder.node("Gemm", "x", builder.node("Neg", "x"), builder.node("Abs", "x"), **attributes)

    graph = _after(builder, (fuse_matmul,))

    assert kinds(graph) == ["Neg", "Abs", "FusedMatMul"]
    assert _formulas(graph)[0].startswith("r2 = mul(r0, 2.0)")


@pytest.mark.parametrize("turned", [False, True])
def test_a_constant_row_added_to_a_product_becomes_its_bias(*, turned: bool) -> None:
    """PyTorch writes linear layers over stacks of rows as MatMul and Add."""
    builder = GraphBuilder(shape=(2, 3, 4))
    pair = (builder.node("MatMul", "x", builder.normal(4, 5)), builder.normal(5))
    builder.node("Relu", builder.node("Add", *(reversed(pair) if turned else pair)))

    graph = _after(builder, _ALL)

    assert kinds(graph) == ["FusedMatMul"]
    assert graph.nodes[0].inputs == ("x", "c0", "c1")
    assert _formulas(graph) == ["r1 = max(r0, 0.0)"]


@pytest.mark.parametrize("shape", [(3, 1), (3, 5), (4, 1, 1, 5)])
def test_other_constants_added_to_a_product_are_no_bias(shape: tuple[int, ...]) -> None:
    """A bias is one row for all rows."""
    builder = GraphBuilder(shape=(2, 3, 4))
    builder.node("Add", builder.node("MatMul", "x", builder.normal(4, 5)), builder.normal(*shape))

    assert kinds(_after(builder, _ALL)) == ["FusedMatMul", "Elementwise"]


@pytest.mark.parametrize(("shape", "other"), [((3, 4), (4,)), ((4,), (4, 5)), ((4,), (4,)), ((4,), (2, 3, 4, 5))])
def test_vectors_are_rows_and_columns(shape: tuple[int, ...], other: tuple[int, ...]) -> None:
    """Kernels want matrices; the axis that a vector gets for it goes again."""
    builder = GraphBuilder(shape=shape)
    b = builder.node("Neg", "x") if shape == other else builder.normal(*other)
    builder.node("MatMul", "x", b)

    found = kinds(_after(builder, (fuse_matmul,)))

    turned = ["Reshape"] * (len(shape) == 1)
    assert found == (["Neg", "Reshape"] if shape == other else []) + [*turned, "FusedMatMul", "Reshape"]


def test_a_computed_right_hand_side_is_transposed_first() -> None:
    """The product reads rows of its right-hand side."""
    builder = GraphBuilder(shape=(3, 4))
    builder.node("Gemm", builder.node("Neg", "x"), "x", transB=1)

    assert kinds(_after(builder, (fuse_matmul,))) == ["Neg", "Transpose", "FusedMatMul"]
