"""RMSNormalization put together again.

    x -> Pow(#2) -> ReduceMean -> Add(#e) -> Sqrt -> Div(x, .) -> Mul(#s)   becomes   x -> RMSNormalization(#s)

In: the division, then the product behind it. Out: one normalisation over the last axes.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import numpy as np

from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Attribute, Node
from alula.engine.graph.numpy_dtypes import numpy_dtype
from alula.engine.operators.table import operator_named
from alula.engine.passes.known import static_shape
from alula.engine.passes.match import Match, Some, find, keeps_shape
from alula.engine.passes.normal import NewConstants, along, axes_of_mean, mean_of, over_root, squared

_X = Some("x")
# Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019.
_SPELLINGS = over_root(_X, mean_of(squared(_X), "energy"))
_NAME = "RMSNormalization"


def fuse_rms_norm(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Replace the fragment that ends here, or take a factor into the normalisation before it."""
    if node.domain or node.op not in {"Div", "Mul"} or operator_named("", _NAME) is None:
        return None
    match = find(editor, node, _SPELLINGS)
    if match is not None:
        return _normalised(editor, node, match)
    return _scaled(editor, node) if node.op == "Mul" else None


def _normalised(editor: GraphEditor, node: Node, match: Match) -> Rewrite | None:
    x = match.values["x"]
    shape = static_shape(editor, x)
    if shape is None or not keeps_shape(editor, x, node.output):
        return None
    axes = axes_of_mean(editor, match.named["energy"], len(shape))
    if axes is None or axes != tuple(range(len(shape) - len(axes), len(shape))):
        return None
    constants = NewConstants(editor, node.output)
    ones = constants.add(np.ones(shape[axes[0] :], numpy_dtype(editor.value(x).dtype)), "scale")
    attributes: dict[str, Attribute] = {"axis": -len(axes), "epsilon": match.numbers["epsilon"]}
    norm = Node(_NAME, (x, ones), (node.output,), MappingProxyType(attributes), node.name)
    return Rewrite(drop=match.nodes, add=(norm,), constants=constants.arrays, values=constants.values)


def _scaled(editor: GraphEditor, node: Node) -> Rewrite | None:
    for side in (0, 1):
        norm, name = editor.producer_of(node.inputs[side]), node.inputs[1 - side]
        shape = static_shape(editor, node.output)
        if norm is None or norm.kind != ("", _NAME) or shape is None or editor.uses_of(norm.output) != 1:
            continue
        scale = editor.constant(norm.inputs[1])
        first = norm.integer("axis", -1) % len(shape)
        array = along(editor.constant(name), len(shape), tuple(range(first, len(shape))), shape[first:])
        if scale is None or array is None or not keeps_shape(editor, norm.output, node.output):
            continue
        constants = NewConstants(editor, node.output)
        inputs = (norm.inputs[0], constants.add(scale * array, "scale"))
        merged = replace(norm, inputs=inputs, outputs=node.outputs)
        return Rewrite(drop=(norm, node), add=(merged,), constants=constants.arrays, values=constants.values)
    return None
