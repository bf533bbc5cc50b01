"""Casts that undo each other, or that come to the same in one.

    x int32 -> Cast int64 -> Cast int32        becomes   x
    x uint8 -> Cast int32 -> Cast float32      becomes   x -> Cast float32

In: a Cast behind a Cast to a type that holds every number of the first one's input. Out: at most one of them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node
from alula.engine.passes.drop_identity import bypass

_CAST = ("", "Cast")
# Types whose conversions numpy describes exactly; between the narrow floats more than rounding is to be said.
_PLAIN = frozenset(
    {
        DType.BOOL, DType.INT8, DType.INT16, DType.INT32, DType.INT64, DType.UINT8, DType.UINT16, DType.UINT32,
        DType.UINT64, DType.FLOAT16, DType.FLOAT32, DType.FLOAT64,
    }
)  # fmt: skip


def drop_casts(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Read what the Cast before reads, if nothing was lost there."""
    if node.kind != _CAST:
        return None
    source, result = editor.values.get(node.inputs[0]), editor.values.get(node.output)
    if source is None or result is None:
        return None
    if source.dtype is result.dtype:
        return bypass(editor, node)
    first = editor.producer_of(node.inputs[0])
    origin = editor.values.get(first.inputs[0]) if first is not None and first.kind == _CAST else None
    if first is None or origin is None or not {origin.dtype, source.dtype, result.dtype} <= _PLAIN:
        return None
    if not np.can_cast(np.dtype(origin.dtype.value), np.dtype(source.dtype.value), "safe") or _rounds(origin.dtype):
        return None
    gone = (first, node) if editor.uses_of(first.output) == 1 else (node,)
    if origin.dtype is result.dtype:
        if node.output in editor.outputs:
            return None
        return Rewrite(drop=gone, rename={node.output: first.inputs[0]})
    return Rewrite(drop=gone, add=(replace(node, inputs=(first.inputs[0],)),))


def _rounds(dtype: DType) -> bool:
    """Whether numpy calls a conversion to a float safe that is not: float64 holds no 64 bits of integer."""
    return dtype in {DType.INT64, DType.UINT64}
