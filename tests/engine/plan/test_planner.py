from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.convnets import ConvNet
from support.pass_graphs import GraphBuilder, prepared
from support.planned import assert_close, planned, results_of
from support.plans import RUNNABLE

from alula.base.errors import LimitError, UnsupportedError
from alula.base.tensors import DType
from alula.engine.graph.dims import symbol
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Node, Value
from alula.engine.kernels.target import target_named
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.passes.fold_constants import fold_constants
from alula.engine.plan.planner import PlanOptions, make_plan
from alula.engine.plan.records import HostStep, NativeStep
from alula.engine.plan.text import show_plan


def small() -> GraphBuilder:
    """Stem, residual sum, pooling, classifier."""
    b = GraphBuilder(shape=(1, 3, 8, 8))
    stem = b.node("Relu", b.conv("x", 3, 20, strides=(2, 2)))
    y = b.node("Add", b.conv(stem, 20, 20), stem)
    b.node("Gemm", b.node("Flatten", b.node("GlobalAveragePool", y)), b.normal(5, 20), b.normal(5), transB=1)
    return b


def test_a_small_model_as_text() -> None:
    """The golden text: one step a line, and nothing runs on the host."""
    plan = planned(small().build(), target_named("x86-64-v4"))

    assert show_plan(plan).splitlines() == GOLDEN.strip("\n").splitlines()


GOLDEN = """
plan model for x86-64-v4: 6 steps native, 0 host
  weights 27.4K, arena 8.5K, scratch 0.0K a worker
  input x float32 [1, 3, 8, 8]
        runs   kernel                units     MFLOP     moved  step
     0  native copy                     36      0.00      1.9K  x.pad1_1_1_1
     1  native convolution               4      0.02      6.7K  conv0
     2  native copy                     28      0.00      6.5K  v1.pad1_1_1_1
     3  native convolution               4      0.12     31.1K  conv2
     4  native global average pool       2      0.00      2.1K  globalaveragepool4
     5  native matmul                    1      0.00      1.4K  gemm6
  output v6 float32 [1, 5]
"""


def _input(b: GraphBuilder) -> list[str]:
    b.node("Relu", "x")
    return ["x", "v0"]


def _constant(b: GraphBuilder) -> list[str]:
    b.node("Relu", "x")
    return ["v0", b.constant(np.arange(6, dtype=np.float32))]


def _view_of_an_input(b: GraphBuilder) -> list[str]:
    return [b.node("Flatten", "x")]


def _value_and_its_view(b: GraphBuilder) -> list[str]:
    y = b.node("Relu", "x")
    return [b.node("Flatten", y), y, b.node("Reshape", y, b.constant(np.array([-1])))]


def _one_pixel_in_blocks(b: GraphBuilder) -> list[str]:
    pooled = b.node("GlobalAveragePool", b.conv("x", 4, 20))
    return [b.node("Flatten", pooled), pooled]


def _read_after_it_was_made(b: GraphBuilder) -> list[str]:
    y = b.conv("x", 4, 16)
    b.node("Sigmoid", b.conv(y, 16, 16))
    return [y, "v2"]


def _host_step_in_the_middle(b: GraphBuilder) -> list[str]:
    y = b.node("ReduceMax", b.conv("x", 4, 16), b.constant(np.array([2])), keepdims=1)
    return [b.conv(y, 16, 8)]


def _only_the_second_output(b: GraphBuilder) -> list[str]:
    made = b.node("TopK", b.node("Relu", "x"), b.constant(np.array([2])), axis=1)
    b.nodes[-1] = b.nodes[-1].__class__("TopK", b.nodes[-1].inputs, ("", made), b.nodes[-1].attributes, "topk")
    return [made]


ENDS = (_input, _constant, _view_of_an_input, _value_and_its_view, _one_pixel_in_blocks, _read_after_it_was_made,
        _host_step_in_the_middle, _only_the_second_output)  # fmt: skip


@pytest.mark.parametrize("options", [PlanOptions(), PlanOptions(reuse=False), PlanOptions(native=False)], ids=str)
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_outputs_of_every_kind_are_right(
    end: Callable[[GraphBuilder], list[str]], batch: int, options: PlanOptions, tmp_path: Path
) -> None:
    """An output may be an input, a constant, a view of either, another output's bytes, or read again by others."""
    b = GraphBuilder(shape=(batch, 4, 6, 6))
    source = b.build(*end(b))
    feeds = b.feeds()

    found = results_of(planned(source, options=options), tmp_path, feeds)

    assert_close(found, evaluate_graph(prepared(source), feeds))


def test_without_kernels_every_step_runs_on_the_host() -> None:
    """`native=False` is the way to see whether a kernel is to blame."""
    plan = planned(small().build("x", "v4"), options=PlanOptions(native=False))

    assert all(isinstance(step, HostStep) for step in plan.steps)


def test_without_reuse_every_value_has_memory_of_its_own() -> None:
    """Tools look at intermediate values after a run."""
    plan = planned(ConvNet(1, 0).graph(), options=PlanOptions(reuse=False))

    roots = {name: place.operand.index for name, place in plan.places.items() if name not in plan.roots}
    assert len(set(roots.values())) == len(roots)


def test_reuse_takes_less_memory() -> None:
    """A chain of equal values needs room for two or three of them."""
    b = GraphBuilder(shape=(1, 16, 16, 16))
    x = "x"
    for _ in range(6):
        x = b.conv(x, 16, 16)
    source = b.build()

    assert planned(source).arena_bytes * 2 < planned(source, options=PlanOptions(reuse=False)).arena_bytes


def test_a_plan_beyond_the_memory_limit_is_refused_before_it_runs() -> None:
    """The arena's size is known beforehand."""
    needed = planned(small().build()).arena_bytes

    planned(small().build(), options=PlanOptions(memory_limit=needed))
    with pytest.raises(LimitError, match=str(needed)):
        planned(small().build(), options=PlanOptions(memory_limit=needed - 1))


def test_equal_constants_are_kept_once() -> None:
    """Two steps that read the same array share its bytes in the file."""
    b = GraphBuilder(shape=(1, 4, 6, 6))
    rows = b.normal(1, 2, 6, 6)
    b.node("Concat", b.node("Concat", "x", rows, axis=1), rows, axis=1)
    plan = planned(b.build())

    assert [array.shape for array in plan.weights] == [(1, 2, 6, 6)]


def test_results_whose_size_depends_on_data_are_refused_all_at_once() -> None:
    """A plan places every byte beforehand; the message names each step that hinders it."""
    x = Value("x", DType.FLOAT32, (symbol("N"), 3))
    nodes = tuple(Node("Sigmoid", (source,), (result,)) for source, result in (("x", "y"), ("y", "z")))
    graph = fold_constants(Graph("model", nodes, (x,), ("z",), {}, {"x": x}))

    with pytest.raises(UnsupportedError, match=r"y \(Sigmoid\).*z \(Sigmoid\)"):
        make_plan(graph, RUNNABLE[0])


def test_steps_say_how_much_they_compute_and_move() -> None:
    """`alula show plan` and the per-step bench divide by these numbers."""
    b = GraphBuilder(shape=(1, 16, 4, 4))
    b.conv("x", 16, 32, 1)

    steps = [step for step in planned(b.build()).steps if isinstance(step, NativeStep)]

    product = next(step for step in steps if step.kernel.family == "pointwise")
    assert product.flops == 2 * 16 * 32 * 16
    assert product.bytes == 4 * (16 * 16 + 32 * 16 + 32 + 32 * 16)
