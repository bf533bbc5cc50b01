"""Windows over one and three axes, and what else is written with other operators: by kernels, and right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from support.pass_graphs import GraphBuilder, prepared
from support.planned import planned, results_of
from support.plans import RUNNABLE

from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Node
from alula.engine.kernels.target import Target
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.passes.driver import PassOptions
from alula.engine.passes.order import optimise
from alula.engine.plan.records import HostStep, NativeStep

LINE, PICTURE, VOLUME = (2, 6, 19), (2, 6, 7, 9), (2, 6, 5, 7, 6)


def after(b: GraphBuilder, y: str) -> str:
    """What follows a window in most networks: an activation and a residual connection."""
    return b.node("Add", b.node("Relu", y), b.node("Sigmoid", y))


def _conv(shape: tuple[int, ...], weights: tuple[int, ...], **attributes: object) -> Callable[[], Graph]:
    def build() -> Graph:
        b = GraphBuilder(shape=shape)
        y = b.node("Conv", "x", b.normal(*weights), b.normal(weights[0]), **attributes)  # type: ignore[arg-type]
        return b.build(after(b, y))

    return build


def _transposed(shape: tuple[int, ...], weights: tuple[int, ...], **attributes: object) -> Callable[[], Graph]:
    def build() -> Graph:
        b = GraphBuilder(shape=shape)
        outputs = weights[1] * int(str(attributes.get("group", 1)))
        y = b.node("ConvTranspose", "x", b.normal(*weights), b.normal(outputs), **attributes)  # type: ignore[arg-type]
        return b.build(after(b, y))

    return build


def _single(op: str, shape: tuple[int, ...], *inputs: object, **attributes: object) -> Callable[[], Graph]:
    def build() -> Graph:
        b = GraphBuilder(shape=shape)
        names = ["" if array is None else b.constant(np.asarray(array)) for array in inputs]
        return b.build(b.node(op, "x", *names, **attributes))  # type: ignore[arg-type]

    return build


FORMS = {
    "line": _conv(LINE, (10, 6, 3), pads=(1, 1)),
    "depthwise line": _conv(LINE, (6, 1, 5), group=6, strides=(2,), dilations=(2,)),
    "pointwise line": _conv(LINE, (33, 6, 1)),
    "volume": _conv(VOLUME, (10, 6, 3, 3, 3), pads=(1, 1, 1, 1, 1, 1)),
    "strided volume": _conv(VOLUME, (4, 6, 2, 3, 2), strides=(2, 1, 2), pads=(1, 0, 2, 0, 1, 0)),
    "dilated volume in groups": _conv(VOLUME, (4, 3, 3, 2, 1), group=2, dilations=(2, 1, 1)),
    "pointwise volume": _conv(VOLUME, (17, 6, 1, 1, 1)),
    "transposed line": _transposed(LINE, (6, 5, 4), strides=(2,), pads=(1, 1)),
    "transposed volume": _transposed(VOLUME, (6, 5, 2, 2, 2), strides=(2, 2, 2)),
    "transposed volume in groups": _transposed(
        VOLUME, (6, 2, 3, 3, 3), strides=(2, 1, 2), group=2, pads=(1, 1, 1, 1, 1, 1), output_padding=(1, 0, 0)
    ),
    "transposed, large strides": _transposed(PICTURE, (6, 3, 16, 16), strides=(8, 8), pads=(4, 4, 4, 4)),
    "transposed, strides beyond the kernel": _transposed(PICTURE, (6, 2, 2, 2), strides=(3, 1), group=2),
    "largest of a line": _single("MaxPool", LINE, kernel_shape=(3,), strides=(2,), pads=(1, 1)),
    "mean of a line": _single("AveragePool", LINE, kernel_shape=(4,), ceil_mode=1, strides=(3,)),
    "mean of all of a line": _single("GlobalAveragePool", LINE),
    "largest of a volume": _single("MaxPool", VOLUME, kernel_shape=(2, 3, 2), strides=(2, 1, 2), dilations=(1, 2, 1)),
    "mean of a volume": _single("AveragePool", VOLUME, kernel_shape=(3, 2, 3), pads=(1, 0, 1, 1, 1, 1)),
    "mean with padding": _single("AveragePool", VOLUME, kernel_shape=(2, 2, 2), pads=(1,) * 6, count_include_pad=1),
    "mean rounded up": _single("AveragePool", VOLUME, kernel_shape=(2, 2, 2), strides=(2, 2, 2), ceil_mode=1),
    "largest of all of a volume": _single("GlobalMaxPool", VOLUME),
    "larger volume": _single("Resize", VOLUME, None, None, np.asarray([2, 6, 7, 9, 13]), mode="linear"),
    "smaller volume": _single("Resize", VOLUME, None, np.asarray([1, 1, 0.5, 2, 0.7], np.float32), mode="nearest"),
    "grid": _single("AffineGrid", (3, 2, 3), np.asarray([3, 1, 4, 5])),
    "grid of a volume": _single("AffineGrid", (2, 3, 4), np.asarray([2, 1, 3, 4, 5]), align_corners=1),
}  # fmt: skip


@pytest.mark.parametrize("target", RUNNABLE, ids=lambda t: t.name)
@pytest.mark.parametrize("form", FORMS)
def test_forms_run_without_the_host_and_agree_with_the_reference(form: str, target: Target, tmp_path: Path) -> None:
    """Rule: an operator is written with others only where that keeps its result, and so that kernels can run it."""
    graph = FORMS[form]()
    shape = tuple(int(str(dim)) for dim in graph.inputs[0].shape or ())
    feeds = {"x": np.random.default_rng(4).standard_normal(shape).astype(np.float32)}

    plan = planned(graph, target)
    found = results_of(plan, tmp_path, feeds, threads=2)

    assert [step.label for step in plan.steps if isinstance(step, HostStep)] == []
    for name, array in evaluate_graph(graph, feeds).items():
        np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-4)


def test_neighbouring_lines_share_their_views() -> None:
    """Rule: between two convolutions over one axis nothing is unpacked and packed again."""
    b = GraphBuilder(shape=LINE)
    y = b.node("Relu", b.node("Conv", "x", b.normal(8, 6, 3)))
    graph, _ = optimise(b.build(b.node("Conv", y, b.normal(4, 8, 3))), PassOptions(check=True))

    kinds = [node.op for node in graph.nodes]

    assert kinds == ["Reshape", "FusedConv", "FusedConv", "Reshape"]


@pytest.mark.parametrize("target", RUNNABLE, ids=lambda t: t.name)
def test_channels_are_joined_and_cut_in_blocks(target: Target, tmp_path: Path) -> None:
    """Rule: channels that do not fill whole blocks are no reason to leave them."""
    b = GraphBuilder(shape=PICTURE)
    one, other = b.node("Relu", b.conv("x", 6, 9)), b.node("Relu", b.conv("x", 6, 24))
    joined = b.node("Concat", one, other, axis=1)
    graph = b.build(b.node("MaxPool", joined, kernel_shape=(2, 2)))
    cut = Node("Split", (joined, b.constant(np.asarray([5, 28]))), ("left", "right"), MappingProxyType({"axis": 1}))
    graph = replace(graph, nodes=(*graph.nodes, cut), constants=dict(b.constants), outputs=(*graph.outputs, "left"))
    graph = prepared(graph)
    feeds = {"x": np.random.default_rng(4).standard_normal(PICTURE).astype(np.float32)}

    plan = planned(graph, target)
    found = results_of(plan, tmp_path, feeds)

    families = [step.kernel.family for step in plan.steps if isinstance(step, NativeStep)]
    assert len(families) == len(plan.steps)
    assert families.count("regroup") == 2
    for name, array in evaluate_graph(graph, feeds).items():
        np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("target", RUNNABLE, ids=lambda t: t.name)
@pytest.mark.parametrize("channels", [6, 58])
def test_shuffled_channels_stay_in_blocks(channels: int, target: Target, tmp_path: Path) -> None:
    """Rule: what ShuffleNet does between two convolutions costs no trip through rows."""
    b = GraphBuilder(shape=(2, 6, 5, 7))
    y = b.node("Relu", b.conv("x", 6, channels))
    parts = b.node("Reshape", y, b.constant(np.asarray([2, 2, channels // 2, 5, 7])))
    turned = b.node("Transpose", parts, perm=(0, 2, 1, 3, 4))
    z = b.node("Reshape", turned, b.constant(np.asarray([2, channels, 5, 7])))
    graph = b.build(b.node("MaxPool", z, kernel_shape=(2, 2)))
    feeds = {"x": np.random.default_rng(4).standard_normal((2, 6, 5, 7)).astype(np.float32)}

    plan = planned(graph, target)
    found = results_of(plan, tmp_path, feeds)

    families = [step.kernel.family for step in plan.steps if isinstance(step, NativeStep)]
    assert families[-3:] == ["regroup", "max pool", "unpack"]
    for name, array in evaluate_graph(graph, feeds).items():
        np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-4)


def test_shuffled_channels_in_rows_are_one_copy() -> None:
    """Rule: a shuffle of the model's own input is a transposition of planes."""
    b = GraphBuilder(shape=(2, 6, 5, 7))
    parts = b.node("Reshape", "x", b.constant(np.asarray([2, 3, 2, 5, 7])))
    turned = b.node("Transpose", parts, perm=(0, 2, 1, 3, 4))
    graph = b.build(b.node("Reshape", turned, b.constant(np.asarray([2, 6, 5, 7]))))

    plan = planned(graph)

    assert [step.kernel.family for step in plan.steps if isinstance(step, NativeStep)] == ["copy"]
