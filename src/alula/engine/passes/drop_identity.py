"""Nodes that change nothing go.

    x -> Dropout -> Cast to the same dtype -> Reshape to the same shape -> Relu   becomes   x -> Relu

In: a node. Out: a rewrite in which its readers read its input. Names of the model's outputs stay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from alula.engine.graph.dims import is_static
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node


def drop_identity(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Bypass the node if what it makes is its first input."""
    test = None if node.domain else _TESTS.get(node.op)
    if test is None or not test(editor, node):
        return None
    return bypass(editor, node)


def bypass(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Let readers of a node's first and only output read its first input; None where the model's outputs need it."""
    source, result = node.inputs[0], node.output
    if not result or any(node.outputs[1:]):
        return None
    # An output of the model must be made by a node of its own.
    if result in editor.outputs and (editor.producer_of(source) is None or source in editor.outputs):
        return None
    return Rewrite(drop=(node,), rename={result: source})


def _always(editor: GraphEditor, node: Node) -> bool:
    del editor, node
    return True


def _inference(editor: GraphEditor, node: Node) -> bool:
    """Training is off: not said, or said by a constant."""
    training = editor.constant(node.input(2)) if node.input(2) else None
    return not node.input(2) or (training is not None and not training.any())


def _same_dtype(editor: GraphEditor, node: Node) -> bool:
    source, result = editor.values.get(node.inputs[0]), editor.values.get(node.output)
    return source is not None and result is not None and source.dtype is result.dtype


def _same_shape(editor: GraphEditor, node: Node) -> bool:
    source, result = editor.value(node.inputs[0]).shape, editor.value(node.output).shape
    return source is not None and is_static(source) and source == result


def _same_order(editor: GraphEditor, node: Node) -> bool:
    rank = len(editor.value(node.output).shape or (0, 0))
    order = node.ints("perm", tuple(reversed(range(rank))))
    return order == tuple(range(len(order)))


def _one_input(editor: GraphEditor, node: Node) -> bool:
    del editor
    return len(node.inputs) == 1


def _no_border(editor: GraphEditor, node: Node) -> bool:
    """All zero: equal shapes are not enough, since a border may be cut off at the other end."""
    pads = editor.constant(node.inputs[1])
    return pads is not None and not pads.any()


def _whole(editor: GraphEditor, node: Node) -> bool:
    """Equal shapes, and forward steps."""
    steps = editor.constant(node.input(4)) if node.input(4) else None
    forward = not node.input(4) or (steps is not None and bool((steps > 0).all()))
    return forward and _same_shape(editor, node)


_TESTS: Mapping[str, Callable[[GraphEditor, Node], bool]] = MappingProxyType(
    {
        "Identity": _always,
        "Dropout": _inference,
        "Cast": _same_dtype,
        "Transpose": _same_order,
        "Reshape": _same_shape,
        "Flatten": _same_shape,
        "Squeeze": _same_shape,
        "Unsqueeze": _same_shape,
        "Expand": _same_shape,
        "Tile": _same_shape,
        "Slice": _whole,
        "Pad": _no_border,
        "Concat": _one_input,
        "Sum": _one_input,
        "Max": _one_input,
        "Min": _one_input,
        "Mean": _one_input,
    }
)
