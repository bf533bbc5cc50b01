"""Small graphs for tests of passes: built by hand, or at random from the parts that networks are made of.

In: operators, or a hypothesis draw. Out: graphs in the newest operator forms, feeds, comparisons with the reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from hypothesis import strategies as st

from alula.base.tensors import DType
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Attribute, Node, Value
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.operators.table import NEWEST_OPSET
from alula.engine.passes.bind_shapes import bind_shapes
from alula.engine.passes.drop_dead_nodes import drop_dead_nodes
from alula.engine.passes.fold_constants import fold_constants
from alula.engine.passes.upgrade_operators import upgrade_operators

Array = np.ndarray[Any, Any]
FLOAT = np.float32


@dataclass
class GraphBuilder:
    """Collects nodes; every call of `node` returns the name of a new value."""

    shape: tuple[int, ...] = (1, 4, 6, 6)
    opset: int = NEWEST_OPSET
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)

    def node(self, op: str, *inputs: str, **attributes: Attribute) -> str:
        """Append a node with one output."""
        name = f"v{len(self.nodes)}"
        self.nodes.append(Node(op, inputs, (name,), MappingProxyType(attributes), f"{op.lower()}{len(self.nodes)}"))
        return name

    def constant(self, array: Any) -> str:
        """Add a constant; Python numbers become float32."""
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(array, None if isinstance(array, np.ndarray) else FLOAT)
        return name

    def normal(self, *shape: int) -> str:
        """A constant of random numbers around 0."""
        return self.constant(self.random.normal(0, 0.5, shape).astype(FLOAT))

    def positive(self, *shape: int) -> str:
        """A constant of random numbers in [0.5, 1.5)."""
        return self.constant(self.random.uniform(0.5, 1.5, shape).astype(FLOAT))

    def conv(self, x: str, channels: int, outputs: int, kernel: int = 3, **attributes: Attribute) -> str:
        """A convolution with bias that keeps the size unless attributes say otherwise."""
        group = attributes.get("group", 1)
        assert isinstance(group, int)
        weights = self.normal(outputs, channels // group, kernel, kernel)
        attributes.setdefault("pads", (kernel // 2,) * 4)
        return self.node("Conv", x, weights, self.normal(outputs), **attributes)

    def batch_norm(self, x: str, channels: int) -> str:
        """A normalisation with random statistics."""
        parameters = (self.positive(channels), self.normal(channels), self.normal(channels), self.positive(channels))
        return self.node("BatchNormalization", x, *parameters)

    def build(self, *outputs: str) -> Graph:
        """The graph with these outputs, by default the last value."""
        x = Value("x", DType.FLOAT32, self.shape)
        names = outputs or (self.nodes[-1].output,)
        return Graph("model", tuple(self.nodes), (x,), names, self.constants, {"x": x}, {"": self.opset})

    def feeds(self) -> dict[str, Array]:
        """Random input."""
        return {"x": self.random.normal(0, 1, self.shape).astype(FLOAT)}


def prepared(graph: Graph) -> Graph:
    """The graph as optional passes get it: newest forms, constants folded, shapes known."""
    return drop_dead_nodes(fold_constants(bind_shapes(upgrade_operators(graph), {})))


def kinds(graph: Graph) -> list[str]:
    """The operators in order."""
    return [node.op for node in graph.nodes]


def assert_same_results(found: Graph, wanted: Graph, feeds: Mapping[str, Array], after: str = "") -> None:
    """Both graphs must give equal outputs, by the reference, under the same names."""
    assert found.outputs == wanted.outputs, after
    results, truth = evaluate_graph(found, feeds), evaluate_graph(wanted, feeds)
    for name in wanted.outputs:
        np.testing.assert_allclose(results[name], truth[name], rtol=1e-4, atol=1e-5, err_msg=f"{name} {after}")


_UNARY = ("Relu", "Sigmoid", "HardSwish", "LeakyRelu", "Clip", "Tanh", "Elu", "Softplus", "Abs", "Neg", "Identity")
_BINARY = ("Add", "Mul", "Sub", "Max")
_CHANNELS = 4


@st.composite
def networks(draw: st.DrawFn) -> GraphBuilder:
    """A random network over [1, 4, 6, 6] with branches, residuals and constants, all values of one shape."""
    builder = GraphBuilder(seed=draw(st.integers(0, 1000)))
    values = ["x"]
    for _ in range(draw(st.integers(2, 10))):
        part = draw(st.sampled_from(sorted(_PARTS)))
        # Mostly one after the other, as in networks: passes look for neighbours.
        x = draw(st.sampled_from([values[-1]] * 4 + values))
        values.append(_PARTS[part](builder, x, draw(st.sampled_from(values)), draw(st.integers(0, 10))))
    return builder


@st.composite
def chains(draw: st.DrawFn) -> GraphBuilder:
    """A random network of elementwise operators only, over [2, 3, 4]."""
    builder = GraphBuilder(shape=(2, 3, 4), seed=draw(st.integers(0, 1000)))
    values = ["x"]
    for _ in range(draw(st.integers(1, 12))):
        part = draw(st.sampled_from((_unary, _binary, _scalar)))
        x = values[-1 - draw(st.integers(0, min(2, len(values) - 1)))]
        values.append(part(builder, x, draw(st.sampled_from(values)), draw(st.integers(0, 10))))
    return builder


def _unary(b: GraphBuilder, x: str, other: str, choice: int) -> str:
    del other
    op = _UNARY[choice % len(_UNARY)]
    return b.node(op, x, b.constant(-0.5), b.constant(0.75)) if op == "Clip" else b.node(op, x)


def _binary(b: GraphBuilder, x: str, other: str, choice: int) -> str:
    return b.node(_BINARY[choice % len(_BINARY)], x, other)


def _scalar(b: GraphBuilder, x: str, other: str, choice: int) -> str:
    del other
    pair = (x, b.constant(0.5 + choice))
    return b.node(("Add", "Mul", "Sub", "Div")[choice % 4], *(pair if choice < 5 else reversed(pair)))


def _conv(b: GraphBuilder, x: str, other: str, choice: int) -> str:
    del other
    group = (1, 2, 4)[choice % 3]
    return b.conv(x, _CHANNELS, _CHANNELS, (1, 3)[choice % 2], group=group)


def _same_conv(b: GraphBuilder, x: str, other: str, choice: int) -> str:
    del other
    word = ("SAME_UPPER", "SAME_LOWER")[choice % 2]
    return b.node("Conv", x, b.normal(_CHANNELS, _CHANNELS, 2, 2), auto_pad=word)


def _transposed(b: GraphBuilder, x: str, other: str, choice: int) -> str:
    del other
    group = (1, 2)[choice % 2]
    weights = b.normal(_CHANNELS, _CHANNELS // group, 3, 3)
    return b.node("ConvTranspose", x, weights, b.normal(_CHANNELS), pads=(1, 1, 1, 1), group=group)


def _norm(b: GraphBuilder, x: str, other: str, choice: int) -> str:
    del other, choice
    return b.batch_norm(x, _CHANNELS)


def _block(b: GraphBuilder, x: str, other: str, choice: int) -> str:
    """A convolution with what stands behind it in networks."""
    y = (_conv, _transposed, _same_conv)[choice % 3](b, x, other, choice)
    z = (_norm, _by_channel)[choice % 2](b, y, other, choice)
    return (_by_channel, _unary, _binary)[choice % 3](b, z, other, choice)


def _by_channel(b: GraphBuilder, x: str, other: str, choice: int) -> str:
    del other
    pair = (x, b.positive(_CHANNELS, 1, 1))
    return b.node(("Add", "Mul", "Sub", "Div")[choice % 4], *(pair if choice < 8 else reversed(pair)))


def _padded(b: GraphBuilder, x: str, other: str, choice: int) -> str:
    """A Pad that suits what follows, or that does not: then it must stay."""
    del other
    fill = b.constant((0.0, 1.0, -np.inf)[choice % 3])
    wide = b.node("Pad", x, b.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64)), fill)
    if choice % 3 == 2:
        return b.node("MaxPool", wide, kernel_shape=(3, 3))
    if choice % 2:
        return b.node("AveragePool", wide, kernel_shape=(3, 3))
    return b.conv(wide, _CHANNELS, _CHANNELS, 3, pads=(0, 0, 0, 0))


def _pool(b: GraphBuilder, x: str, other: str, choice: int) -> str:
    del other
    op = ("MaxPool", "AveragePool")[choice % 2]
    return b.node(op, x, kernel_shape=(3, 3), auto_pad=("SAME_UPPER", "SAME_LOWER")[choice % 2])


def _gated(b: GraphBuilder, x: str, other: str, choice: int) -> str:
    """Squeeze and excite: a factor for each channel that is computed."""
    del choice
    return b.node("Mul", x, b.node("Sigmoid", b.node("GlobalAveragePool", other)))


def _reshaped(b: GraphBuilder, x: str, other: str, choice: int) -> str:
    """There and back through the shape as data."""
    del choice
    flat = b.node("Flatten", x)
    return b.node("Reshape", flat, b.node("Shape", other))


_PARTS = {
    "binary": _binary, "block": _block, "by_channel": _by_channel, "conv": _conv, "gated": _gated, "norm": _norm,
    "padded": _padded, "pool": _pool, "reshaped": _reshaped, "same_conv": _same_conv, "scalar": _scalar,
    "transposed": _transposed, "unary": _unary,
}  # fmt: skip
