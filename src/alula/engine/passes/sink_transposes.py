"""Transposes move behind what does not care about the order of axes, so that pairs of them meet.

    x -> Transpose -> Add(#bias) -> Relu -> Transpose back -> Conv
    becomes   x -> Add(#bias turned) -> Relu -> Transpose -> Transpose back -> Conv
    x -> Transpose (0, 2, 3, 1) -> ReduceMean (1, 2) {keepdims=0}   becomes   x -> ReduceMean (2, 3) {keepdims=0}

In: an elementwise operator, a Concat, a Pad or a mean whose operands are transposed alike. Out: the same on the values
before, and one Transpose behind it. Models written for channels-last pictures come down to few of them; convolutions
meet their bias and activation again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Array, Node, Value
from alula.engine.operators.table import operator_of
from alula.engine.passes.known import static_shape
from alula.engine.passes.merge_transposes import join_transposes, moves_nothing, order_of
from alula.engine.passes.normal import NewConstants

_REDUCTIONS = frozenset({"ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"})


@dataclass(frozen=True)
class _Turned:
    """The transposes before a node, their common order, and the operands that are computed otherwise."""

    order: tuple[int, ...]
    nodes: tuple[Node, ...]
    others: tuple[str, ...]

    @property
    def rank(self) -> int:
        """How many axes."""
        return len(self.order)

    def source(self, name: str) -> str:
        """What the transpose that makes `name` reads; the name itself where none does."""
        return next((node.inputs[0] for node in self.nodes if node.output == name), name)


def sink_transposes(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Move the transposes of the operands behind the node; one that meets a transpose is joined with it."""
    if node.domain or len(node.outputs) != 1:
        return None
    if node.op == "Transpose":
        return join_transposes(editor, node)
    turned = _turned(editor, node, shared=node.op in _REDUCTIONS and not _is_centre(editor, node))
    if turned is None:
        return None
    operator = operator_of(node)
    if operator is not None and operator.lower is not None:
        return _elementwise(editor, node, turned)
    if turned.others:
        return None
    if node.op == "Concat":
        return _concat(editor, node, turned)
    if node.op == "Pad":
        return _pad(editor, node, turned)
    return _reduction(editor, node, turned) if node.op in _REDUCTIONS else None


def _turned(editor: GraphEditor, node: Node, *, shared: bool = False) -> _Turned | None:
    """The transposes of the operands; None where there are none, they differ, or others read what they make.

    `shared` ones may have other readers and then stay: a reduction's result is small enough to be transposed besides.
    """
    nodes: dict[str, Node] = {}
    others = []
    orders = set()
    for name in filter(None, node.inputs):
        if editor.constant(name) is not None:
            continue
        producer = editor.producer_of(name)
        order = order_of(editor, producer) if producer is not None else None
        if producer is None or order is None:
            others.append(name)
            continue
        if not shared and _has_other_readers(editor, name, node):
            return None
        nodes[name] = producer
        orders.add(order)
    return _Turned(orders.pop(), tuple(nodes.values()), tuple(others)) if len(orders) == 1 else None


def _is_centre(editor: GraphEditor, mean: Node) -> bool:
    """Whether the value is subtracted, as normalisations do: they are found by what they all read."""
    return any(reader.op == "Sub" for reader in editor.consumers_of(mean.output))


def _has_other_readers(editor: GraphEditor, name: str, node: Node) -> bool:
    return name in editor.outputs or any(reader is not node for reader in editor.consumers_of(name))


def _elementwise(editor: GraphEditor, node: Node, turned: _Turned) -> Rewrite | None:
    """Operands of the full shape, or that broadcast to it: constants, which are turned as well, and gates as views."""
    shape = editor.value(node.output).shape
    if shape is None or len(shape) != turned.rank:
        return None
    # Gates may be transposed beside what they scale; alone, the large result would be transposed in their place.
    if all(editor.value(transpose.output).shape != shape for transpose in turned.nodes):
        return None
    constants = NewConstants(editor, node.output)
    views = {name: _turned_view(editor, name, turned.order, constants) for name in turned.others}
    if not all(views.values()):
        return None
    inputs = []
    for name in node.inputs:
        array = editor.constant(name) if name else None
        view = views.get(name)
        if view is not None:
            inputs.append(view[1].name)
        elif array is None or array.size == 1:
            inputs.append(turned.source(name))
        elif array.ndim > turned.rank:
            return None
        else:
            inputs.append(constants.add(_back(array, turned.order), "turned"))
    moved = _moved(editor, replace(node, inputs=tuple(inputs)), turned, constants, node)
    if moved is None:
        return None
    found = [view for view in views.values() if view is not None]
    before, records = (node for node, _ in found), (value for _, value in found)
    return replace(moved, add=(*before, *moved.add), values=(*moved.values, *records))


