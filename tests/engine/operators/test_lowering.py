"""Formulas of elementwise operators against their references."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.onnx_models import graph_of, one_node_model
from support.operator_problems import PROBLEMS
from support.problem import EXTREMES, Problem, floats, reals

from alula.engine.graph.formula import Formula, FormulaBuilder, Operand, Register
from alula.engine.graph.nodes import Array, Node
from alula.engine.operators.attributes import attributes_of
from alula.engine.operators.evaluate import evaluate
from alula.engine.operators.formula import evaluate_formula
from alula.engine.operators.table import OPERATORS

_LOWERED = sorted(name for (domain, name), operator in OPERATORS.items() if operator.lower and not domain)


def _posed(problem: Problem) -> Node:
    model = one_node_model(problem.op, problem.inputs, problem.attributes, opset=problem.opset)
    return graph_of(model).nodes[0]


def _is_float(problem: Problem) -> bool:
    return problem.opset >= 11 and all(x is None or x.dtype == np.float32 for x in problem.inputs)


def _operands(inputs: tuple[Array | None, ...]) -> tuple[list[Operand | None], list[Array]]:
    """Scalars after the first input as literals, as a pass hands them over; the others as registers."""
    operands: list[Operand | None] = []
    arrays: list[Array] = []
    for array in inputs:
        if array is None:
            operands.append(None)
        elif arrays and array.ndim == 0:
            operands.append(float(array))
        else:
            operands.append(Register(len(arrays)))
            arrays.append(array)
    return operands, arrays


def _lowered(node: Node, inputs: tuple[Array | None, ...]) -> tuple[Formula | None, list[Array]]:
    operator = OPERATORS[node.kind]
    assert operator.lower is not None
    operands, arrays = _operands(inputs)
    builder = FormulaBuilder(len(arrays))
    result = operator.lower(builder, *operands, **attributes_of(operator, node))
    if result is None:
        return None, arrays
    if isinstance(result, Register) and result.index != len(arrays) + len(builder.steps) - 1:
        builder.add(result, 0.0)
    return builder.build(), arrays


_PROBLEMS = [problem for problem in PROBLEMS if problem.op in _LOWERED and _is_float(problem)]


@pytest.mark.parametrize("problem", _PROBLEMS, ids=str)
def test_formula_agrees_with_reference(problem: Problem) -> None:
    """A fused operator computes what the operator alone computes, NaN and infinities included."""
    node = _posed(problem)
    formula, arrays = _lowered(node, problem.inputs)
    if formula is None:
        assert node.op == "Pow"
        return
    (want,) = evaluate(node, problem.inputs)

    got = evaluate_formula(formula, arrays)

    tolerance = OPERATORS[node.kind].agrees_within
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=tolerance.relative, atol=tolerance.absolute)


def test_every_lowering_is_tried_on_infinities_and_nan() -> None:
    """Each unary activation has a problem with extremes; a new one must bring its own."""
    tried = {problem.op for problem in _PROBLEMS if problem.inputs and problem.inputs[0] is EXTREMES}
    several = {"Add", "Sub", "Mul", "Div", "Pow", "PRelu", "Sum", "Mean", "Swish"}

    assert set(_LOWERED) - tried == several


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Sum", "Mean", "Min", "Max", "PRelu"])
def test_binary_formulas_agree_on_extremes(op: str) -> None:
    """Infinities and NaN on the left and right of an operator give what the reference gives."""
    inputs = (EXTREMES[:, None], floats(-2.0, 0.0, 3.0))
    node = Node(op, ("a", "b"), ("y",))
    formula, arrays = _lowered(node, inputs)
    assert formula is not None

    got = evaluate_formula(formula, arrays)

    np.testing.assert_allclose(got, evaluate(node, inputs)[0], rtol=1e-6)


@pytest.mark.parametrize("exponent", [1.0, 2.0, 3.0, 0.5, -1.0])
def test_cheap_powers_agree_on_extremes(exponent: float) -> None:
    """Squares, roots and reciprocals are not left to a general power."""
    inputs = (EXTREMES, np.asarray(exponent, np.float32))
    node = Node("Pow", ("a", "b"), ("y",))
    formula, arrays = _lowered(node, inputs)
    assert formula is not None

    got = evaluate_formula(formula, arrays)

    want = evaluate(node, inputs)[0]
    unlike = np.isneginf(EXTREMES) & (exponent == 0.5)  # pow(-inf, 0.5) is inf, sqrt(-inf) is NaN
    np.testing.assert_allclose(got[~unlike], want[~unlike], rtol=1e-6)


@pytest.mark.parametrize("inputs", [(reals(3), reals(3)), (reals(3), np.asarray(1.7, np.float32))])
def test_a_general_power_is_no_formula(inputs: Any) -> None:
    """Pow of an exponent that is no literal, or an odd one, stays a step of its own."""
    assert _lowered(Node("Pow", ("a", "b"), ("y",)), inputs)[0] is None
