"""Dropout outside of training, where it keeps everything.

    Dropout(x, ratio) -> y, mask   becomes   y: x, mask: #ones

In: a Dropout of static shape whose training mode is off, or whose ratio is 0, as constants. Out: no node.
"""

from __future__ import annotations

import numpy as np

from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node
from alula.engine.passes.known import static_shape
from alula.engine.passes.sketch import Sketch

_RATIO, _TRAINING = 1, 2


def lower_dropout(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Let readers read the input, and the mask be a constant."""
    shape = static_shape(editor, node.inputs[0]) if node.kind == ("", "Dropout") else None
    if shape is None or not any(node.outputs) or not _keeps_all(editor, node):
        return None
    at, outputs = Sketch(editor, node), (*node.outputs, "")
    results = {outputs[0]: node.inputs[0]} if outputs[0] else {}
    if outputs[1]:
        results[outputs[1]] = at.constant(np.ones(shape, np.bool_))
    return at.finish_all(results)


def _keeps_all(editor: GraphEditor, node: Node) -> bool:
    """Whether nothing can be left out: no training, or with probability 0."""
    training = editor.constant(node.input(_TRAINING)) if node.input(_TRAINING) else np.zeros((), np.bool_)
    ratio = editor.constant(node.input(_RATIO)) if node.input(_RATIO) else None
    return (training is not None and not training.any()) or (ratio is not None and not ratio.any())
