"""Formulas of elementwise operators against their references."""

from __future__ import annotations

import numpy as np
import pytest
from support.onnx_models import graph_of, one_node_model
from support.operator_problems import PROBLEMS
from support.problem import EXTREMES, Problem, floats, ints, reals, wholes

from alula.engine.graph.formula import Formula, FormulaBuilder, Operand, Register
from alula.engine.graph.nodes import Array, Node
from alula.engine.graph.numpy_dtypes import dtype_of
from alula.engine.graph.primitives import FORMULA_TYPES, Inexpressible
from alula.engine.operators.attributes import attributes_of
from alula.engine.operators.evaluate import evaluate
from alula.engine.operators.formula import evaluate_formula
from alula.engine.operators.precision import is_real, widened
from alula.engine.operators.table import OPERATORS

_LOWERED = sorted(name for (domain, name), operator in OPERATORS.items() if operator.lower and not domain)


def _posed(problem: Problem) -> Node:
    model = one_node_model(problem.op, problem.inputs, problem.attributes, opset=problem.opset)
    return graph_of(model).nodes[0]


def _is_lowered(problem: Problem) -> bool:
    """Newest forms, or such as need no upgrade, over the types that formulas have."""
    kinds = [dtype_of(x) for x in problem.inputs if x is not None]
    return problem.op in _LOWERED and problem.opset >= 11 and FORMULA_TYPES.issuperset(kinds)


def _literal(array: Array) -> float:
    return array.item() if array.dtype.kind in "biu" else float(array)


def _operands(inputs: tuple[Array | None, ...]) -> tuple[list[Operand | None], list[Array]]:
    """Scalars after the first input as literals, as a pass hands them over; the others as registers."""
    operands: list[Operand | None] = []
    arrays: list[Array] = []
    for array in inputs:
        if array is None:
            operands.append(None)
        elif arrays and array.ndim == 0:
            operands.append(_literal(array))
        else:
            operands.append(Register(len(arrays)))
            arrays.append(array)
    return operands, arrays


def _lowered(node: Node, inputs: tuple[Array | None, ...]) -> tuple[Formula | None, list[Array]]:
    operator = OPERATORS[node.kind]
    assert operator.lower is not None
    operands, arrays = _operands(inputs)
    builder = FormulaBuilder(len(arrays), [dtype_of(array) for array in arrays])
    try:
        result = operator.lower(builder, *operands, **attributes_of(operator, node))
    except Inexpressible:
        return None, arrays
    if result is None:
        return None, arrays
    if isinstance(result, Register) and result.index != len(arrays) + len(builder.steps) - 1:
        builder.add(result, 0)
    return builder.build(), arrays


_PROBLEMS = [problem for problem in PROBLEMS if _is_lowered(problem)]
# Powers of integers but for small literals, remainders of floats, types that formulas do not have, infinities on no
# side, and integers shrunk by a float.
_PARTLY = {"Pow", "Mod", "Cast", "IsInf", "Shrink"}


@pytest.mark.parametrize("problem", _PROBLEMS, ids=str)
def test_formula_agrees_with_reference(problem: Problem) -> None:
    """A fused operator computes what the operator alone computes, NaN and infinities included."""
    node = _posed(problem)
    formula, arrays = _lowered(node, problem.inputs)
    if formula is None:
        assert node.op in _PARTLY
        return
    (want,) = evaluate(node, problem.inputs)

    got = evaluate_formula(formula, arrays)

    assert got.dtype == want.dtype
    assert got.shape == want.shape
    if not is_real(got.dtype):
        np.testing.assert_array_equal(got, want)
        return
    tolerance = OPERATORS[node.kind].agrees_within
    step = {"float16": 2.0**-10, "bfloat16": 2.0**-7}.get(got.dtype.name, tolerance.relative)
    np.testing.assert_allclose(widened(got), widened(want), rtol=step, atol=tolerance.absolute)


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


@pytest.mark.parametrize("x", [wholes(3), reals(3).astype(np.float64)])
def test_a_power_without_a_primitive_is_no_formula(x: Array) -> None:
    """Powers of integers wrap around or not as their exponent's type has it, those of float64 need float64."""
    assert _lowered(Node("Pow", ("a", "b"), ("y",)), (x, reals(3).astype(x.dtype)))[0] is None


def test_a_power_of_another_type_is_taken_in_the_type_of_its_base() -> None:
    """The result has the type of x; so has the work."""
    formula, _ = _lowered(Node("Pow", ("a", "b"), ("y",)), (reals(3), ints(1, 2, 3)))

    assert str(formula) == "r0: float32; r1: int64; r2 = cast(r1, float32); r3 = pow(r0, r2)"
