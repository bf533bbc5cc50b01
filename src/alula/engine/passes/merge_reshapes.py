"""Changes of shape one after another become one.

    x [1, 8, 1, 1] -> Squeeze -> Flatten -> Unsqueeze -> y [1, 8, 1]   becomes   x -> Reshape (1, 8, 1) -> y
    x [2, 3] -> Unsqueeze -> Squeeze -> y [2, 3]                       becomes   x, read in the place of y

In: a Reshape, Flatten, Squeeze or Unsqueeze behind another. Out: a Reshape to numbers, or nothing.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import Shape
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node, Value

_VIEWS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})


def merge_reshapes(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Read what the change of shape before reads; that one goes if nobody else reads it."""
    if not is_view(node):
        return None
    first = editor.producer_of(node.inputs[0])
    shape = editor.value(node.output).shape
    if first is None or not is_view(first) or shape is None:
        return None
    gone = (first, node) if editor.uses_of(first.output) == 1 else (node,)
    source = first.inputs[0]
    if editor.value(source).shape == shape and node.output not in editor.outputs:
        return Rewrite(drop=gone, rename={node.output: source})
    return reshape(editor, node, source, gone)


def is_view(node: Node) -> bool:
    """Whether a node only says another shape for the same elements in the same order."""
    return not node.domain and node.op in _VIEWS


def reshape(editor: GraphEditor, node: Node, source: str, gone: tuple[Node, ...]) -> Rewrite | None:
    """A Reshape of `source` in the place of `node`; None where its shape cannot be written as numbers."""
    shape = editor.value(node.output).shape
    target = None if shape is None else _numbers(shape)
    if target is None:
        return None
    name = editor.fresh(f"{node.output}.shape")
    attributes = MappingProxyType({"allowzero": 0})
    made = Node("Reshape", (source, name), node.outputs[:1], attributes, node.name)
    values = (Value(name, DType.INT64, (len(target),)),)
    return Rewrite(drop=gone, add=(made,), constants={name: np.array(target, np.int64)}, values=values)


def _numbers(shape: Shape) -> list[int] | None:
    """The shape with -1 for one unknown; None for more, and where 0 elements would be read as "copy this axis"."""
    if 0 in shape or sum(not isinstance(dim, int) for dim in shape) > 1:
        return None
    return [dim if isinstance(dim, int) else -1 for dim in shape]
