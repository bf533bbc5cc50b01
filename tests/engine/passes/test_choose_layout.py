from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.convnets import ConvNet, conv_nets
from support.pass_graphs import GraphBuilder, assert_same_results, kinds, prepared

from alula.engine.graph.check import check_graph
from alula.engine.graph.graph import Graph
from alula.engine.graph.text import show_graph
from alula.engine.passes.choose_layout import choose_layout
from alula.engine.passes.driver import PassOptions
from alula.engine.passes.order import optimise


def laid_out(builder: GraphBuilder, *outputs: str, block: int = 16) -> Graph:
    """The graph after all passes and the choice of layouts."""
    return choose_layout(optimise(builder.build(*outputs))[0], block)


@settings(max_examples=60, deadline=None)
@given(conv_nets(), st.sampled_from([4, 8, 16]))
def test_layouts_never_change_what_a_network_computes(situation: tuple[ConvNet, Graph], block: int) -> None:
    """Blocks are a matter of memory: logical shapes, values and names of outputs stay."""
    net, source = situation
    optimised, _ = optimise(source, PassOptions(check=True))

    graph = choose_layout(optimised, block)

    check_graph(graph)
    assert_same_results(graph, prepared(source), net.feeds())


@settings(max_examples=60, deadline=None)
@given(conv_nets())
def test_every_node_gets_the_layout_that_it_can_read(situation: tuple[ConvNet, Graph]) -> None:
    """Only Pack and Unpack stand between blocks and rows; inputs and outputs of the model are rows."""
    graph = choose_layout(optimise(situation[1])[0], 16)

    for node in graph.nodes:
        blocks = {graph.value(name).block for name in (*node.inputs[:1], *node.outputs) if name}
        assert len(blocks) == 1 or node.op in {"Pack", "Unpack", "FusedConv"}, node
        if node.op == "FusedConv":
            assert graph.value(node.output).block == 16
    assert not any(graph.value(name).block for name in graph.outputs)
    assert not any(value.block for value in graph.inputs)


def test_a_small_net_in_blocks() -> None:
    """The golden text: plain stem, blocks between convolutions, the border where rows are needed."""
    b = GraphBuilder(shape=(1, 3, 8, 8))
    stem = b.node("Relu", b.conv("x", 3, 20, strides=(2, 2)))
    y = b.node("Add", b.conv(stem, 20, 20), stem)
    b.node("Flatten", b.node("MaxPool", y, kernel_shape=(2, 2), strides=(2, 2)))

    text = show_graph(laid_out(b))

    assert text.splitlines() == GOLDEN.strip().splitlines()


GOLDEN = """
graph model {
  input %x float32 [1, 3, 8, 8]
  %x.pad1_1_1_1 = Pad(%x, #x.pad1_1_1_1.amounts[8]) {mode='constant'} : float32 [1, 3, 10, 10]
  %v1 = alula.FusedConv(%x.pad1_1_1_1, #c0[20x3x3x3], #c1[20]) {kernel_shape=(3, 3), strides=(2, 2), dilations=(1, 1), pads=(0, 0, 0, 0), group=1, epilogue=<r1 = max(r0, 0.0)>} : float32 [1, 20, 4, 4] /16
  %v1.pad1_1_1_1 = Pad(%v1, #v1.pad1_1_1_1.amounts[8]) {mode='constant'} : float32 [1, 20, 6, 6] /16
  %v3 = alula.FusedConv(%v1.pad1_1_1_1, #c2[20x20x3x3], #c3[20], %v1) {kernel_shape=(3, 3), strides=(1, 1), dilations=(1, 1), pads=(0, 0, 0, 0), group=1, epilogue=<r2 = add(r0, r1)>} : float32 [1, 20, 4, 4] /16
  %v4 = MaxPool(%v3) {kernel_shape=(2, 2), strides=(2, 2)} : float32 [1, 20, 2, 2] /16
  %v4.plain = alula.Unpack(%v4) {block=16} : float32 [1, 20, 2, 2]
  %v5 = Flatten(%v4.plain) : float32 [1, 80]
  output %v5
}
"""  # noqa: E501  the text as it is shown


def test_padding_of_one_value_is_shared() -> None:
    """Two convolutions that want the same border around one value pad it once."""
    b = GraphBuilder(shape=(1, 3, 8, 8))
    x = b.conv("x", 3, 16, 1)
    b.node("Add", b.conv(x, 16, 16), b.node("Relu", b.conv(x, 16, 16)))

    assert kinds(laid_out(b)).count("Pad") == 1


@pytest.mark.parametrize("channels", [(16, 8), (8, 16)])
def test_concat_stays_in_blocks(channels: tuple[int, int]) -> None:
    """Also where parts begin inside a block and are shifted lane by lane."""
    b = GraphBuilder(shape=(1, 3, 4, 4))
    joined = b.node("Concat", *(b.conv("x", 3, count) for count in channels), axis=1)
    b.node("Relu", b.conv(joined, sum(channels), 4))

    graph = laid_out(b)

    node = next(node for node in graph.nodes if node.op == "Concat")
    assert graph.value(node.output).block == 16
    assert_same_results(graph, prepared(b.build()), b.feeds())


def test_a_constant_of_one_number_a_channel_joins_the_blocks() -> None:
    """A scale behind a residual sum must not cost a trip through rows, also where C is no multiple of the block."""
    b = GraphBuilder(shape=(1, 3, 4, 4))
    x = b.conv("x", 3, 20)
    y = b.node("Mul", b.node("Add", b.node("MaxPool", x, kernel_shape=(1, 1)), x), b.positive(20, 1, 1))
    b.conv(y, 20, 4)

    graph = laid_out(b)

    assert kinds(graph).count("Unpack") == 1
    assert_same_results(graph, prepared(b.build()), b.feeds())


def test_an_output_in_the_middle_is_unpacked_and_still_read_in_blocks() -> None:
    """What the caller gets is rows under the model's own name; the next convolution reads the blocks."""
    b = GraphBuilder(shape=(1, 3, 4, 4))
    middle = b.conv("x", 3, 16)
    last = b.conv(middle, 16, 16)

    graph = laid_out(b, middle, last)

    assert graph.outputs == (middle, last)
    assert kinds(graph).count("Unpack") == 2
    assert kinds(graph).count("Pack") == 0


def test_names_of_the_model_may_look_like_ours() -> None:
    """A value that is already called `v0.blocked` or `v0.plain` keeps its meaning."""
    b = GraphBuilder(shape=(1, 3, 4, 4))
    x = b.conv("x", 3, 16)
    b.nodes.append(b.nodes[-1].__class__("Sigmoid", ("x",), (f"{x}.plain",)))
    y = b.node("Transpose", x, perm=(0, 1, 3, 2))
    b.nodes.append(b.nodes[-1].__class__("Tanh", ("x",), (f"{x}.blocked",)))
    source = b.build(x, y, f"{x}.plain", f"{x}.blocked")

    graph = choose_layout(optimise(source)[0], 16)

    assert_same_results(graph, prepared(source), b.feeds())


def test_pictures_with_nothing_inside_stay_plain() -> None:
    """There is no kernel for them, and references read rows."""
    b = GraphBuilder(shape=(1, 3, 4, 4))
    none = b.constant(np.array([0]))
    empty = b.node("Slice", "x", none, none, b.constant(np.array([2])))
    b.node("Concat", b.node("Sigmoid", empty), empty, axis=1)

    graph = laid_out(b)

    assert not any(value.block for value in graph.values.values())
