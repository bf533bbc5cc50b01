"""Windows over one axis are windows over two, the other of which is 1.

    FusedConv(x[N, C, L], #w[M, C, k])   becomes   Reshape(FusedConv(Reshape(x)[N, C, 1, L], #w[M, C, 1, k]))

In: a convolution or pool of rank 3 with static shapes. Out: one of rank 4 between views, which neighbours undo.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import INTERNAL, Node
from alula.engine.passes.known import are_float32
from alula.engine.passes.sketch import Sketch

_RANK = 3
_WEIGHTED = frozenset({(INTERNAL, "FusedConv"), (INTERNAL, "FusedConvTranspose")})
_LIFTED = _WEIGHTED | {("", op) for op in ("MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool")}
# What each list of one axis becomes: a number in front for the axis of 1.
_FIRST = {"kernel_shape": 1, "strides": 1, "dilations": 1, "output_padding": 0}


def lift_lines(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Rewrite one node."""
    if node.kind not in _LIFTED or any(node.outputs[1:]) or not are_float32(editor, _pixels(node), _RANK):
        return None
    sketch = Sketch(editor, node)
    inputs = [_lifted(sketch, node.inputs[0])]
    if node.kind in _WEIGHTED:
        weights = editor.constant(node.inputs[1])
        if weights is None:
            return None
        inputs += [sketch.constant(weights[:, :, None]), node.input(2)]
        inputs += [_lifted(sketch, extra) for extra in node.inputs[3:]]
    batch, channels, length = sketch.shape(node.output)
    y = sketch.node(node.op, inputs, (batch, channels, 1, length), node.domain, **_attributes(node))
    return sketch.finish(sketch.reshape(y, (batch, channels, length)))


def _pixels(node: Node) -> tuple[str, ...]:
    """The values that have the spatial axes: all but weights and bias."""
    return (node.inputs[0], *node.inputs[3:], node.output)


def _lifted(sketch: Sketch, name: str) -> str:
    batch, channels, length = sketch.shape(name)
    return sketch.reshape(name, (batch, channels, 1, length))


def _attributes(node: Node) -> Mapping[str, Any]:
    found: dict[str, Any] = dict(node.attributes)
    for name, first in _FIRST.items():
        if node.ints(name):
            found[name] = (first, *node.ints(name))
    if node.ints("pads"):
        before, after = node.ints("pads")
        found["pads"] = (0, before, 0, after)
    return found
