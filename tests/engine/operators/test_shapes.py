"""Shape inference against what references return, with numbers and with symbols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from support.onnx_models import feeds_of, graph_of, one_node_model
from support.operator_problems import PROBLEMS
from support.problem import SIZED_BY_DATA, Problem, ints, reals

from alula.base.errors import GraphError, ShapeError, UnsupportedError
from alula.base.tensors import DType
from alula.engine.graph.dims import Dim, Shape, symbol
from alula.engine.graph.graph import Graph
from alula.engine.graph.nodes import Array, Node, Value
from alula.engine.operators.evaluate import evaluate
from alula.engine.operators.infer import infer_node
from alula.engine.operators.record import Known


def _posed(problem: Problem) -> tuple[Node, list[Array | None]]:
    """The problem's node in its newest form, and all of its inputs."""
    model = one_node_model(problem.op, problem.inputs, problem.attributes, opset=problem.opset, outputs=problem.outputs)
    graph: Graph = graph_of(model)
    arrays = {**graph.constants, **feeds_of(problem.inputs)}
    (node,) = graph.nodes
    return node, [arrays[name] if name else None for name in node.inputs]


def _known(array: Array | None, *, constant: bool = True) -> Known | None:
    if array is None:
        return None
    return Known(Value("x", DType(array.dtype.name), array.shape), array if constant else None)


def _with_symbols(array: Array, axes: Sequence[int]) -> Known:
    """An input whose dimensions at `axes` are symbols named after their size: equal sizes, equal symbols."""
    dims: Shape = tuple(symbol(f"n{dim}") if axis in axes else dim for axis, dim in enumerate(array.shape))
    return Known(Value("x", DType(array.dtype.name), dims))


def _bound(dim: Dim) -> int:
    """A dimension with every symbol set to the size it is named after."""
    names = {f"n{size}": size for size in range(100)}
    return int(eval(str(dim), {}, names))  # noqa: S307  the text is a polynomial of our own


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_inferred_dtype_and_shape_are_those_of_the_result(problem: Problem) -> None:
    """A plan lays out memory by what inference says, so it must be what the reference returns."""
    node, inputs = _posed(problem)
    results = evaluate(node, inputs)

    unknown = problem.op in SIZED_BY_DATA
    inferred = infer_node(node, [_known(array, constant=not unknown) for array in inputs])

    assert inferred is not None
    wanted = [(y.dtype.name, None if unknown else y.shape) for y in results]
    assert [(dtype.value, shape) for dtype, shape in inferred] == wanted


@pytest.mark.parametrize("problem", [p for p in PROBLEMS if p.inputs and p.op not in SIZED_BY_DATA], ids=str)
def test_symbols_bound_afterwards_give_the_same_shape(problem: Problem) -> None:
    """Whatever inference says of unknown sizes holds for each size; where it cannot say, it says nothing."""
    node, inputs = _posed(problem)
    first = inputs[0]
    assert first is not None
    shapes = [result.shape for result in evaluate(node, inputs)]
    rest = [_known(array) for array in inputs[1:]]

    for axes in ([], [0], list(range(first.ndim)), list(range(2, first.ndim))):
        inferred = infer_node(node, [_with_symbols(first, axes), *rest])

        if inferred is not None:
            assert [tuple(map(_bound, shape or ())) for _, shape in inferred] == shapes


_N, _H, _W = symbol("N"), symbol("H"), symbol("W")
_IMAGE: Shape = (_N, 3, _H, _W)
_F = DType.FLOAT32


def _infer(node: Node, *inputs: Shape | Array | None) -> list[str]:
    """Shapes of the outputs as text, inputs given as shapes or as constants."""
    known = [Known(Value("x", _F, shape)) if isinstance(shape, tuple) else _known(shape) for shape in inputs]
    inferred = infer_node(node, known)
    return ["?"] if inferred is None else [f"[{', '.join(map(str, shape or ()))}]" for _, shape in inferred]


