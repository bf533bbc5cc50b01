"""Which kernel a node gets, and that a node gets none where none fits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from support.pass_graphs import GraphBuilder
from support.planned import planned, results_of

from alula.base.tensors import DType
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import INTERNAL, Array, Node, Value
from alula.engine.kernels.target import TARGETS
from alula.engine.operators.evaluate import evaluate_graph
from alula.engine.operators.native.table import SELECTIONS
from alula.engine.operators.table import operator_of
from alula.engine.passes.choose_layout import choose_layout
from alula.engine.passes.order import optimise
from alula.engine.plan.drafts import draft_steps

WIDEST = TARGETS[0]


def families(builder: GraphBuilder) -> list[str]:
    """The kernels of a model in order; `host OP` where there is none."""
    graph, _ = optimise(builder.build())
    steps = draft_steps(choose_layout(graph, WIDEST.block), WIDEST).steps
    return [step.kernel.family if step.kernel else f"host {step.node.op}" for step in steps]


def one_step(node: Node, values: Mapping[str, Value], constants: Mapping[str, Array]) -> str:
    """The kernel of one node on plain values."""
    known = {**values, **{name: Value(name, DType(a.dtype.name), a.shape) for name, a in constants.items()}}
    inputs = tuple(value for value in values.values() if value.name not in node.outputs)
    graph = Graph("one", (node,), inputs, (node.output,), constants, known)
    step = draft_steps(graph, WIDEST).steps[0]
    return step.kernel.family if step.kernel else f"host {step.node.op}"


def test_every_selection_belongs_to_an_operator() -> None:
    """A misspelt name in the table would leave an operator to its slow reference without a word."""
    for domain, op in SELECTIONS:
        operator = operator_of(Node(op, (), (), domain=domain))

        assert operator is not None, op
        assert operator.select is SELECTIONS[domain, op]


@pytest.mark.parametrize(("kernel", "attributes", "family"), [
    (1, {}, "pointwise"),
    (1, {"strides": (2, 2)}, "convolution"),
    (3, {}, "convolution"),
    (3, {"group": 2}, "convolution"),
    (3, {"group": 32}, "depthwise"),
])  # fmt: skip
def test_each_kind_of_convolution_gets_its_kernel(
    kernel: int, attributes: Mapping[str, int | tuple[int, ...]], family: str
) -> None:
    """The fastest algorithm that fits the shape."""
    b = GraphBuilder(shape=(1, 32, 8, 8))
    b.conv("x", 32, 32, kernel, **attributes)

    assert [name for name in families(b) if name not in {"pack", "unpack", "copy"}] == [family]


def test_the_stem_reads_rows() -> None:
    """Three channels in blocks of sixteen would be mostly padding."""
    b = GraphBuilder(shape=(1, 3, 8, 8))
    b.conv("x", 3, 16, pads=(0, 0, 0, 0))

    assert families(b) == ["convolution", "unpack"]


def test_activations_and_residual_sums_cost_no_steps() -> None:
    """They run on the register tile."""
    b = GraphBuilder(shape=(1, 16, 8, 8))
    first = b.node("HardSwish", b.conv("x", 16, 16, 1))
    b.node("Relu", b.node("Add", b.conv(first, 16, 16, 1), first))

    assert families(b) == ["pack", "pointwise", "pointwise", "unpack"]


def test_a_classifier_needs_no_copy_of_its_pooled_input() -> None:
    """One pixel in blocks is a row already."""
    b = GraphBuilder(shape=(1, 20, 8, 8))
    pooled = b.node("GlobalAveragePool", b.node("Relu", b.conv("x", 20, 20, 1)))
    b.node("Gemm", b.node("Flatten", pooled), b.normal(20, 5), b.normal(5))

    assert families(b) == ["pack", "pointwise", "global average pool", "matmul"]


def _matmul(a: tuple[int, ...], b: tuple[int, ...], bias: Array | None = None, **flags: int) -> str:
    left = (*a[:-2], a[-1], a[-2]) if flags.get("transA") else a
    shape = (*np.broadcast_shapes(left[:-2], b[:-2]), left[-2], b[-1])
    values = {"a": Value("a", DType.FLOAT32, a), "y": Value("y", DType.FLOAT32, shape)}
    constants = {"b": np.ones(b, np.float32)} | ({} if bias is None else {"bias": bias})
    attributes = MappingProxyType({"transA": 0, "transB": 0, **flags})
    node = Node("FusedMatMul", ("a", "b", *(["bias"] if bias is not None else [])), ("y",), attributes, "", INTERNAL)
    return one_step(node, values, constants)


@pytest.mark.parametrize(("a", "b"), [
    ((4, 5), (5, 6)), ((2, 3, 4, 5), (5, 6)), ((1, 4, 5), (1, 5, 6)), ((2, 4, 5), (2, 5, 6)),
], ids=str)  # fmt: skip
def test_products_with_constant_weights_have_a_kernel(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    """A stack of rows times one matrix is one product; a stack of weights is read as it is."""
    assert _matmul(a, b) == "matmul"


def test_products_of_nothing_run_on_the_host() -> None:
    """An empty sum is no loop."""
    assert _matmul((4, 0), (0, 6)) == "host FusedMatMul"


def test_a_bias_of_one_number_a_row_is_no_row() -> None:
    """[M, 1] has as many numbers as [N] where M = N, and means something else."""
    assert _matmul((6, 5), (5, 6), np.ones((6, 1), np.float32)) == "host FusedMatMul"
    assert _matmul((6, 5), (5, 6), np.ones((1, 6), np.float32)) == "matmul"
    assert _matmul((6, 5), (5, 6), np.ones(1, np.float32)) == "matmul"


@pytest.mark.parametrize(("node", "result"), [
    (Node("GridSample", ("x", "grid"), ("y",), MappingProxyType({"mode": "cubic"})), (1, 6, 4, 4)),
    (Node("Det", ("x",), ("y",)), (1, 6)),
], ids=["cubic sampling", "determinants"])  # fmt: skip
def test_forms_without_a_kernel_run_on_the_host(node: Node, result: tuple[int, ...]) -> None:
    """Whatever alula knows runs, if slowly."""
    shapes = {"x": (1, 6, 4, 4), "grid": (1, 4, 4, 2), "y": result}
    values = {name: Value(name, DType.FLOAT32, shapes[name]) for name in (*node.inputs, "y")}

    assert one_step(node, values, {}) == f"host {node.op}"


@pytest.mark.parametrize("dtype", [DType.BOOL, DType.UINT8, DType.FLOAT16, DType.INT32, DType.FLOAT64])
def test_moving_elements_works_for_any_of_them(dtype: DType) -> None:
    """A copy reads bytes, not numbers."""
    values = {
        "x": Value("x", dtype, (2, 3, 4)),
        "y": Value("y", dtype, (4, 2, 3)),
    }

    assert one_step(Node("Transpose", ("x",), ("y",), MappingProxyType({"perm": (2, 0, 1)})), values, {}) == "copy"


def test_weights_that_are_computed_are_a_matrix_like_others() -> None:
    """Kernels of convolutions read packed weights, and there is nothing to pack: windows times weights is a product."""
    b = GraphBuilder(shape=(1, 4, 4, 4))
    weights = b.node("Sigmoid", b.node("Slice", "x", *(b.constant(np.array([n])) for n in (0, 2))))
    b.node("Conv", "x", weights)

    found = families(b)

    assert "matmul" in found
    assert not any(name.startswith("host") for name in found)


@pytest.mark.parametrize("attributes", [
    {"size": 5, "alpha": 1e-2, "beta": 0.75, "bias": 1.0},
    {"size": 4, "alpha": 0.5, "beta": 0.6, "bias": 2.0},
    {"size": 1, "alpha": 1.0, "beta": 0.75, "bias": 0.5},
])  # fmt: skip
def test_response_normalisation_agrees_with_its_reference(attributes: Mapping[str, float], tmp_path: Path) -> None:
    """The window's longer half stands behind, and any power is taken."""
    b = GraphBuilder(shape=(2, 7, 5, 6))
    b.node("LRN", b.node("Relu", b.conv("x", 7, 7, 1)), **attributes)
    graph = b.build()
    feeds = {"x": np.random.default_rng(8).standard_normal((2, 7, 5, 6)).astype(np.float32)}

    found = results_of(planned(graph), tmp_path, feeds)

    assert families(b) == ["pack", "pointwise", "unpack", "channel energy"]
    for name, wanted in evaluate_graph(graph, feeds).items():
        np.testing.assert_allclose(found[name], wanted, rtol=1e-5, atol=1e-6)
