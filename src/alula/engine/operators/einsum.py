"""Sums of products over labelled axes, and determinants.

In: any number of arrays and an equation such as `bij,bjk->bik`. Out: one array.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import numpy as np

from alula.engine.graph.dims import Dim, Shape, static
from alula.engine.graph.nodes import Array
from alula.engine.operators.common import Mismatch, agree, broadcast_shapes, same_dtypes, show
from alula.engine.operators.precision import in_float32
from alula.engine.operators.record import REQUIRED, Inference, Inferred, Operator
from alula.engine.operators.window import check_elements

_ELLIPSIS = "..."
# One label for each axis: a letter, or `.0`, `.1`, ... for what an ellipsis stands for, counted from its end.
Labels = tuple[str, ...]


def labels_of(equation: str, ranks: Sequence[int]) -> tuple[tuple[Labels, ...], Labels]:
    """The labels of each input's axes and of the output's.

    Without `->`, the output has the ellipsis' axes and then, in alphabetical order, the labels that stand once.

    Raises:
        Mismatch: the equation does not fit the inputs, or makes no sense.
    """
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise Mismatch(f"equation {equation} needs {len(terms)} inputs", f"there are {len(ranks)}")
    inputs = tuple(_labels(term, rank, equation) for term, rank in zip(terms, ranks, strict=True))
    spread = max((labels for term in inputs if (labels := _spread(term))), key=len, default=())
    if arrow:
        before, dots, after = right.partition(_ELLIPSIS)
        output = (*before, *(spread if dots else ()), *after)
    else:
        letters = left.replace(_ELLIPSIS, "").replace(",", "")
        output = (*spread, *sorted(letter for letter in set(letters) if letters.count(letter) == 1))
    known = {label for term in inputs for label in term}
    if len(set(output)) != len(output) or not known.issuperset(output):
        raise Mismatch("the output's labels must be the inputs' and distinct", f"the equation is {equation}")
    return inputs, output


def _labels(term: str, rank: int, equation: str) -> Labels:
    before, dots, after = term.partition(_ELLIPSIS)
    width = rank - len(before) - len(after)
    letters = before + after
    if width < 0 or (width and not dots) or (letters and not (letters.isascii() and letters.isalpha())):
        raise Mismatch(f"term {term} of equation {equation} must fit its input", f"which has {rank} axes")
    return (*before, *(f".{index}" for index in reversed(range(width))), *after)


def _spread(labels: Labels) -> Labels:
    return tuple(label for label in labels if label.startswith("."))


def einsum(*arrays: Array, equation: str) -> Array:
    """Einstein's convention: products of elements, summed over every label that the output lacks."""
    inputs, output = labels_of(equation, [array.ndim for array in arrays])
    check_elements(static(_shape(inputs, output, [array.shape for array in arrays])))
    return np.asarray(np.einsum(equation.replace(" ", ""), *arrays, optimize=len(arrays) > 1), arrays[0].dtype)


def _infer_einsum(at: Inference) -> Inferred:
    same_dtypes(at, range(len(at.inputs)))
    shapes = [at.shape(index) for index in range(len(at.inputs))]
    inputs, output = labels_of(at.attributes["equation"], [len(shape) for shape in shapes])
    return [(at.dtype(0), _shape(inputs, output, shapes))]


def _shape(inputs: Sequence[Labels], output: Labels, shapes: Sequence[Shape]) -> Shape:
    sizes: dict[str, Dim] = {}
    for labels, shape in zip(inputs, shapes, strict=True):
        for label, dim in zip(labels, shape, strict=True):
            (sizes[label],) = broadcast_shapes((sizes.get(label, 1),), (dim,))
    return tuple(sizes[label] for label in output)


def _check_square(shape: Shape) -> None:
    if len(shape) < 2 or not agree(shape[-2], shape[-1]):  # noqa: PLR2004  rows and columns
        raise Mismatch("input must be a square matrix or a stack of them", f"it is {show(shape)}")


def determinant(x: Array) -> Array:
    """The determinant of each matrix."""
    _check_square(x.shape)
    return np.asarray(np.linalg.det(x), x.dtype)


def _infer_det(at: Inference) -> Inferred:
    _check_square(at.shape(0))
    return [(at.dtype(0), at.shape(0)[:-2])]


EINSUM = Operator(
    name="Einsum",
    since=(12, 28),
    inputs=("x*",),
    attributes=MappingProxyType({"equation": REQUIRED}),
    infer=_infer_einsum,
    reference=in_float32(einsum),
    summary="Sums of products over labelled axes.",
)

DET = Operator(
    name="Det",
    since=(11, 22),
    inputs=("x",),
    infer=_infer_det,
    reference=in_float32(determinant),
    summary="The determinant of square matrices.",
)

OPERATORS = (EINSUM, DET)
