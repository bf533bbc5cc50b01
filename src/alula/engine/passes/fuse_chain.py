"""Formulas one after another become one formula, so that the values between are never stored.

    x -> Elementwise <r0 + 3> -> Elementwise <max(r0, 0)>   becomes   x -> Elementwise <max(r0 + 3, 0)>

In: an Elementwise. Out: the same with one of its producers merged in.
"""

from __future__ import annotations

from dataclasses import replace

from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import INTERNAL, Node
from alula.engine.passes.compose import Applied, compose

# A loop needs a pointer for each input and registers for what is alive; beyond these it would spill both.
MOST_INPUTS = 8
MOST_STEPS = 32
ELEMENTWISE = (INTERNAL, "Elementwise")


def fuse_chain(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Merge the first producer that fits; no element may be computed twice because of it."""
    if (
        node.kind != ELEMENTWISE
        or len(node.inputs) > MOST_INPUTS + 1
        or len(node.formula("formula").steps) > MOST_STEPS
    ):
        return None
    shape = editor.value(node.output).shape
    for name in node.inputs:
        producer = editor.producer_of(name)
        if producer is None or producer.kind != ELEMENTWISE or editor.uses_of(name) != 1:
            continue
        if shape is None or editor.value(name).shape != shape:
            continue
        merged = compose(applied(node), name, applied(producer))
        if len(merged.names) <= MOST_INPUTS and len(merged.formula.steps) <= MOST_STEPS:
            fused = replace(node.with_attributes(formula=merged.formula), inputs=merged.names)
            return Rewrite(drop=(producer, node), add=(fused,))
    return None


def applied(node: Node) -> Applied:
    """The formula of an Elementwise with its inputs."""
    return Applied(node.formula("formula"), node.inputs)
