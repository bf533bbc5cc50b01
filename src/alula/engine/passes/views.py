"""Values seen through strides: what moves of data would have copied is read where it stands.

In: a value behind Reshape, Transpose, Slice, Split, Squeeze, Gather of one index, and products with one number. Out:
the value before them, with an offset, strides and a factor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.graph import GraphEditor
from alula.engine.graph.nodes import Array, Node
from alula.engine.operators.evaluate import evaluate
from alula.engine.passes.known import static_shape
from alula.engine.passes.match import number_of

# Their references return views of their first input where numpy can.
_MOVES = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Split"})
_SCALES = frozenset({"Mul", "Div", "Add"})
# Nodes to look back over; the longest chain that exporters write has six.
_MOST_NODES = 16
_MOST_ELEMENTS = 1 << 28


@dataclass(frozen=True)
class View:
    """Element [i, j, ...] is at `offset + i strides[0] + j strides[1] + ...` of `name`, times `factor`."""

    name: str
    shape: tuple[int, ...]
    offset: int
    strides: tuple[int, ...]
    factor: float = 1.0

    def of_rank(self, rank: int) -> View | None:
        """The same with axes of one element in front; None where it has more axes."""
        more = rank - len(self.shape)
        if more < 0:
            return None
        return replace(self, shape=(1,) * more + self.shape, strides=(0,) * more + self.strides)

    def expanded(self, shape: Sequence[int]) -> View | None:
        """The same repeated along axes of one element; None where it does not broadcast to the shape."""
        pairs = tuple(zip(self.shape, shape, strict=True))
        if any(mine not in {1, wanted} for mine, wanted in pairs):
            return None
        steps = tuple(0 if mine == 1 else step for step, mine in zip(self.strides, self.shape, strict=True))
        return replace(self, shape=tuple(shape), strides=steps)


def view_of(editor: GraphEditor, name: str) -> View | None:
    """The farthest value before `name` that its elements can be read from; None where its shape is not known."""
    chain: list[tuple[Node, str]] = []
    base = name
    while len(chain) < _MOST_NODES:
        node = editor.producer_of(base)
        if node is None or not _is_move(editor, node):
            break
        chain.append((node, base))
        base = node.inputs[_changing(editor, node)]
    view = dense(editor, base)
    if view is None:
        return None
    root = here = _probe(view.shape)
    for node, made in reversed(chain):
        factor = _factor(editor, node)
        if factor is not None:
            view = replace(view, factor=view.factor * factor)
            continue
        here = _moved(editor, node, made, here)
        if not np.may_share_memory(root, here):  # a copy: the value itself is what can be read
            view = replace(view, name=made, factor=1.0)
            root = here = _probe(here.shape)
    if any(stride < 0 for stride in here.strides):
        return dense(editor, name)
    offset = here.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    return replace(view, shape=here.shape, offset=offset, strides=here.strides)


def dense(editor: GraphEditor, name: str) -> View | None:
    """The value itself; None where it is no float32 of known shape."""
    shape = static_shape(editor, name)
    if shape is None or editor.value(name).dtype is not DType.FLOAT32 or math.prod(shape) > _MOST_ELEMENTS:
        return None
    return View(name, shape, 0, _probe(shape).strides)


def _probe(shape: tuple[int, ...]) -> Array:
    """An array of bytes, whose strides count elements; nothing of it is ever touched."""
    return np.empty(shape, np.int8)


def _is_move(editor: GraphEditor, node: Node) -> bool:
    """Whether all but one input is constant, and the others say what moves or by what it is multiplied."""
    if node.domain or node.op not in _MOVES | _SCALES | {"Gather"}:
        return False
    source = node.inputs[_changing(editor, node)]
    if editor.constant(source) is not None or dense(editor, source) is None or dense(editor, node.output) is None:
        return False
    if node.op in _MOVES:
        return all(editor.constant(name) is not None for name in filter(None, node.inputs[1:]))
    if node.op == "Gather":
        return _index(editor, node) is not None
    return _factor(editor, node) is not None


def _changing(editor: GraphEditor, node: Node) -> int:
    """Which input is not constant, of the first two."""
    return 1 if node.op in _SCALES and editor.constant(node.inputs[0]) is not None else 0


def _factor(editor: GraphEditor, node: Node) -> float | None:
    """What an operator multiplies each element by; None for others. Some exporters add 0 to products."""
    if node.domain or node.op not in _SCALES:
        return None
    side = _changing(editor, node)
    number = number_of(editor.constant(node.inputs[1 - side]))
    if number is None or editor.value(node.inputs[side]).shape != editor.value(node.output).shape:
        return None
    if node.op == "Mul":
        return number
    if node.op == "Add":
        return 1.0 if number == 0 else None
    return 1 / number if side == 0 and number else None


def _index(editor: GraphEditor, node: Node) -> int | None:
    """The one index that a Gather takes away an axis for."""
    index = editor.constant(node.inputs[1])
    return int(index) if index is not None and index.ndim == 0 else None


def _moved(editor: GraphEditor, node: Node, made: str, array: Array) -> Array:
    """What the node makes of an array: a view of it where numpy can."""
    index = _index(editor, node) if node.op == "Gather" else None
    if index is not None:
        axis = node.integer("axis") % array.ndim
        return np.asarray(array[(slice(None),) * axis + (index,)])
    constants = (editor.constant(name) if name else None for name in node.inputs[1:])
    return evaluate(node, [array, *constants])[node.outputs.index(made)]
