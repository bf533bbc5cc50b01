from __future__ import annotations

import math

import pytest

from alula.base.errors import InternalError
from alula.base.tensors import DType
from alula.engine.graph.formula import IDENTITY, Formula, FormulaBuilder, Register
from alula.engine.graph.primitives import PRIMITIVES, Inexpressible

_ANGLES = {"sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh"}


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


def test_registers_have_the_types_that_follow() -> None:
    """A comparison gives bools, a cast what it names, and all else the type of its operands."""
    builder = FormulaBuilder(2, (DType.INT64, DType.FLOAT16))
    index, x = builder.arguments()
    builder.select(builder.lt(index, 3), builder.cast(index, DType.FLOAT16), builder.sqrt(x))

    formula = builder.build()

    assert formula.register_types[2:] == (DType.BOOL, DType.FLOAT16, DType.FLOAT16, DType.FLOAT16)
    assert str(formula) == (
        "r0: int64; r1: float16; r2 = lt(r0, 3); r3 = cast(r0, float16); r4 = sqrt(r1); r5 = select(r2, r3, r4)"
    )


def test_formulas_of_float32_carry_no_types() -> None:
    """Written with or without them, they are one formula, and one kernel."""
    typed, plain = FormulaBuilder(1, (DType.FLOAT32,)), FormulaBuilder(1)
    for builder in (typed, plain):
        builder.neg(Register(0))

    assert typed.build() == plain.build() == Formula(1, plain.build().steps)
    assert plain.build().is_single


@pytest.mark.parametrize("to", [DType.FLOAT32, DType.BOOL, DType.FLOAT16])
def test_only_float32_throughout_fits_a_kernel_of_float32(to: DType) -> None:
    """An epilogue reads and writes float32; what is between is its own affair."""
    builder = FormulaBuilder(1)
    builder.cast(builder.is_nan(Register(0)), to)

    assert builder.build().is_single == (to is DType.FLOAT32)


def test_operands_of_different_types_are_refused() -> None:
    """A sum of an integer and a float has no type; whoever wants it must cast."""
    builder = FormulaBuilder(2, (DType.INT32, DType.FLOAT32))

    with pytest.raises(InternalError, match="needs operands of one type, got int32 and float32"):
        builder.add(*builder.arguments())


@pytest.mark.parametrize(
    ("op", "dtype", "operands"),
    [
        ("exp", DType.FLOAT64, ()), ("floor", DType.INT32, ()), ("neg", DType.BOOL, ()), ("and", DType.FLOAT32, (1.0,)),
        ("add", DType.UINT8, (-1,)), ("add", DType.INT8, (128,)), ("mul", DType.INT32, (0.5,)),
        ("max", DType.INT64, (math.inf,)), ("min", DType.INT16, (math.nan,)), ("eq", DType.BOOL, (2,)),
    ],
)  # fmt: skip
def test_what_a_type_lacks_is_left_to_the_reference(op: str, dtype: DType, operands: tuple[float, ...]) -> None:
    """There is no exponential of float64 here, and no uint8 of -1: the operator is not lowered then."""
    builder = FormulaBuilder(1, (dtype,))

    with pytest.raises(Inexpressible):
        builder.emit(op, Register(0), *operands)


def test_literals_are_numbers_of_the_other_operand() -> None:
    """Large integers are exact, and 2.0 beside an integer is 2."""
    builder = FormulaBuilder(1, (DType.INT64,))
    builder.add(builder.mul(Register(0), 2.0), 2**62 + 1)

    assert str(builder.build()) == f"r0: int64; r1 = mul(r0, 2); r2 = add(r1, {2**62 + 1})"


def test_literals_alone_take_the_type_that_the_builder_names() -> None:
    """A choice between two numbers has to have a type."""
    builder = FormulaBuilder(1, (DType.BOOL,), DType.INT64)
    builder.select(Register(0), 1, 0)

    assert builder.build().result_type is DType.INT64


def test_a_literal_argument_keeps_the_type_of_its_input() -> None:
    """The inner steps may hold literals too; then nothing else would tell."""
    inner = FormulaBuilder(2, (DType.INT8, DType.INT8))
    inner.add(*inner.arguments())
    outer = FormulaBuilder(1)
    outer.call(inner.build(), (3, 4))

    assert outer.build().result_type is DType.INT8


@pytest.mark.parametrize("op", sorted(PRIMITIVES.keys() - {"and", "or", "xor", "not", "cast", *_ANGLES}))
def test_builder_has_a_method_for_every_primitive(op: str) -> None:
    """An operator's `lower` writes `b.exp(x)`, never a string; words of the language and angles excepted."""
    dtype = DType.FLOAT32 if DType.FLOAT32 in PRIMITIVES[op].takes else DType.INT32
    builder = FormulaBuilder(3, (DType.BOOL, dtype, dtype))
    operands = builder.arguments()

    getattr(builder, op)(*(operands if op == "select" else operands[1 : 1 + PRIMITIVES[op].operands]))

    assert [step.op for step in builder.build().steps] == [op]
