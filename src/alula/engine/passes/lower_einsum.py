"""A sum of products over labelled axes becomes products of matrices between transpositions.

    Einsum(a, b) {bhqd,bhkd->bhqk}   becomes   MatMul(a, Transpose(b))
    Einsum(a, b, c) {ab,bc,cd->ad}   becomes   MatMul(MatMul(a, b), c)
    Einsum(a, b) {i,j->ij}           becomes   Mul(Reshape(a), Reshape(b))
    Einsum(a) {bii->i}               becomes   ReduceSum(Gather(Reshape(a), #diagonal))

In: an Einsum of static shapes. Out: Transpose, Reshape, ReduceSum, Gather, Mul and MatMul. Several inputs are joined
from the left to the right; labels that nobody asks for any more are summed as soon as possible. Numbers that are not
float32 have no products of matrices: theirs are multiplied element by element and summed, up to a size.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node
from alula.engine.graph.primitives import NUMBERS, SINGLE
from alula.engine.operators.common import Mismatch
from alula.engine.operators.einsum import Labels, labels_of
from alula.engine.passes.known import static_shape
from alula.engine.passes.sketch import Sketch

_TYPES = (NUMBERS - SINGLE) | {DType.FLOAT32}
_MOST_PRODUCTS = 1 << 20


def lower_einsum(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Rewrite one Einsum."""
    if node.kind != ("", "Einsum"):
        return None
    dtype = editor.value(node.inputs[0]).dtype
    if dtype not in _TYPES or any(static_shape(editor, name) is None for name in node.inputs):
        return None
    try:
        inputs, output = labels_of(node.text("equation"), [len(editor.value(name).shape or ()) for name in node.inputs])
    except Mismatch:
        return None
    work = _Sums(Sketch(editor, node))
    terms = [_Term(name, labels) for name, labels in zip(node.inputs, inputs, strict=True)]
    sizes = work.sizes(terms)
    elements = math.prod(size or 0 for size in sizes.values())
    if not elements or (dtype is not DType.FLOAT32 and elements > _MOST_PRODUCTS):
        return None
    terms = [work.cleaned(term, sizes) for term in terms]
    while len(terms) > 1:
        first, second, *rest = terms
        wanted = {label for term in rest for label in term.labels} | set(output)
        terms = [work.joined(work.summed(first, wanted | set(second.labels)), second, wanted), *rest]
    final = work.ordered(work.summed(terms[0], set(output)), output)
    return work.sketch.finish(final.name)


@dataclass(frozen=True)
class _Term:
    """A value with a label for each axis, all different."""

    name: str
    labels: Labels


