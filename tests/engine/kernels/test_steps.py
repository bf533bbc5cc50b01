"""Every primitive for every element type, as vector code, against the same formula in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.extremes import numbers, same
from support.kernels import run_kernel, targets_here, undefined_symbols

from alula.base.tensors import DType
from alula.engine.graph.formula import Formula, FormulaBuilder, Inexpressible, Operand, Register
from alula.engine.graph.numpy_dtypes import numpy_dtype
from alula.engine.graph.primitives import FORMULA_TYPES, INTEGERS, PRIMITIVES, REALS, SINGLE, bounds_of
from alula.engine.kernels.elementwise import Access, Elementwise
from alula.engine.kernels.target import Target
from alula.engine.operators.formula import evaluate_formula

Array = np.ndarray[Any, Any]
ON_ALL = pytest.mark.parametrize("target", targets_here(), ids=lambda t: t.name)
TYPES = sorted(FORMULA_TYPES, key=str)
# Relative errors that the functions themselves state; all else is exact but for one rounding of what is stored.
_LOOSE = {"exp", "log", "tanh", "erf", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh",
          "atanh", "pow"}  # fmt: skip
_STEP = {DType.FLOAT16: 2.0**-10, DType.BFLOAT16: 2.0**-7}


def run(formula: Formula, arrays: list[Array], target: Target) -> Array:
    """Emit and run over flat operands of one length."""
    result = np.empty(arrays[0].shape, numpy_dtype(formula.result_type))
    kernel = Elementwise(formula, result.shape, (Access((1,)),) * formula.inputs)
    run_kernel(kernel, target, arrays, [result])
    return result


def agree(got: Array, want: Array, dtype: DType, relative: float) -> None:
    """The same numbers, or but for rounding."""
    if dtype not in REALS or not relative:
        same(got, want)
        return
    step = _STEP.get(dtype, 0.0)
    wide = np.float64 if dtype is DType.FLOAT64 else np.float32
    np.testing.assert_allclose(
        got.astype(wide), want.astype(wide), rtol=relative + step, atol=1e-37 if not step else 1e-7
    )


def grids(dtype: DType, count: int) -> list[Array]:
    """Every pair of numbers, in as many arrays as there are operands."""
    x = numbers(dtype)
    return [grid.reshape(-1).copy() for grid in np.meshgrid(*[x] * count)]


PAIRS = [(op, dtype) for op in sorted(PRIMITIVES) for dtype in TYPES
         if dtype in PRIMITIVES[op].takes and op not in ("cast", "select")]  # fmt: skip


@ON_ALL
@pytest.mark.parametrize(("op", "dtype"), PAIRS, ids=str)
def test_every_primitive_agrees_with_numpy(op: str, dtype: DType, target: Target) -> None:
    """Rule: what a formula means does not depend on who runs it, at the ends of the types as in the middle."""
    count = PRIMITIVES[op].operands
    builder = FormulaBuilder(count, (dtype,) * count)
    builder.emit(op, *builder.arguments())
    arrays = grids(dtype, count)

    got = run(builder.build(), arrays, target)

    agree(got, evaluate_formula(builder.build(), arrays), builder.build().result_type, 1e-6 if op in _LOOSE else 0.0)


@ON_ALL
@pytest.mark.parametrize("source", TYPES, ids=str)
def test_every_cast_agrees_with_numpy(source: DType, target: Target) -> None:
    """Rule: rounding, wrapping and what is out of range are the same everywhere."""
    x = numbers(source)
    for to in TYPES:
        builder = FormulaBuilder(1, (source,))
        builder.cast(Register(0), to)

        got = run(builder.build(), [x], target)

        same(got, evaluate_formula(builder.build(), [x]), str(to))


@ON_ALL
@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_every_type_can_be_chosen_from(dtype: DType, target: Target) -> None:
    """Rule: a mask of any register width selects elements of any other."""
    builder = FormulaBuilder(3, (DType.BOOL, dtype, dtype))
    builder.select(*builder.arguments())
    x, y = grids(dtype, 2)
    mask = np.arange(x.size) % 3 == 0

    same(run(builder.build(), [mask, x, y], target), np.where(mask, x, y))


@ON_ALL
@pytest.mark.parametrize("to", [DType.INT8, DType.UINT8, DType.INT16, DType.UINT16], ids=str)
def test_saturating_casts_stop_at_the_bounds(to: DType, target: Target) -> None:
    """Rule: what quantisation needs: the nearest number that the type has, ties to even."""
    builder = FormulaBuilder(1)
    builder.saturate(builder.round(Register(0)), to)
    low, high = bounds_of(to)
    x = np.array(
        [-np.inf, low - 1, low - 0.5, low, -1.5, -0.5, 0.5, 1.5, 2.5, high, high + 0.5, high + 2, 1e30, np.inf]
    )

    got = run(builder.build(), [x.astype(np.float32)], target)

    np.testing.assert_array_equal(got, np.rint(x).clip(low, high).astype(numpy_dtype(to)))


@ON_ALL
@pytest.mark.parametrize("dtype", [DType.FLOAT16, DType.BFLOAT16], ids=str)
def test_all_short_floats_survive_a_copy_and_the_steps_between_them_round_to_even(dtype: DType, target: Target) -> None:
    """Rule: loads are exact, stores round to the nearest; subnormal and infinite ones are among them."""
    every = np.arange(1 << 16, dtype=np.uint16).view(numpy_dtype(dtype))
    with np.errstate(all="ignore"):
        wide = every.astype(np.float32)
        kept, wide = every[~np.isnan(wide)], wide[~np.isnan(wide)]
        middle = ((wide + np.roll(wide, 1)) / 2)[1:]
        finite = middle[np.isfinite(middle)]
    builder = FormulaBuilder(1)
    builder.cast(Register(0), dtype)

    np.testing.assert_array_equal(run(Formula(1, (), (dtype,)), [kept], target).view(np.uint16), kept.view(np.uint16))
    np.testing.assert_array_equal(run(builder.build(), [finite], target), finite.astype(numpy_dtype(dtype)))


@ON_ALL
def test_float64_is_rounded_to_float16_once(target: Target) -> None:
    """Rule: by way of float32, a number just above a tie would become the tie and go down."""
    ties = 1 + np.arange(1, 200, 2) * 2.0**-11
    x = np.concatenate([ties, ties * (1 + 2.0**-40), ties * (1 - 2.0**-40), -ties * (1 + 2.0**-40)])
    builder = FormulaBuilder(1, (DType.FLOAT64,))
    builder.cast(Register(0), DType.FLOAT16)

    np.testing.assert_array_equal(run(builder.build(), [x], target), x.astype(np.float16))


@ON_ALL
@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("count", [1, 5, 17])
def test_tails_and_repeated_elements_of_every_type(dtype: DType, count: int, target: Target) -> None:
    """Rule: no byte outside is touched, and a stride of 0 repeats an element, whatever its size."""
    rows = np.resize(numbers(dtype)[:-1], (3, count)).copy()
    once = np.resize(numbers(dtype)[:-1], (3, 1)).copy()
    builder = FormulaBuilder(3, (DType.BOOL, dtype, dtype))
    builder.select(*builder.arguments())
    mask = np.resize([True, False, False], (3, count)).copy()
    got = np.empty((3, count), numpy_dtype(dtype))
    accesses = (Access((count, 1)), Access((count, 1)), Access((1, 0)))

    run_kernel(Elementwise(builder.build(), got.shape, accesses), target, [mask, rows, once], [got], pieces=2)

    same(got, np.where(mask, rows, once))


@ON_ALL
@pytest.mark.parametrize("count", range(1, 17))
@pytest.mark.parametrize("to", [DType.INT8, DType.INT16, DType.BFLOAT16], ids=str)
def test_narrowed_tails_of_every_length_keep_to_their_bytes(to: DType, count: int, target: Target) -> None:
    """Rule: where elements become shorter on the way to memory, a partial store does not write the longer ones."""
    builder = FormulaBuilder(1)
    builder.cast(Register(0), to)
    x = np.linspace(-9, 9, count).astype(np.float32)

    same(run(builder.build(), [x], target), x.astype(numpy_dtype(to)))


@ON_ALL
@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_no_function_of_a_library_is_called(dtype: DType, target: Target) -> None:
    """Rule: conversions and divisions that a processor lacks are written out, not left to a linker."""
    for op in sorted(PRIMITIVES.keys() - {"select", "cast"}):
        if dtype not in PRIMITIVES[op].takes or op in _LOOSE:
            continue
        count = PRIMITIVES[op].operands
        builder = FormulaBuilder(count, (dtype,) * count)
        builder.emit(op, *builder.arguments())
        kernel = Elementwise(builder.build(), (37,), (Access((1,)),) * count)

        assert undefined_symbols(kernel, target) == set(), op


@st.composite
def formulas(draw: st.DrawFn) -> Formula:
    """Random steps over random types; the functions of their own tests left out, and what needs rounding to agree."""
    types = draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=3))
    builder = FormulaBuilder(len(types), types)
    made = list(types)
    exact = PRIMITIVES.keys() - _LOOSE - {"add", "sub", "mul", "div", "sqrt", "select"}
    names = [*sorted(exact), "add", "mul", "select"]
    for _ in range(draw(st.integers(1, 8))):
        op, first = draw(st.sampled_from(names)), draw(st.integers(0, len(made) - 1))
        alike = [i for i, kind in enumerate(made) if kind is made[first]]
        operands: list[Operand] = [Register(first)]
        while len(operands) < PRIMITIVES[op].operands - (op == "select"):
            operands.append(draw(st.sampled_from([Register(i) for i in alike]) | st.sampled_from([0, 1, 2, 100])))
        masks = [Register(i) for i, kind in enumerate(made) if kind is DType.BOOL]
        if op == "select" and not masks:
            continue
        to = draw(st.sampled_from(TYPES)) if op == "cast" else None
        try:
            result = builder.emit(op, *([draw(st.sampled_from(masks))] if op == "select" else []), *operands, to=to)
        except Inexpressible:
            continue
        made.append(builder.type_of(result))
    return builder.build()


@settings(max_examples=60, deadline=None)
@given(formulas(), st.sampled_from(targets_here()), st.randoms(use_true_random=False))
def test_random_formulas_agree_with_numpy(formula: Formula, target: Target, chance: Any) -> None:
    """Rule: primitives mean the same one after another, through every change of type."""
    arrays = [
        np.array([chance.choice(numbers(kind)) for _ in range(67)], numpy_dtype(kind)) for kind in formula.input_types
    ]

    got = run(formula, arrays, target)

    # A product and a sum may be rounded once or twice.
    relative = 1e-6 if formula.result_type in SINGLE else 0.0
    agree(got, evaluate_formula(formula, arrays), formula.result_type, relative)


@ON_ALL
@pytest.mark.parametrize("op", ["div", "rem"])
@pytest.mark.parametrize("dtype", sorted(INTEGERS, key=str), ids=str)
def test_quotients_beside_whole_ones_are_cut_right(dtype: DType, op: str, target: Target) -> None:
    """Rule: division by floats, where integers are short enough, rounds no quotient up to the next whole number."""
    chance = np.random.default_rng(3)
    low, high = bounds_of(dtype)
    divisors = [*range(max(low, -9), 10), *chance.integers(low, high, 60, numpy_dtype(dtype), endpoint=True).tolist()]
    wholes = [low, high, high // 2, *chance.integers(low, high, 30, numpy_dtype(dtype), endpoint=True).tolist()]
    pairs = [(n - n % (d or 1) + near, d) for d in divisors for n in wholes for near in (-1, 0, 1)]
    kept = np.array([(n, d) for n, d in pairs if low <= n <= high], numpy_dtype(dtype))
    builder = FormulaBuilder(2, (dtype, dtype))
    builder.emit(op, *builder.arguments())
    arrays = [np.ascontiguousarray(column) for column in kept.T]

    same(run(builder.build(), arrays, target), evaluate_formula(builder.build(), arrays))
