"""Resampling of volumes as that of pictures, twice.

    Resize(x[N, C, D, H, W])   becomes   Resize of H and W, then Resize of D over [N, C, D, H W]

In: a float32 Resize of rank 5 whose numbers are constant. Out: two of which a kernel runs each.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import is_static
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Array, Node
from alula.engine.passes.sketch import Sketch

_RANK = 5


def split_resize(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Rewrite one node."""
    if node.kind != ("", "Resize") or node.ints("axes") or node.input(1):
        return None
    before, after = editor.value(node.inputs[0]), editor.value(node.output).shape
    if before.dtype is not DType.FLOAT32 or before.shape is None or after is None:
        return None
    if len(before.shape) != _RANK or not is_static(before.shape) or not is_static(after):
        return None
    if before.shape[:2] != after[:2] or node.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        return None
    place = 3 if node.input(3) else 2
    numbers = editor.constant(node.input(place))
    if numbers is None or numbers.size != _RANK:
        return None
    return _split(Sketch(editor, node), node, numbers, place)


def _split(sketch: Sketch, node: Node, numbers: Array, place: int) -> Rewrite:
    n, c, depth = sketch.shape(node.inputs[0])[:3]
    planes, height, width = sketch.shape(node.output)[2:]
    is_scale = node.input(3) == ""
    unchanged = np.asarray([1, 1, 1, 1] if is_scale else [n, c, depth, height * width])
    attributes: dict[str, Any] = dict(node.attributes)

    def resized(name: str, sizes: Array, shape: tuple[int, ...]) -> str:
        inputs = (name, *("",) * (place - 1), sketch.constant(sizes.astype(numbers.dtype)))
        return sketch.node("Resize", inputs, shape, **attributes)

    wide = np.concatenate([unchanged[:3], numbers[3:]])
    deep = np.concatenate([unchanged[:2], numbers[2:3], unchanged[3:]])
    flat = resized(node.inputs[0], wide, (n, c, depth, height, width))
    y = resized(sketch.reshape(flat, (n, c, depth, height * width)), deep, (n, c, planes, height * width))
    return sketch.finish(sketch.reshape(y, (n, c, planes, height, width)))