@dataclass(frozen=True)
class _Sums:
    """The nodes being written; owned by one rewrite."""

    sketch: Sketch

    def sizes(self, terms: Iterable[_Term]) -> dict[str, int | None]:
        """The extent of each label; None where two larger than 1 differ."""
        found: dict[str, int | None] = {}
        for term in terms:
            for label, extent in zip(term.labels, self.sketch.shape(term.name), strict=True):
                known = found.get(label, 1)
                found[label] = extent if known == 1 else known if extent in {1, known} else None
        return found

    def cleaned(self, term: _Term, sizes: dict[str, int | None]) -> _Term:
        """Without axes of 1 that stand for more, and with one axis where a label stands twice."""
        shape = self.sketch.shape(term.name)
        kept = [axis for axis, label in enumerate(term.labels) if shape[axis] == sizes[label]]
        name = self.sketch.reshape(term.name, [shape[axis] for axis in kept])
        term = _Term(name, tuple(term.labels[axis] for axis in kept))
        while len(set(term.labels)) < len(term.labels):
            term = self._diagonal(term, next(label for label in term.labels if term.labels.count(label) > 1))
        return term

    def _diagonal(self, term: _Term, label: str) -> _Term:
        """The first two axes of a label become one, on the diagonal."""
        first = term.labels.index(label)
        second = term.labels.index(label, first + 1)
        rest = [axis for axis in range(len(term.labels)) if axis not in {first, second}]
        turned = self._transposed(term.name, [*rest, first, second])
        *outer, extent, _ = self.sketch.shape(turned)
        flat = self.sketch.reshape(turned, (*outer, extent * extent))
        places = self.sketch.constant(np.arange(extent, dtype=np.int64) * (extent + 1))
        name = self.sketch.node("Gather", (flat, places), (*outer, extent), axis=len(outer))
        return _Term(name, (*(term.labels[axis] for axis in rest), label))

    def summed(self, term: _Term, wanted: Collection[str]) -> _Term:
        """Without the labels that nobody wants."""
        gone = [axis for axis, label in enumerate(term.labels) if label not in wanted]
        if not gone:
            return term
        kept = [axis for axis in range(len(term.labels)) if axis not in gone]
        shape = self.sketch.shape(term.name)
        inputs = (term.name, self.sketch.constant(np.asarray(gone, np.int64)))
        name = self.sketch.node("ReduceSum", inputs, [shape[axis] for axis in kept], keepdims=0)
        return _Term(name, tuple(term.labels[axis] for axis in kept))

    def joined(self, a: _Term, b: _Term, wanted: Collection[str]) -> _Term:
        """The product of two terms, summed over what both have and nobody wants."""
        b = self.summed(b, set(wanted) | set(a.labels))
        summed = [label for label in a.labels if label in b.labels and label not in wanted]
        shared = [label for label in a.labels if label in b.labels and label in wanted]
        left = [label for label in a.labels if label not in b.labels]
        right = [label for label in b.labels if label not in a.labels]
        if not summed:
            return self._multiplied(a, b, (*shared, *left, *right))
        if self.sketch.dtype(a.name) is not DType.FLOAT32:
            return self.summed(self._multiplied(a, b, (*shared, *left, *right, *summed)), {*shared, *left, *right})
        x = self._matrix(a, shared, left, summed)
        y = self._matrix(b, shared, summed, right)
        batch = self.sketch.shape(x)[: len(shared)]
        product = self.sketch.node("MatMul", (x, y), (*batch, self.sketch.shape(x)[-2], self.sketch.shape(y)[-1]))
        ends = [self._extents(a, left), self._extents(b, right)]
        return _Term(self.sketch.reshape(product, (*batch, *ends[0], *ends[1])), (*shared, *left, *right))

    def _multiplied(self, a: _Term, b: _Term, labels: Labels) -> _Term:
        """The outer product, and element by element along what both have."""
        sides = []
        for term in (a, b):
            own = self.ordered(term, [label for label in labels if label in term.labels])
            extents = dict(zip(own.labels, self.sketch.shape(own.name), strict=True))
            sides.append(self.sketch.reshape(own.name, [extents.get(label, 1) for label in labels]))
        shape = np.broadcast_shapes(*(self.sketch.shape(name) for name in sides))
        return _Term(self.sketch.node("Mul", sides, shape), labels)

    def _matrix(self, term: _Term, batch: Sequence[str], rows: Sequence[str], columns: Sequence[str]) -> str:
        """The term as a stack of matrices."""
        turned = self.ordered(term, (*batch, *rows, *columns))
        extents = [math.prod(self._extents(term, labels)) for labels in (rows, columns)]
        return self.sketch.reshape(turned.name, (*self._extents(term, batch), *extents))

    def ordered(self, term: _Term, labels: Sequence[str]) -> _Term:
        """The axes in another order."""
        return _Term(self._transposed(term.name, [term.labels.index(label) for label in labels]), tuple(labels))

    def _transposed(self, name: str, order: Sequence[int]) -> str:
        return name if list(order) == list(range(len(order))) else self.sketch.transpose(name, order)

    def _extents(self, term: _Term, labels: Sequence[str]) -> list[int]:
        shape = self.sketch.shape(term.name)
        return [shape[term.labels.index(label)] for label in labels]
