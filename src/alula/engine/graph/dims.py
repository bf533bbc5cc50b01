"""Dimensions that may be unknown: integer polynomials over named symbols.

In: ints and names. Out: `Dim`, an int or an `Expression`; arithmetic on either with `+ - * //`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Union

# A product of symbols, sorted, with repetition: ("H", "W"). The empty product is the constant term.
Product = tuple[str, ...]


class Expression:
    """A polynomial with integer coefficients over symbols; a quotient that does not divide is a symbol of its own."""

    __slots__ = ("terms",)

    def __init__(self, terms: Mapping[Product, int]) -> None:
        self.terms = {product: factor for product, factor in sorted(terms.items()) if factor}

    def __add__(self, other: Dim) -> Dim:
        """Sum."""
        terms = dict(self.terms)
        for product, factor in _terms(other).items():
            terms[product] = terms.get(product, 0) + factor
        return _simplest(terms)

    __radd__ = __add__

    def __neg__(self) -> Dim:
        """Negation."""
        return self * -1

    def __sub__(self, other: Dim) -> Dim:
        """Difference."""
        return self + other * -1

    def __rsub__(self, other: int) -> Dim:
        """Difference."""
        return self * -1 + other

    def __mul__(self, other: Dim) -> Dim:
        """Product."""
        terms: dict[Product, int] = {}
        for mine, factor in self.terms.items():
            for theirs, times in _terms(other).items():
                product = tuple(sorted(mine + theirs))
                terms[product] = terms.get(product, 0) + factor * times
        return _simplest(terms)

    __rmul__ = __mul__

    def __floordiv__(self, other: Dim) -> Dim:
        """Quotient, rounded down; exact where every term divides, else an opaque symbol such as `((H + 1) // 2)`."""
        if isinstance(other, int) and all(factor % other == 0 for factor in self.terms.values()):
            return _simplest({product: factor // other for product, factor in self.terms.items()})
        if self == other:
            return 1
        return symbol(f"({self} // {other})")

    def __rfloordiv__(self, other: int) -> Dim:
        """Quotient of a number by an unknown."""
        return symbol(f"({other} // {self})")

    def __eq__(self, other: object) -> bool:
        """Equal when the polynomials are."""
        return isinstance(other, Expression) and self.terms == other.terms

    def __hash__(self) -> int:
        """Hash of the polynomial."""
        return hash(tuple(self.terms.items()))

    def __str__(self) -> str:
        """For example `2*H + 1`."""
        parts = ["*".join(([str(f)] if f != 1 or not p else []) + list(p)) for p, f in reversed(self.terms.items())]
        text = " + ".join(parts)
        return f"({text})" if len(parts) > 1 else text

    __repr__ = __str__


Dim = Union[int, Expression]
Shape = tuple[Dim, ...]


def symbol(name: str) -> Expression:
    """The unknown called `name`."""
    return Expression({(name,): 1})


def is_static(shape: Shape) -> bool:
    """Whether every dimension is a number."""
    return all(isinstance(dim, int) for dim in shape)


def static(shape: Shape) -> tuple[int, ...]:
    """The shape as numbers.

    Raises:
        ValueError: a dimension is symbolic.
    """
    numbers = tuple(dim for dim in shape if isinstance(dim, int))
    if len(numbers) != len(shape):
        msg = f"shape {list(map(str, shape))} has symbolic dimensions"
        raise ValueError(msg)
    return numbers


def product(dims: Shape) -> Dim:
    """The number of elements."""
    total: Dim = 1
    for dim in dims:
        total = dim * total
    return total


def _terms(dim: Dim) -> Mapping[Product, int]:
    return dim.terms if isinstance(dim, Expression) else {(): dim}


def _simplest(terms: Mapping[Product, int]) -> Dim:
    kept = {product: factor for product, factor in terms.items() if factor}
    if not kept:
        return 0
    if set(kept) == {()}:
        return kept[()]
    return Expression(kept)
