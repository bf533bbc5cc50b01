from __future__ import annotations

import operator
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alula.engine.graph.dims import (
    Dim,
    Expression,
    Quotient,
    is_static,
    product,
    static,
    substitute,
    substitute_shape,
    symbol,
    symbols,
)

H, W = symbol("H"), symbol("W")
SIZES = st.fixed_dictionaries({"H": st.integers(1, 300), "W": st.integers(1, 300)})
Arithmetic = Callable[[Dim, Dim], Dim]

# A formula over H and W: built once with symbols and once with numbers.
Formula = Callable[[Dim, Dim], Dim]


def _leaf(choice: object) -> Formula:
    if isinstance(choice, int):
        return lambda _h, _w: choice
    return lambda h, w: h if choice == "H" else w


def _joined(parts: tuple[Arithmetic, Formula, Formula]) -> Formula:
    combine, left, right = parts
    return lambda h, w: combine(left(h, w), right(h, w))


def _halved(parts: tuple[Formula, int]) -> Formula:
    inner, divisor = parts
    return lambda h, w: inner(h, w) // divisor


FORMULAS: st.SearchStrategy[Formula] = st.recursive(
    st.sampled_from(["H", "W", -3, -1, 0, 1, 2, 7]).map(_leaf),
    lambda inner: (
        st.tuples(st.sampled_from([operator.add, operator.sub, operator.mul]), inner, inner).map(_joined)
        | st.tuples(inner, st.sampled_from([-2, 1, 2, 3, 16])).map(_halved)
    ),
    max_leaves=8,
)


@given(FORMULAS, SIZES)
def test_substituted_expression_equals_integer_arithmetic(formula: Formula, sizes: dict[str, int]) -> None:
    """Whatever is built of + - * // over symbols means what the same arithmetic over numbers means."""
    symbolic = formula(H, W)

    assert substitute(symbolic, sizes) == formula(sizes["H"], sizes["W"])


@given(FORMULAS, SIZES)
def test_symbols_can_be_bound_one_at_a_time(formula: Formula, sizes: dict[str, int]) -> None:
    """Binding the batch first and the image later gives what binding both at once gives."""
    first = substitute(formula(H, W), {"H": sizes["H"]})

    assert "H" not in symbols(first)
    assert substitute(first, {"W": sizes["W"]}) == substitute(formula(H, W), sizes)


@given(FORMULAS, FORMULAS)
def test_sums_and_products_do_not_depend_on_order(one: Formula, other: Formula) -> None:
    """Equal polynomials compare and hash equal: shapes that were reached on two ways must match."""
    a, b = one(H, W), other(H, W)

    assert a + b == b + a
    assert a * b == b * a
    assert hash(a + b) == hash(b + a)
    assert a - a == 0


@given(SIZES)
def test_division_by_an_unknown_is_kept_and_bound(sizes: dict[str, int]) -> None:
    """A quotient may hold unknowns above and below the line."""
    quotient = (H * 6 + 5) // (W + 1) + 100 // W

    assert symbols(quotient) == {"H", "W"}
    assert substitute(quotient, sizes) == (sizes["H"] * 6 + 5) // (sizes["W"] + 1) + 100 // sizes["W"]


@pytest.mark.parametrize(
    ("dim", "text"),
    [
        (H, "H"),
        (H * 2 + 1, "(2*H + 1)"),
        ((H + 3) // 2, "(((H + 1) // 2) + 1)"),
        ((H * 2 + 1) // 2, "H"),
        (H * 4 // 2, "2*H"),
        (H * W - W * H, "0"),
        ((H + 1) // (H + 1), "1"),
        (0 // H, "0"),
        (1 - H, "(-1*H + 1)"),
    ],
)
def test_expression_prints_in_its_simplest_form(dim: Dim, text: str) -> None:
    """What divides comes out of a quotient, and what cancels is gone."""
    assert str(dim) == text


def test_symbol_named_like_a_quotient_is_another_unknown() -> None:
    """Names come from model files: a name that looks like our text must not be taken for a quotient."""
    named, real = symbol("(H // 2)"), H // 2

    assert named != real
    assert named * real == real * named
    assert substitute(named, {"H": 8}) == named


def test_quotient_keeps_its_parts_as_data() -> None:
    """Other rooms take a quotient apart without reading text."""
    quotient = (H + 1) // 2

    assert isinstance(quotient, Expression)
    assert list(quotient.terms) == [(Quotient(H + 1, 2),)]


def test_division_by_zero_is_an_error() -> None:
    """A stride of zero is no dimension."""
    with pytest.raises(ZeroDivisionError):
        H // 0
    with pytest.raises(ZeroDivisionError):
        substitute(H // W, {"W": 0})


def test_shapes_count_their_elements() -> None:
    """The number of elements of a shape follows its dimensions, the empty shape being a scalar."""
    assert product(()) == 1
    assert product((2, H, 3)) == H * 6
    assert substitute_shape((2, H, H // 2), {"H": 9}) == (2, 9, 4)


def test_static_refuses_symbols() -> None:
    """Code that needs numbers gets numbers or an error, never an expression."""
    assert is_static((1, 2))
    assert static((1, 2)) == (1, 2)
    assert not is_static((1, H))
    with pytest.raises(ValueError, match="'H'"):
        static((1, H))
