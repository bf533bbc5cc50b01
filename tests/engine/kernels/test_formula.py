"""Formulas as vector code."""

from __future__ import annotations

import numpy as np
import pytest
from support.formulas import numpy_formula
from support.kernels import run_kernel, targets_here

from alula.engine.graph.formula import IDENTITY, Formula, FormulaBuilder, Register, Step
from alula.engine.kernels.elementwise import Access, Elementwise
from alula.engine.kernels.formula import cost
from alula.engine.kernels.target import Target

NUMBERS = np.array([-np.inf, -3.5, -1.0, -0.25, 0.0, 0.5, 1.5, 7.0, np.inf, np.nan], np.float32)
ON_ALL = pytest.mark.parametrize("target", targets_here(), ids=lambda t: t.name)


def run(formula: Formula, inputs: list[np.ndarray], target: Target) -> np.ndarray:
    """Emit and run over flat operands."""
    result = np.empty_like(inputs[0])
    kernel = Elementwise(formula, inputs[0].shape, (Access((1,)),) * formula.inputs)
    run_kernel(kernel, target, inputs, [result])
    return result


@ON_ALL
@pytest.mark.parametrize("op", ["min", "max"])
def test_a_nan_survives_a_bound(op: str, target: Target) -> None:
    """Rule: NaN in a register operand of min or max gives NaN, on whichever side the literal stands."""
    for operands in ((Register(0), 1.25), (1.25, Register(0))):
        formula = Formula(1, (Step(op, operands),))

        np.testing.assert_array_equal(run(formula, [NUMBERS], target), numpy_formula(formula, [NUMBERS]))


@ON_ALL
def test_steps_read_earlier_steps_and_literals(target: Target) -> None:
    """Rule: register numbers count inputs first, then steps."""
    b = FormulaBuilder(2)
    x, y = b.arguments()
    b.add(b.mul(x, b.clamp(b.add(b.mul(x, 1 / 6), 0.5), 0.0, 1.0)), b.sub(2.0, y))
    inputs = [np.linspace(-5, 5, 77).astype(np.float32), np.linspace(3, -9, 77).astype(np.float32)]

    got = run(b.build(), inputs, target)

    np.testing.assert_allclose(got, numpy_formula(b.build(), inputs), rtol=1e-5, atol=1e-6)


@ON_ALL
def test_the_identity_copies(target: Target) -> None:
    """Rule: a formula without steps returns its first register."""
    np.testing.assert_array_equal(run(IDENTITY, [NUMBERS], target), NUMBERS)


def test_a_transcendental_costs_more_than_a_sum() -> None:
    """Rule: `cost` ranks formulas; the planner compares it with the cost of memory."""
    cheap, dear = Formula(1, (Step("add", (Register(0), 1.0)),)), Formula(1, (Step("exp", (Register(0),)),))

    assert cost(IDENTITY) == 0
    assert 0 < cost(cheap) < cost(dear)