def _turned_view(
    editor: GraphEditor, name: str, order: Sequence[int], constants: NewConstants
) -> tuple[Node, Value] | None:
    """A Reshape to the order before the transpose, and its record; for operands in which no element moves by it."""
    shape = static_shape(editor, name)
    if shape is None or len(shape) != len(order):
        return None
    back = [int(axis) for axis in np.argsort(order)]
    if not moves_nothing(shape, back):
        return None
    turned = tuple(shape[axis] for axis in back)
    target = constants.add(np.array(turned, np.int64), "view")
    value = Value(editor.fresh(f"{name}.turned"), editor.value(name).dtype, turned)
    return Node("Reshape", (name, target), (value.name,), MappingProxyType({"allowzero": 0})), value


def _back(array: Array, order: Sequence[int]) -> Array:
    """A constant that broadcasts before the transpose as it did behind it."""
    wide = array.reshape((1,) * (len(order) - array.ndim) + array.shape)
    return wide.transpose(np.argsort(order))


def _concat(editor: GraphEditor, node: Node, turned: _Turned) -> Rewrite | None:
    if any(editor.constant(name) is not None for name in node.inputs):
        return None
    axis = turned.order[node.integer("axis") % turned.rank]
    inputs = tuple(turned.source(name) for name in node.inputs)
    moved = replace(node.with_attributes(axis=axis), inputs=inputs)
    return _moved(editor, moved, turned, NewConstants(editor, node.output), node)


def _pad(editor: GraphEditor, node: Node, turned: _Turned) -> Rewrite | None:
    pads = editor.constant(node.input(1))
    if pads is None or pads.size != 2 * turned.rank or node.input(3):
        return None
    constants = NewConstants(editor, node.output)
    back = np.argsort(turned.order)
    amounts = constants.add(pads.reshape(2, -1)[:, back].reshape(-1), "pads")
    inputs = (turned.source(node.inputs[0]), amounts, *node.inputs[2:])
    return _moved(editor, replace(node, inputs=inputs), turned, constants, node)


def _reduction(editor: GraphEditor, node: Node, turned: _Turned) -> Rewrite | None:
    """Without the axes, no transpose is left if the others stand in their order before and behind it."""
    axes = editor.constant(node.input(1)) if node.input(1) else None
    if axes is None or not axes.size:
        return None
    gone = {int(axis) % turned.rank for axis in axes.reshape(-1)}
    constants = NewConstants(editor, node.output)
    name = constants.add(np.array(sorted(turned.order[axis] for axis in gone), np.int64), "axes")
    moved = replace(node, inputs=(turned.source(node.inputs[0]), name))
    if node.integer("keepdims", 1):
        return _moved(editor, moved, turned, constants, node)
    left = [axis for index, axis in enumerate(turned.order) if index not in gone]
    if left != sorted(left):
        return None
    return Rewrite(drop=_gone(editor, turned, node), add=(moved,), constants=constants.arrays, values=constants.values)


def _moved(editor: GraphEditor, moved: Node, turned: _Turned, constants: NewConstants, node: Node) -> Rewrite | None:
    """The node before the transpose; None where its shape is not known."""
    value = editor.values.get(node.output)
    if value is None or value.shape is None or len(value.shape) != turned.rank:
        return None
    name = editor.fresh(f"{node.output}.turned")
    shape = tuple(value.shape[axis] for axis in np.argsort(turned.order))
    attributes = MappingProxyType({"perm": turned.order})
    add = (replace(moved, outputs=(name,)), Node("Transpose", (name,), node.outputs, attributes))
    values = (*constants.values, Value(name, value.dtype, shape))
    return Rewrite(drop=_gone(editor, turned, node), add=add, constants=constants.arrays, values=values)


def _gone(editor: GraphEditor, turned: _Turned, node: Node) -> tuple[Node, ...]:
    """The node, and the transposes that nobody else reads."""
    alone = (one for one in turned.nodes if not _has_other_readers(editor, one.output, node))
    return (*alone, node)
