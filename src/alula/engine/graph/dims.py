"""Dimensions that may be unknown: integer polynomials over named symbols.

In: ints and names. Out: `Dim`, an int or an `Expression`; arithmetic on either with `+ - * //`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Quotient:
    """A quotient, rounded down, that does not divide: it counts as one unknown."""

    numerator: Dim
    denominator: Dim

    def __str__(self) -> str:
        """For example `((H + 1) // 2)`."""
        return f"({self.numerator} // {self.denominator})"


# What polynomials are made of: a symbol's name, or a quotient.
Atom = str | Quotient
# A product of atoms, sorted, with repetition: ("H", "W"). The empty product is the constant term.
Product = tuple[Atom, ...]


class Expression:
    """A polynomial with integer coefficients over symbols and quotients.

    Dimensions are numbers of elements: an unknown one is taken as positive.
    """

    __slots__ = ("terms",)

    def __init__(self, terms: Mapping[Product, int]) -> None:
        kept = sorted(((product, factor) for product, factor in terms.items() if factor), key=_place)
        self.terms = dict(kept)

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
                product = tuple(sorted(mine + theirs, key=_atom_place))
                terms[product] = terms.get(product, 0) + factor * times
        return _simplest(terms)

    __rmul__ = __mul__

    def __floordiv__(self, other: Dim) -> Dim:
        """Quotient, rounded down; terms that divide come out: `(2*H + 1) // 2` is `H`, `(H + 3) // 2` keeps a quotient.

        Raises:
            ZeroDivisionError: the divisor is the number 0.
        """
        if not isinstance(other, int):
            return 1 if self == other else _atom(Quotient(self, other))
        whole = {product: factor // other for product, factor in self.terms.items()}
        rest = _simplest({product: factor % other for product, factor in self.terms.items()})
        # What is left of a constant is smaller than the divisor and adds nothing.
        return _simplest(whole) + (0 if isinstance(rest, int) else _atom(Quotient(rest, other)))

    def __rfloordiv__(self, other: int) -> Dim:
        """Quotient of a number by an unknown."""
        return _atom(Quotient(other, self)) if other else 0

    def __eq__(self, other: object) -> bool:
        """Equal when the polynomials are."""
        return isinstance(other, Expression) and self.terms == other.terms

    def __hash__(self) -> int:
        """Hash of the polynomial."""
        return hash(tuple(self.terms.items()))

    def __str__(self) -> str:
        """For example `2*H + 1`."""
        parts = [
            "*".join([str(factor)] * (factor != 1 or not product) + [str(atom) for atom in product])
            for product, factor in reversed(self.terms.items())
        ]
        text = " + ".join(parts)
        return f"({text})" if len(parts) > 1 else text

    __repr__ = __str__


Dim = int | Expression
Shape = tuple[Dim, ...]


def symbol(name: str) -> Expression:
    """The unknown called `name`."""
    return _atom(name)


def symbols(dim: Dim) -> frozenset[str]:
    """The names of all unknowns inside a dimension."""
    atoms = {atom for product in _terms(dim) for atom in product}
    names = frozenset(atom for atom in atoms if isinstance(atom, str))
    quotients = [atom for atom in atoms if isinstance(atom, Quotient)]
    return names.union(*(symbols(part) for q in quotients for part in (q.numerator, q.denominator)))


def substitute(dim: Dim, bindings: Mapping[str, int]) -> Dim:
    """The dimension with some symbols replaced by numbers, those inside quotients included.

    Raises:
        ZeroDivisionError: a divisor becomes 0.
    """
    if isinstance(dim, int):
        return dim
    total: Dim = 0
    for atoms, factor in dim.terms.items():
        term: Dim = factor
        for atom in atoms:
            term = term * _bound(atom, bindings)
        total = total + term
    return total


def substitute_shape(shape: Shape, bindings: Mapping[str, int]) -> Shape:
    """The shape with some symbols replaced by numbers; see `substitute`."""
    return tuple(substitute(dim, bindings) for dim in shape)


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


def _atom(atom: Atom) -> Expression:
    return Expression({(atom,): 1})


def _bound(atom: Atom, bindings: Mapping[str, int]) -> Dim:
    if isinstance(atom, Quotient):
        return substitute(atom.numerator, bindings) // substitute(atom.denominator, bindings)
    return bindings[atom] if atom in bindings else _atom(atom)


def _atom_place(atom: Atom) -> tuple[bool, str]:
    return isinstance(atom, Quotient), str(atom)


def _place(term: tuple[Product, int]) -> tuple[tuple[bool, str], ...]:
    return tuple(map(_atom_place, term[0]))


def _terms(dim: Dim) -> Mapping[Product, int]:
    return dim.terms if isinstance(dim, Expression) else {(): dim}


def _simplest(terms: Mapping[Product, int]) -> Dim:
    kept = {product: factor for product, factor in terms.items() if factor}
    if not kept:
        return 0
    if set(kept) == {()}:
        return kept[()]
    return Expression(kept)
