"""Parts that are put together as they were go.

    x -> Split -> a, b, c -> Concat(a, b, c)   becomes   x

In: a Concat of all outputs of one Split, in their order and along its axis. Out: its readers read the Split's input.
"""

from __future__ import annotations

from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node


def drop_split_concat(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Bypass both; the Split stays where its parts have other readers."""
    if node.kind != ("", "Concat") or node.output in editor.outputs:
        return None
    split = editor.producer_of(node.inputs[0])
    if split is None or split.kind != ("", "Split") or split.outputs != node.inputs:
        return None
    shape = editor.value(split.inputs[0]).shape
    rank = len(shape or ())
    # Parts that nobody reads have no names: then the joined ones are not the whole.
    if (
        not rank
        or shape != editor.value(node.output).shape
        or split.integer("axis") % rank != node.integer("axis") % rank
    ):
        return None
    unread = all(editor.uses_of(name) == 1 for name in split.outputs)
    return Rewrite(drop=(split, node) if unread else (node,), rename={node.output: split.inputs[0]})
