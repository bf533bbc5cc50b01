"""What is known of values when a pass looks at them: shapes in numbers, and element types.

In: an editor and names of values. Out: shapes and answers; where nothing is known, the pass lets the node be.
"""

from __future__ import annotations

from collections.abc import Iterable

from alula.base.tensors import DType
from alula.engine.graph.dims import is_static, static
from alula.engine.graph.graph import GraphEditor


def static_shape(editor: GraphEditor, name: str) -> tuple[int, ...] | None:
    """The shape of a value in numbers; None where it is not known, or where it is empty."""
    value = editor.values.get(name)
    if value is None or value.shape is None or not is_static(value.shape) or 0 in value.shape:
        return None
    return static(value.shape)


def are_float32(editor: GraphEditor, names: Iterable[str], rank: int | None = None) -> bool:
    """Whether values are float32 of known shapes that are not empty, of `rank` axes where that is asked for."""
    for name in names:
        shape = static_shape(editor, name)
        if shape is None or editor.value(name).dtype is not DType.FLOAT32 or rank not in (None, len(shape)):
            return False
    return True
