"""Channels dealt out like cards, as ShuffleNet does between groups.

    x[N, C, H, W] -> Reshape [N, g, C/g, H, W] -> Transpose(0, 2, 1, 3, 4) -> Reshape [N, C, H, W]
    becomes   ShuffleChannels(x) {groups=g}

In: the second Reshape, static shapes. Out: one node that stays in blocks.
"""

from __future__ import annotations

from types import MappingProxyType

from alula.engine.graph.dims import is_static
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import INTERNAL, Node
from alula.engine.operators.common import known

_RANK = 4
_PERM = (0, 2, 1, 3, 4)


def fuse_channel_shuffle(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Rewrite one second Reshape."""
    if node.kind != ("", "Reshape"):
        return None
    turn = editor.producer_of(node.inputs[0])
    if turn is None or turn.kind != ("", "Transpose") or turn.ints("perm") != _PERM:
        return None
    part = editor.producer_of(turn.inputs[0])
    if part is None or part.kind != ("", "Reshape") or any(editor.uses_of(n.output) != 1 for n in (turn, part)):
        return None
    before, parts, after = (editor.value(name).shape for name in (part.inputs[0], part.output, node.output))
    if before is None or parts is None or len(before) != _RANK or not is_static(before) or before != after:
        return None
    if len(parts) != len(_PERM) or (parts[0], *parts[3:]) != (before[0], *before[2:]):
        return None
    attributes = MappingProxyType({"groups": known(parts[1])})
    shuffle = Node("ShuffleChannels", (part.inputs[0],), node.outputs, attributes, node.name, INTERNAL)
    return Rewrite(drop=(part, turn, node), add=(shuffle,))
