"""GroupNormalization put together again.

    x -> Reshape [N, G, -1] -> InstanceNormalization -> Reshape [N, C, H, W] -> Mul(#[C, 1, 1]) -> Add(#[C, 1, 1])
    becomes   x -> GroupNormalization {num_groups=G} (#scale, #shift)

In: the second Reshape, then the product and the sum behind it. Out: one normalisation.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import numpy as np

from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Attribute, Node
from alula.engine.operators.table import operator_named
from alula.engine.passes.known import static_shape
from alula.engine.passes.match import Fixed, Some, find, keeps_shape, made
from alula.engine.passes.normal import NewConstants, along

_SPELLINGS = (
    made(
        "Reshape",
        made(
            "InstanceNormalization",
            made("Reshape", Some("x"), Fixed("groups"), name="grouped"),
            Fixed("scale"),
            Fixed("shift"),
            name="norm",
        ),
        Fixed("shape"),
    ),
)
_NAME = "GroupNormalization"
_EPSILON = 1e-5  # ONNX, InstanceNormalization: the default
_CHANNELS = (1,)


def fuse_group_norm(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Replace the fragment that ends here, or take a factor or a term into the normalisation before it."""
    if node.domain or node.op not in {"Reshape", "Mul", "Add"} or operator_named("", _NAME) is None:
        return None
    return _normalised(editor, node) if node.op == "Reshape" else _affine(editor, node)


def _normalised(editor: GraphEditor, node: Node) -> Rewrite | None:
    match = find(editor, node, _SPELLINGS)
    if match is None or not keeps_shape(editor, match.values["x"], node.output):
        return None
    x, norm = match.values["x"], match.named["norm"]
    shape, grouped = static_shape(editor, x), static_shape(editor, match.named["grouped"].output)
    if shape is None or grouped is None or min(len(shape), len(grouped)) < 3:  # noqa: PLR2004  batch, channels, pixels
        return None
    groups = grouped[1]
    if grouped[0] != shape[0] or shape[1] % groups:
        return None
    constants = NewConstants(editor, node.output)
    names = []
    for part in ("scale", "shift"):
        array = editor.constants[match.values[part]]
        names.append(constants.add(np.repeat(array, shape[1] // groups), part))
    attributes: dict[str, Attribute] = {"num_groups": groups, "epsilon": norm.real("epsilon", _EPSILON)}
    fused = Node(_NAME, (x, *names), (node.output,), MappingProxyType(attributes), norm.name)
    return Rewrite(drop=match.nodes, add=(fused,), constants=constants.arrays, values=constants.values)


def _affine(editor: GraphEditor, node: Node) -> Rewrite | None:
    shape = static_shape(editor, node.output)
    for side in (0, 1):
        norm = editor.producer_of(node.inputs[side])
        if norm is None or norm.kind != ("", _NAME) or shape is None or editor.uses_of(norm.output) != 1:
            continue
        array = along(editor.constant(node.inputs[1 - side]), len(shape), _CHANNELS, shape[1:2])
        scale, shift = editor.constant(norm.inputs[1]), editor.constant(norm.inputs[2])
        if array is None or scale is None or shift is None or not keeps_shape(editor, norm.output, node.output):
            continue
        constants = NewConstants(editor, node.output)
        if node.op == "Mul":
            names = (constants.add(scale * array, "scale"), constants.add(shift * array, "shift"))
        else:
            names = (norm.inputs[1], constants.add(shift + array, "shift"))
        merged = replace(norm, inputs=(norm.inputs[0], *names), outputs=node.outputs)
        return Rewrite(drop=(norm, node), add=(merged,), constants=constants.arrays, values=constants.values)
    return None
