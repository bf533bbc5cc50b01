"""Arithmetic on shapes of which some dimensions are symbols, as exporters write it before Reshape and Expand.

    Concat(Gather(Shape(x [N, 3, 8, 8]), 0), -1)   is   [N, -1]

In: a node and what is known of its inputs. Out: the elements of its result, ints and symbols, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import Dim, Expression, product
from alula.engine.graph.nodes import Array, Node
from alula.engine.operators.evaluate import evaluate
from alula.engine.operators.record import Known

# Shapes and what is made of them have a few elements; others are not looked at.
_MOST = 16
_INTEGERS = frozenset({DType.INT32, DType.INT64})
# Operators that place elements without looking at them, with how many inputs, from the first on, hold elements.
_MOVES: Mapping[str, int] = MappingProxyType(
    {
        "Concat": _MOST, "Expand": 1, "Flatten": 1, "Gather": 1, "Identity": 1, "Reshape": 1, "Slice": 1, "Squeeze": 1,
        "Transpose": 1, "Unsqueeze": 1,
    }
)  # fmt: skip


def sizes_of(node: Node, known: Sequence[Known | None]) -> Array | None:
    """The elements of the first output as an array of ints and symbols (dtype object); None where one is not known.

    Dimensions count as positive, so that dividing them rounds down.
    """
    if node.domain or not known or known[0] is None:
        return None
    shape = known[0].value.shape
    if node.op == "Shape" and shape is not None:
        return _sizes(shape[node.integer("start", 0) : node.integer("end", len(shape))])
    if node.op == "Size" and shape is not None:
        return _sizes(product(shape))
    if all(entry is None or entry.sizes is None for entry in known):
        return None
    if node.op in _MOVES:
        return _moved(node, known)
    if node.op == "Cast":
        return known[0].sizes if node.integer("to") in _CAST else None
    return _computed(node, known) if node.op in _ARITHMETIC else None


def _sizes(elements: Dim | Sequence[Dim]) -> Array:
    """An array of objects, whatever they are."""
    array = np.empty((len(elements),) if isinstance(elements, Sequence) else (), object)
    array[...] = elements
    return array


def _elements(entry: Known | None) -> Array | None:
    """What is known of an input, as objects."""
    if entry is None or entry.sizes is not None:
        return None if entry is None else entry.sizes
    array = entry.constant
    fits = array is not None and array.size <= _MOST and entry.value.dtype in _INTEGERS
    return array.astype(object) if array is not None and fits else None


def _constant(entry: Known | None) -> Array | None:
    return None if entry is None else entry.constant


def _moved(node: Node, known: Sequence[Known | None]) -> Array | None:
    count = _MOVES[node.op]
    arrays = [_elements(entry) if index < count else _constant(entry) for index, entry in enumerate(known)]
    if any(array is None for array, entry in zip(arrays, known, strict=True) if entry is not None):
        return None
    return _small(evaluate(node, arrays)[0])


def _computed(node: Node, known: Sequence[Known | None]) -> Array | None:
    a, b = (_elements(entry) for entry in known)
    if a is None or b is None or known[0] is None or known[0].value.dtype not in _INTEGERS:
        return None
    a, b = np.broadcast_arrays(a, b)
    results = [_ARITHMETIC[node.op](one, other) for one, other in zip(a.flat, b.flat, strict=True)]
    if any(result is None for result in results):
        return None
    return _small(_sizes([result for result in results if result is not None]).reshape(a.shape))


def _small(array: Array) -> Array | None:
    return array if array.size <= _MOST else None


def _quotient(a: Dim, b: Dim) -> Dim | None:
    """ONNX rounds towards zero and `//` down: the same where nothing is negative."""
    if not _is_positive(b) or not (a == 0 or _is_positive(a)):
        return None
    return a // b


def _is_positive(dim: Dim) -> bool:
    return all(factor > 0 for factor in dim.terms.values()) if isinstance(dim, Expression) else dim > 0


_ARITHMETIC: Mapping[str, Callable[[Dim, Dim], Dim | None]] = MappingProxyType(
    {
        "Add": lambda a, b: a + b,
        "Sub": lambda a, b: a - b,
        "Mul": lambda a, b: a * b,
        "Div": _quotient,
    }
)
# INT32 and INT64 by their numbers in onnx.proto.
_CAST = frozenset({6, 7})
