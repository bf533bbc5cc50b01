"""A grid of coordinates is a matrix product.

    AffineGrid(theta[N, 2, 3], #size)   becomes   Reshape(MatMul(#points[1, H W, 3], Transpose(theta)))

In: an AffineGrid with constant size and static shapes. Out: nodes that have kernels.
"""

from __future__ import annotations

import math

from alula.base.tensors import DType
from alula.engine.graph.dims import is_static, static
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node
from alula.engine.operators.grid import grid_points
from alula.engine.passes.sketch import Sketch

# The grid is a constant of the plan.
_MOST_ELEMENTS = 1 << 24


def lower_affine_grid(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Rewrite one node."""
    if node.kind != ("", "AffineGrid") or editor.constant(node.inputs[0]) is not None:
        return None
    theta, shape = editor.value(node.inputs[0]), editor.value(node.output).shape
    if editor.constant(node.inputs[1]) is None or theta.dtype is not DType.FLOAT32:
        return None
    if shape is None or not is_static(shape) or not 0 < math.prod(static(shape)) <= _MOST_ELEMENTS:
        return None
    batch, *sizes, rank = static(shape)
    sketch = Sketch(editor, node)
    points = sketch.constant(grid_points(tuple(sizes), node.integer("align_corners"))[None])
    turned = sketch.transpose(node.inputs[0], (0, 2, 1))
    product = sketch.node("MatMul", (points, turned), (batch, math.prod(sizes), rank))
    return sketch.finish(sketch.reshape(product, static(shape)))
