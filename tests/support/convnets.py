"""Random small vision networks: every kind of step that plans are made of, with odd channel counts and sizes.

In: a hypothesis draw. Out: graphs in the newest operator forms, whose values have many shapes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

from alula.engine.graph.graph import Graph
from support.pass_graphs import Array, GraphBuilder


@dataclass
class Picture:
    """A value [N, C, H, W] of the network."""

    name: str
    channels: int
    height: int
    width: int


@dataclass
class ConvNet:
    """A network under construction; `pictures` are the values that parts may read."""

    batch: int
    seed: int
    builder: GraphBuilder = field(init=False)
    pictures: list[Picture] = field(init=False)
    vectors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.builder = GraphBuilder(shape=(self.batch, 3, 13, 11), seed=self.seed)
        self.pictures = [Picture("x", 3, 13, 11)]

    def grow(self, part: str, choice: int) -> None:
        """Append one part; where it does not fit the newest picture, an activation stands instead."""
        x = self.pictures[-1 - choice % min(3, len(self.pictures))]
        made = PARTS[part](self, x, choice)
        self.pictures.append(made or Picture(self.builder.node("Relu", x.name), x.channels, x.height, x.width))

    def graph(self, *shown: int) -> Graph:
        """The graph; its outputs are the last picture, a classifier of it, and the pictures of `shown`."""
        b, last = self.builder, self.pictures[-1]
        pooled = b.node("Flatten", b.node("GlobalAveragePool", last.name))
        scores = b.node("Gemm", pooled, b.normal(10, last.channels), b.normal(10), transB=1)
        outputs = [b.node("Softmax", scores, axis=-1), last.name, *(self.pictures[i].name for i in shown)]
        return b.build(*dict.fromkeys(outputs))

    def feeds(self) -> dict[str, Array]:
        """Random input."""
        return self.builder.feeds()


@st.composite
def conv_nets(draw: st.DrawFn) -> tuple[ConvNet, Graph]:
    """A network of up to nine parts, and its graph with one or two pictures from the middle among its outputs."""
    net = ConvNet(draw(st.integers(1, 2)), draw(st.integers(0, 1000)))
    for _ in range(draw(st.integers(1, 9))):
        net.grow(draw(st.sampled_from(sorted(PARTS))), draw(st.integers(0, 11)))
    shown = draw(st.lists(st.integers(0, len(net.pictures) - 1), max_size=2))
    return net, net.graph(*shown)


def _conv(net: ConvNet, x: Picture, choice: int) -> Picture | None:
    outputs = (5, 16, 24, 33)[choice % 4]
    stride = 1 + choice % 2
    taps = (1, 3, 3)[choice % 3]
    if min(x.height, x.width) < 2:
        taps = 1
    y = net.builder.conv(x.name, x.channels, outputs, taps, strides=(stride, stride))
    return Picture(y, outputs, -(-x.height // stride), -(-x.width // stride))


def _depthwise(net: ConvNet, x: Picture, choice: int) -> Picture | None:
    stride, taps = 1 + choice % 2, (3, 5)[choice // 2 % 2]
    y = net.builder.conv(x.name, x.channels, x.channels, taps, group=x.channels, strides=(stride, stride))
    return Picture(y, x.channels, -(-x.height // stride), -(-x.width // stride))


def _grouped(net: ConvNet, x: Picture, choice: int) -> Picture | None:
    group = next((g for g in (3, 2, 5) if x.channels % g == 0 and x.channels > g), 1)
    y = net.builder.conv(x.name, x.channels, 4 * group, 3, group=group, dilations=(1 + choice % 2,) * 2, pads=(2,) * 4)
    grown = 2 - 2 * (choice % 2)
    return Picture(y, 4 * group, x.height + grown, x.width + grown)


def _pool(net: ConvNet, x: Picture, choice: int) -> Picture | None:
    if min(x.height, x.width) < 3:
        return None
    op = ("MaxPool", "AveragePool")[choice % 2]
    y = net.builder.node(op, x.name, kernel_shape=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1))
    return Picture(y, x.channels, (x.height + 1) // 2, (x.width + 1) // 2)


def _concat(net: ConvNet, x: Picture, choice: int) -> Picture | None:
    fit = [p for p in net.pictures if (p.height, p.width) == (x.height, x.width) and p.name != "x"][-3:]
    if not fit:
        return None
    y = net.builder.node("Concat", *(p.name for p in fit), axis=(1, -3)[choice % 2])
    return Picture(y, sum(p.channels for p in fit), x.height, x.width)


def _binary(net: ConvNet, x: Picture, choice: int) -> Picture | None:
    shape = (x.channels, x.height, x.width)
    other = [p for p in net.pictures if (p.channels, p.height, p.width) == shape][0]  # noqa: RUF015  x is there
    return Picture(net.builder.node(("Add", "Mul", "Sub")[choice % 3], x.name, other.name), *shape)


def _unary(net: ConvNet, x: Picture, choice: int) -> Picture | None:
    b = net.builder
    op = ("Relu", "Sigmoid", "HardSwish", "Clip", "Tanh", "LeakyRelu")[choice % 6]
    y = b.node(op, x.name, b.constant(0.0), b.constant(6.0)) if op == "Clip" else b.node(op, x.name)
    return Picture(y, x.channels, x.height, x.width)


def _swish(net: ConvNet, x: Picture, choice: int) -> Picture | None:
    del choice
    b = net.builder
    return Picture(b.node("Mul", x.name, b.node("Sigmoid", x.name)), x.channels, x.height, x.width)


def _by_channel(net: ConvNet, x: Picture, choice: int) -> Picture | None:
    b = net.builder
    constant = b.normal(*((1, x.channels, 1, 1), (x.channels, 1, 1), (1, 1, 1), (x.height, x.width))[choice % 4])
    return Picture(b.node(("Add", "Mul")[choice % 2], x.name, constant), x.channels, x.height, x.width)


def _gated(net: ConvNet, x: Picture, choice: int) -> Picture | None:
    """Squeeze and excite, through a bottleneck."""
    b = net.builder
    inner = b.node("Relu", b.conv(b.node("GlobalAveragePool", x.name), x.channels, 6, 1))
    gate = b.node(("Sigmoid", "HardSigmoid")[choice % 2], b.conv(inner, 6, x.channels, 1))
    return Picture(b.node("Mul", x.name, gate), x.channels, x.height, x.width)


def _resize(net: ConvNet, x: Picture, choice: int) -> Picture | None:
    del choice
    if x.height > 14:
        return None
    scales = net.builder.constant(np.array([1, 1, 2, 2], np.float32))
    y = net.builder.node("Resize", x.name, "", scales, mode="nearest")
    return Picture(y, x.channels, 2 * x.height, 2 * x.width)


def _slice(net: ConvNet, x: Picture, choice: int) -> Picture | None:
    if x.channels < 3 or x.height < 3:
        return None
    b = net.builder
    starts, ends = b.constant(np.array([1, 1])), b.constant(np.array([x.channels, x.height]))
    y = b.node("Slice", x.name, starts, ends, b.constant(np.array([1, 2])), b.constant(np.array([1, 1 + choice % 2])))
    return Picture(y, x.channels - 1, -(-(x.height - 1) // (1 + choice % 2)), x.width)


def _shuffled(net: ConvNet, x: Picture, choice: int) -> Picture | None:
    """Channel shuffle: reshape, transpose, reshape."""
    del choice
    group = next((g for g in (2, 3, 5) if x.channels % g == 0), 1)
    b = net.builder
    apart = b.constant(np.array([net.batch, group, x.channels // group, x.height, x.width]))
    turned = b.node("Transpose", b.node("Reshape", x.name, apart), perm=(0, 2, 1, 3, 4))
    y = b.node("Reshape", turned, b.constant(np.array([net.batch, x.channels, x.height, x.width])))
    return Picture(y, x.channels, x.height, x.width)


def _turned(net: ConvNet, x: Picture, choice: int) -> Picture | None:
    del choice
    return Picture(net.builder.node("Transpose", x.name, perm=(0, 1, 3, 2)), x.channels, x.width, x.height)


PARTS: dict[str, Callable[[ConvNet, Picture, int], Picture | None]] = {
    "binary": _binary, "by_channel": _by_channel, "concat": _concat, "conv": _conv, "conv_again": _conv,
    "depthwise": _depthwise, "gated": _gated, "grouped": _grouped, "pool": _pool, "resize": _resize,
    "shuffled": _shuffled, "slice": _slice, "swish": _swish, "turned": _turned, "unary": _unary,
}  # fmt: skip
