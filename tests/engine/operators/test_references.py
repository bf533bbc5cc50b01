"""References of ONNX operators against the standard's own evaluator, or onnxruntime where that is wrong."""

from __future__ import annotations

import warnings

import numpy as np
import onnxruntime
import pytest
from onnx.reference import ReferenceEvaluator
from support.onnx_models import feeds_of, graph_of, one_node_model
from support.operator_problems import PROBLEMS
from support.problem import Problem

from alula.engine.graph.nodes import Array
from alula.engine.operators import sequence, text
from alula.engine.operators.evaluate import evaluate_graph
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