def _node(op: str, count: int, **attributes: object) -> Node:
    return Node(op, tuple(f"x{index}" for index in range(count)), ("y",), attributes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("node", "inputs", "shape"),
    [
        (_node("Conv", 2, pads=(1, 1, 1, 1)), (_IMAGE, (8, 3, 3, 3)), "[N, 8, H, W]"),
        (_node("Conv", 2, strides=(2, 2), auto_pad="SAME_UPPER"), ((_N, 3, 9, 9), (8, 3, 3, 3)), "[N, 8, 5, 5]"),
        (_node("MaxPool", 1, kernel_shape=(2, 2), strides=(2, 2)), ((_N, 3, 8, _W * 2),), "[N, 3, 4, W]"),
        (_node("MaxPool", 1, kernel_shape=(3, 3), strides=(2, 2), ceil_mode=1), ((_N, 3, 7, 7),), "[N, 3, 3, 3]"),
        (_node("GlobalAveragePool", 1), (_IMAGE,), "[N, 3, 1, 1]"),
        (_node("Add", 2), (_IMAGE, (3, 1, 1)), "[N, 3, H, W]"),
        (_node("Concat", 2, axis=2), (_IMAGE, _IMAGE), "[N, 3, 2*H, W]"),
        (_node("Flatten", 1), ((_N, 512, 1, 1),), "[N, 512]"),
        (_node("Reshape", 2), ((_N, 512, 1, 1), ints(0, -1)), "[N, 512]"),
        (_node("Reshape", 2), (_IMAGE, ints(0, 3, -1)), "[N, 3, H*W]"),
        (_node("Reshape", 2), ((_N, 4, 6), ints(-1, 12)), "[2*N, 12]"),
        (_node("Transpose", 1, perm=(0, 2, 3, 1)), (_IMAGE,), "[N, H, W, 3]"),
        (_node("MatMul", 2), ((_N, 512), (512, 10)), "[N, 10]"),
        (_node("Gemm", 3, transB=1), ((_N, 512), (10, 512), (10,)), "[N, 10]"),
        (_node("ReduceMean", 2), (_IMAGE, ints(2, 3)), "[N, 3, 1, 1]"),
        (_node("Slice", 4), (_IMAGE, ints(1), ints(2**63 - 1), ints(2)), "[N, 3, (H + -1), W]"),
        (_node("Slice", 4), (_IMAGE, ints(0), ints(5), ints(2)), "?"),
        (_node("Pad", 2), (_IMAGE, ints(0, 0, 1, 1, 0, 0, 1, 2)), "[N, 3, (H + 2), (W + 3)]"),
        (replace(_node("Resize", 3), inputs=("x", "", "s")), (_IMAGE, None, np.asarray([1, 1, 2, 2], "f")),
         "[N, 3, 2*H, 2*W]"),
        (_node("Gather", 2), ((_N, 5), (7,)), "[7, 5]"),
        (_node("Expand", 2), (_IMAGE, (4,)), "?"),
        (_node("Reshape", 2), (_IMAGE, (4,)), "?"),
        (_node("Squeeze", 1), (_IMAGE,), "?"),
        (_node("Add", 2), ((_N,), (_H,)), "?"),
    ],
)  # fmt: skip
def test_symbolic_shapes_are_written_in_their_simplest_form(node: Node, inputs: tuple[Shape], shape: str) -> None:
    """Users read these shapes in `alula show graph`; an unknown one is better than a wrong one."""
    assert _infer(node, *inputs) == [shape]


