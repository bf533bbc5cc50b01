"""A mean or maximum over rows and columns becomes the pooling that it is, which runs on channels in blocks.

    ReduceMean(x, [2, 3])                 becomes   GlobalAveragePool(x)
    ReduceMax(x, [-2, -1]) {keepdims=0}   becomes   GlobalMaxPool(x) -> Flatten

In: a float32 reduction of [N, C, H, W] with constant axes. Out: a pooling, flattened where the axes are to go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from alula.base.tensors import DType
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node, Value

_POOLS: Mapping[tuple[str, str], str] = MappingProxyType(
    {("", "ReduceMean"): "GlobalAveragePool", ("", "ReduceMax"): "GlobalMaxPool"}
)
_PICTURE = 4
_SPACE = {2, 3}


def reduce_to_global_pool(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Rewrite one reduction."""
    axes = editor.constant(node.input(1)) if node.input(1) else None
    if node.kind not in _POOLS or axes is None:
        return None
    x = editor.value(node.inputs[0])
    if x.dtype is not DType.FLOAT32 or x.shape is None or len(x.shape) != _PICTURE or 0 in x.shape:
        return None
    if {int(axis) % _PICTURE for axis in axes.reshape(-1)} != _SPACE:
        return None
    pool = replace(node, op=_POOLS[node.kind], inputs=node.inputs[:1], attributes=MappingProxyType({}))
    if node.integer("keepdims", 1):
        return Rewrite(drop=(node,), add=(pool,))
    map_ = editor.fresh(f"{node.output}.map")
    flatten = Node("Flatten", (map_,), node.outputs, MappingProxyType({"axis": 1}), f"{node.label}.flatten")
    value = Value(map_, x.dtype, (*x.shape[:2], 1, 1))
    return Rewrite(drop=(node,), add=(replace(pool, outputs=(map_,)), flatten), values=(value,))
