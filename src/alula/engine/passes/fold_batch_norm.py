"""Normalisation by stored statistics is a factor and a term for each channel.

    x -> Conv(#w, #b) -> BatchNormalization   becomes   x -> Conv(#w * scale, #b * scale + shift)
    x -> BatchNormalization                   becomes   x -> Elementwise <x * scale + shift>

In: a BatchNormalization with constant parameters. Out: a rewrite without it.
"""

from __future__ import annotations

import numpy as np

from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node
from alula.engine.passes.affine import Affine, affine_node, channels_of, fold_affine

_EPSILON = 1e-5  # ONNX, BatchNormalization: the default


def fold_batch_norm(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Work the statistics into the producer's constants, or into a formula where there is no such producer."""
    if node.kind != ("", "BatchNormalization") or node.integer("training_mode"):
        return None
    channels = channels_of(editor, node.inputs[0])
    affine = _affine(editor, node)
    if affine is None or channels != len(affine.scale):
        return None
    return fold_affine(editor, node, affine) or affine_node(editor, node, affine)


def _affine(editor: GraphEditor, node: Node) -> Affine | None:
    """(x - mean) / sqrt(variance + epsilon) * scale + shift, in float64."""
    arrays = [editor.constant(name) for name in node.inputs[1:5]]
    wide = [array.astype(np.float64) for array in arrays if array is not None]
    if len(wide) != 4:  # noqa: PLR2004  scale, shift, mean, variance
        return None
    scale, shift, mean, variance = wide
    with np.errstate(all="ignore"):
        factor = scale / np.sqrt(variance + node.real("epsilon", _EPSILON))
        return Affine(factor, shift - mean * factor)