@pytest.mark.parametrize(
    ("node", "inputs", "message"),
    [
        (_node("Conv", 2), ((1, 32, 56, 56), (64, 64, 3, 3)), "needs 64 input channels, input has 32"),
        (_node("Conv", 2, strides=(2,)), ((1, 3, 8, 8), (4, 3, 3, 3)), "strides needs 2 numbers, it has 1"),
        (_node("Conv", 2, dilations=(0, 1)), ((1, 3, 8, 8), (4, 3, 3, 3)), "dilations must be positive"),
        (_node("Conv", 2), ((1, 3, 2, 2), (4, 3, 3, 3)), "spans 3 elements"),
        (_node("Conv", 3), ((1, 3, 8, 8), (4, 3, 3, 3), (5,)), r"bias must be \[4\]"),
        (_node("Conv", 2, group=0), ((1, 3, 8, 8), (4, 3, 3, 3)), "0 groups"),
        (_node("ConvTranspose", 2, pads=(5, 0, 5, 0)), ((1, 2, 3, 3), (2, 3, 2, 2)), r"would be \[-6, 4\]"),
        (_node("ConvTranspose", 2), ((1, 3, 8, 8), (4, 2, 3, 3)), "needs 4 input channels"),
        (_node("MatMul", 2), ((3, 4), (5, 6)), "needs 5 columns"),
        (_node("Gemm", 3), ((3, 4), (4, 6), (2, 6)), "broadcast"),
        (_node("Add", 2), ((3, 4), (5, 4)), r"\[3, 4\] meets \[5, 4\]"),
        (_node("Concat", 2, axis=1), ((3, 4), (5, 4)), "agree in all axes but 1"),
        (_node("Reshape", 2), ((3, 4), ints(5, -1)), "multiple of 5"),
        (_node("Reshape", 2), ((3, 4), ints(-1, -1)), "one -1"),
        (_node("Squeeze", 2), ((3, 4), ints(0)), "must be 1 to be squeezed"),
        (_node("Transpose", 1, perm=(0, 0)), ((3, 4),), "perm must order 2 axes"),
        (_node("Softmax", 1, axis=2), ((3, 4),), "axis must be in"),
        (_node("Split", 2), ((4, 4), ints(1, 1)), "add up to 4"),
        (_node("TopK", 2), ((3, 4), ints(9)), "k must be one number"),
        (_node("Range", 3), (np.asarray(1), np.asarray(2), np.asarray(0)), "delta must not be 0"),
        (_node("ConstantOfShape", 1), (ints(-1),), "at least 0"),
        (_node("Pad", 2), ((3, 4), ints(0, -5, 0, 0)), "at least 0"),
        (_node("DepthToSpace", 1, blocksize=2), ((1, 6, 2, 2),), "multiple of 4"),
        (_node("BatchNormalization", 5), ((1, 3, 2, 2), (3,), (3,), (3,), (4,)), r"must be \[3\]"),
    ],
)
def test_clashing_shapes_are_refused_with_node_and_numbers(node: Node, inputs: tuple[Shape], message: str) -> None:
    """A model that cannot run is refused where its shapes clash, with what was needed and found."""
    with pytest.raises(ShapeError, match=message) as caught:
        _infer(node, *inputs)

    assert caught.value.where == f"y ({node.op})"
    assert "input x0" in caught.value.detail


def test_inputs_of_two_dtypes_are_refused() -> None:
    """No operator converts dtypes silently."""
    known = [_known(reals(3)), _known(ints(1, 2, 3))]

    with pytest.raises(ShapeError, match="one dtype, they are float32 and int64"):
        infer_node(_node("Add", 2), known)


@pytest.mark.parametrize(
    ("node", "needed"),
    [
        (_node("Resize", 3, mode="lanczos"), "mode must be nearest or linear or cubic, it is lanczos"),
        (_node("Resize", 3, coordinate_transformation_mode="tf_half_pixel"), "it is tf_half_pixel"),
        (_node("Resize", 3, antialias=1), "antialias must be 0"),
        (_node("Pad", 2, mode="mirror"), "mode must be one of"),
        (_node("Cast", 1, to=14), "ONNX type 14"),
        (_node("Sinc", 1), "ai.onnx.Sinc"),
        (_node("Relu", 1, slope=2), "it has slope"),
    ],
)
def test_forms_that_alula_lacks_are_refused_before_anything_runs(node: Node, needed: str) -> None:
    """What cannot run is refused when shapes are inferred, not in the middle of a prediction."""
    known = [_known(reals(1, 1, 4, 4)), _known(ints(0, 0, 0, 0, 0, 0, 0, 0)), _known(ints(1, 1, 2, 2))]

    with pytest.raises(UnsupportedError, match=needed):
        infer_node(node, known[: len(node.inputs)])


def test_a_missing_input_or_attribute_is_named() -> None:
    """A file that breaks the standard is told what is missing."""
    with pytest.raises(GraphError, match="needs input w"):
        infer_node(_node("Conv", 1), [_known(reals(1, 2, 3, 3))])
    with pytest.raises(GraphError, match="needs attribute axis"):
        infer_node(_node("Concat", 1), [_known(reals(1, 2))])


def test_unknown_input_shape_gives_no_answer() -> None:
    """Inference waits for what it does not know."""
    assert infer_node(_node("Relu", 1), [Known(Value("x", _F, None))]) is None
