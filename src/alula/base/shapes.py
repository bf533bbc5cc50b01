"""Input shapes that are declared in sets: `1x3x48x{32..640:32}` is twenty shapes.

In: text, or dimensions that are numbers or collections of numbers. Out: every combination, bounded.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from alula.base.errors import RequestError

# A plan takes seconds to compile; thousands of them are a mistake in the range.
MOST_COMBINATIONS = 256
_MOST_DIGITS = 18
_SHOWN = 6

Dimension = int | Sequence[int]
Shapes = Mapping[str, tuple[int, ...]]
ShapeSets = Mapping[str, Sequence[Dimension]]


def parse_shape_sets(texts: Sequence[str]) -> dict[str, tuple[Dimension, ...]]:
    """`x=1x3x48x{32..640:32}` as {"x": (1, 3, 48, range(32, 641, 32))}.

    In braces stands a range (first, last and, behind a colon, the step) or a list of numbers: `{1,2,4}`.

    Raises:
        RequestError: the text has another form.
    """
    shapes = {}
    for text in texts:
        name, separator, numbers = text.rpartition("=")
        if not separator or not name:
            raise _malformed(text)
        shapes[name] = tuple(_dimension(part, text) for part in numbers.split("x"))
    return shapes


def expand_shapes(shapes: ShapeSets) -> tuple[Shapes, ...]:
    """All combinations, the last dimension varying fastest; one, the plain shapes, where there are no sets.

    Raises:
        RequestError: there are more than `MOST_COMBINATIONS`, or none.
    """
    choices = {name: [_numbers(dim) for dim in dims] for name, dims in shapes.items()}
    total = math.prod(len(numbers) for dims in choices.values() for numbers in dims)
    if not 0 < total <= MOST_COMBINATIONS:
        hint = "a larger step, or fewer dimensions with a range"
        raise RequestError("shapes", f"may declare 1 to {MOST_COMBINATIONS} combinations", f"these are {total}", hint)
    each = [[(name, shape) for shape in itertools.product(*dims)] for name, dims in choices.items()]
    return tuple(dict(combination) for combination in itertools.product(*each))


def describe_shapes(combinations: Sequence[Shapes]) -> str:
    """A few of them, and how many there are."""
    shown = [", ".join(f"{name} {list(shape)}" for name, shape in one.items()) for one in combinations]
    if len(shown) > _SHOWN:
        shown = [*shown[: _SHOWN - 1], f"... {shown[-1]} ({len(shown)} in all)"]
    return "; ".join(shown)


def _numbers(dim: Dimension) -> Sequence[int]:
    return (dim,) if isinstance(dim, int) else dim


def _dimension(text: str, whole: str) -> Dimension:
    if not (text.startswith("{") and text.endswith("}")):
        return _number(text, whole)
    inner = text[1:-1]
    if ".." not in inner:
        return tuple(dict.fromkeys(_number(part, whole) for part in inner.split(",")))
    bounds, colon, step = inner.partition(":")
    first, _, last = bounds.partition("..")
    return range(_number(first, whole), _number(last, whole) + 1, _number(step, whole) if colon else 1)


def _number(text: str, whole: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS and int(text) > 0):
        raise _malformed(whole)
    return int(text)


def _malformed(text: str) -> RequestError:
    return RequestError("--shape", "needs the form NAME=1x3x224x224, or NAME=1x3x{32..640:32}x{8,16}", f"got {text!r}")
