"""References of ONNX operators against the standard's own evaluator, or onnxruntime where that is wrong."""

from __future__ import annotations

import warnings

import ml_dtypes
import numpy as np
import onnxruntime
import pytest
from onnx.reference import ReferenceEvaluator
from support.onnx_models import feeds_of, graph_of, one_node_model
from support.operator_problems import PROBLEMS
from support.problem import Problem

from alula.base.errors import LimitError
from alula.engine.graph.nodes import Array, Node
from alula.engine.operators import sequence, text
from alula.engine.operators.evaluate import evaluate, evaluate_graph
from alula.engine.operators.table import OPERATORS


def _judged(problem: Problem) -> list[Array]:
    """What the judge says."""
    model = one_node_model(problem.op, problem.inputs, problem.attributes, opset=problem.opset, outputs=problem.outputs)
    feeds = feeds_of(problem.inputs)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        if problem.judge == "onnx":
            return [np.asarray(array) for array in ReferenceEvaluator(model).run(None, feeds)]
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
        return [np.asarray(array) for array in session.run(None, feeds)]


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_reference_agrees_with_the_judge(problem: Problem) -> None:
    """Dtype, shape and elements are the standard's, in the newest form and after upgrades from older ones."""
    want = _judged(problem)
    graph = graph_of(
        one_node_model(problem.op, problem.inputs, problem.attributes, opset=problem.opset, outputs=problem.outputs)
    )

    results = evaluate_graph(graph, feeds_of(problem.inputs))

    got = [results[name] for name in graph.outputs]
    assert [array.dtype for array in got] == [array.dtype for array in want]
    assert [array.shape for array in got] == [array.shape for array in want]
    for mine, theirs in zip(got, want, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)


# Their values are no arrays of numbers, or their attributes are graphs: tests of their own files pose them.
_POSED_ELSEWHERE = {operator.name for operator in OPERATORS.values() if operator.nested} | {
    operator.name for file in (sequence, text) for operator in file.OPERATORS
}


def test_every_operator_of_the_standard_has_problems() -> None:
    """A record enters the table together with problems that its reference is held to."""
    posed = {problem.op for problem in PROBLEMS}

    assert {name for domain, name in OPERATORS if not domain} - _POSED_ELSEWHERE == posed


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_a_softmax_over_nothing_is_nothing(op: str, shape: tuple[int, ...]) -> None:
    """An axis without elements has no largest one to shift by, and needs none."""
    (y,) = evaluate(Node(op, ("x",), ("y",)), [np.zeros(shape, np.float32)])

    assert y.shape == shape


def test_a_range_of_bfloat16_counts_in_float32() -> None:
    """ONNX, Range-27: stash_type 1. Of the numbers themselves, bfloat16 has only every second one beyond 256."""
    start, limit, delta = (np.asarray(number, ml_dtypes.bfloat16) for number in (1, 300, 1))

    (y,) = evaluate(Node("Range", ("start", "limit", "delta"), ("y",)), [start, limit, delta])

    assert y.dtype == ml_dtypes.bfloat16
    assert y.tolist() == np.arange(1, 300, dtype=np.float32).astype(ml_dtypes.bfloat16).tolist()


def test_ranges_beyond_all_models_are_refused() -> None:
    """Attack: two numbers ask for gigabytes."""
    numbers = [np.asarray(number, np.int64) for number in (0, 2**33, 1)]

    with pytest.raises(LimitError, match="Range"):
        evaluate(Node("Range", ("start", "limit", "delta"), ("y",)), list(numbers))
