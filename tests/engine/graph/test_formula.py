from __future__ import annotations

import pytest

from alula.base.errors import InternalError
from alula.engine.graph.formula import BINARY, IDENTITY, UNARY, FormulaBuilder, Register


def _hard_swish() -> FormulaBuilder:
    builder = FormulaBuilder(1)
    (x,) = builder.arguments()
    builder.mul(x, builder.clamp(builder.add(builder.mul(x, 1 / 8), 0.5), 0.0, 1.0))
    return builder


def test_formula_prints_its_steps() -> None:
    """Plans and bug reports show what an epilogue does, one register a step."""
    assert str(_hard_swish().build()) == (
        "r1 = mul(r0, 0.125); r2 = add(r1, 0.5); r3 = max(r2, 0.0); r4 = min(r3, 1.0); r5 = mul(r0, r4)"
    )


def test_formula_without_steps_is_its_input() -> None:
    """A kernel without an epilogue stores what it computed."""
    assert str(IDENTITY) == "r0"
    assert FormulaBuilder(1).call(IDENTITY, [Register(0)]) == Register(0)


def test_equal_formulas_are_one_key() -> None:
    """Kernels are records that compare: equal arithmetic must give equal code, once."""
    assert len({_hard_swish().build(), _hard_swish().build()}) == 1


def test_call_renumbers_the_inner_steps() -> None:
    """Fusing two formulas keeps each step reading what it read before."""
    outer = FormulaBuilder(2)
    first, second = outer.arguments()
    total = outer.add(first, second)
    outer.call(_hard_swish().build(), [total])

    assert str(outer.build()) == (
        "r2 = add(r0, r1); r3 = mul(r2, 0.125); r4 = add(r3, 0.5); r5 = max(r4, 0.0); r6 = min(r5, 1.0); "
        "r7 = mul(r2, r6)"
    )


def test_call_takes_literals_as_arguments() -> None:
    """A constant may stand where the inner formula had an input."""
    inner = FormulaBuilder(2)
    inner.sub(*inner.arguments())
    outer = FormulaBuilder(1)
    outer.call(inner.build(), [1.0, *outer.arguments()])

    assert str(outer.build()) == "r1 = sub(1.0, r0)"


@pytest.mark.parametrize("count", [0, 2])
def test_call_with_a_wrong_number_of_arguments_is_refused(count: int) -> None:
    """Shifted registers would compute something else without a word."""
    with pytest.raises(InternalError, match=f"takes 1 arguments, got {count}"):
        FormulaBuilder(1).call(_hard_swish().build(), [0.0] * count)


@pytest.mark.parametrize(
    ("op", "operands"), [("add", (1.0,)), ("neg", (1.0, 2.0)), ("frobnicate", (1.0,)), ("abs", ())]
)
def test_step_that_no_kernel_could_emit_is_refused(op: str, operands: tuple[float, ...]) -> None:
    """Primitives and their operand counts are fixed; a wrong one is found where it is written."""
    with pytest.raises(InternalError, match=f"formula step {op}"):
        FormulaBuilder(1).emit(op, *operands)


@pytest.mark.parametrize("op", sorted(UNARY | BINARY))
def test_builder_has_a_method_for_every_primitive(op: str) -> None:
    """An operator's `lower` writes `b.exp(x)`, never a string."""
    builder = FormulaBuilder(2)

    getattr(builder, op)(*builder.arguments()[: 1 if op in UNARY else 2])

    assert [step.op for step in builder.build().steps] == [op]
