"""Transposed convolutions over three axes by those over two.

    FusedConvTranspose 3-D   becomes   for each phase of the planes a FusedConvTranspose over neighbours as channels

In: a FusedConvTranspose of rank 5 with static shapes. Out: nodes of rank 4, their planes interleaved.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from alula.engine.graph.formula import IDENTITY
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import INTERNAL, Array, Node
from alula.engine.operators.phases import Phase, phases_of, zeros_around
from alula.engine.passes.lower_volumes import PLANES_FIRST, is_volume, neighbours, padded_planes
from alula.engine.passes.sketch import Sketch

_RANK = 5


def lower_transposed_volumes(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Rewrite one node; where phases have no taps or differ in size it stays for the reference."""
    weights = editor.constant(node.input(1))
    if node.kind != (INTERNAL, "FusedConvTranspose") or weights is None or weights.ndim != _RANK:
        return None
    if not is_volume(editor, node):
        return None
    sketch = Sketch(editor, node)
    planes, stride = sketch.shape(node.output)[2], node.ints("strides")[0]
    phases = phases_of(planes, weights.shape[2], stride, node.ints("dilations")[0], node.ints("pads")[0])
    if planes % stride or not all(phase.taps for phase in phases):
        return None
    return _interleaved(sketch, node, weights, sorted(phases, key=lambda phase: phase.first))


def _interleaved(sketch: Sketch, node: Node, weights: Array, phases: list[Phase]) -> Rewrite:
    n, channels, planes, rows, columns = sketch.shape(node.output)
    before, after = zeros_around(phases, sketch.shape(node.inputs[0])[2])
    x = padded_planes(sketch, node.inputs[0], (before, after))
    shape = (n, planes // len(phases), 1, channels, rows, columns)
    parts = [sketch.reshape(_phase(sketch, node, weights, (x, before, phase)), shape) for phase in phases]
    joined = parts[0]
    if len(parts) > 1:
        joined = sketch.node("Concat", parts, (*shape[:2], len(parts), *shape[3:]), axis=2)
    y = sketch.transpose(sketch.reshape(joined, (n, planes, channels, rows, columns)), PLANES_FIRST)
    if node.formula("epilogue") != IDENTITY:
        inputs = (y, *node.inputs[3:])
        y = sketch.node("Elementwise", inputs, sketch.shape(node.output), INTERNAL, formula=node.formula("epilogue"))
    return sketch.finish(y)


def _phase(sketch: Sketch, node: Node, weights: Array, part: tuple[str, int, Phase]) -> str:
    """Every `stride`-th output plane, as [N planes, M, H, W]."""
    x, before, phase = part
    n, channels, _, rows, columns = sketch.shape(node.output)
    groups = node.integer("group", 1)
    starts = [phase.read + before + tap * phase.dilation for tap in range(len(phase.taps))]
    flat = neighbours(sketch, x, starts, (phase.count, 1), groups)
    inputs, outputs, _, *kernel = weights.shape
    taken = weights[:, :, list(phase.taps)].reshape(groups, inputs // groups, outputs, len(phase.taps), *kernel)
    turned = np.moveaxis(taken, 3, 1).reshape(len(phase.taps) * inputs, outputs, *kernel)
    pads = node.ints("pads")
    attributes: dict[str, Any] = {
        "kernel_shape": tuple(kernel),
        "strides": node.ints("strides")[1:],
        "dilations": node.ints("dilations")[1:],
        "pads": (*pads[1:3], *pads[4:]),
        "output_padding": node.ints("output_padding")[1:],
        "group": groups,
        "epilogue": IDENTITY,
    }
    names = (flat, sketch.constant(turned), node.input(2))
    return sketch.node("FusedConvTranspose", names, (n * phase.count, channels, rows, columns), INTERNAL, **attributes)
