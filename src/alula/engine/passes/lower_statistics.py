"""Normalisations whose statistics are shown, or come from the run, as nodes that have kernels.

    y, mean, inverse = LayerNormalization(x, w)       becomes   the same with y alone, and reductions beside it
    BatchNormalization(x, scale, b, mean, variance)   becomes   (x - mean) * (scale / Sqrt(variance + epsilon)) + b

In: a float32 LayerNormalization of several outputs, or a BatchNormalization with computed parameters. Out: as above.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.dims import is_static
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node
from alula.engine.passes.sketch import Sketch

_EPSILON = 1e-5  # ONNX, both operators: the default


def lower_statistics(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Rewrite one node."""
    if node.domain or node.op not in {"LayerNormalization", "BatchNormalization"}:
        return None
    values = [editor.value(name) for name in (*node.inputs, *node.outputs) if name]
    if any(value.dtype is not DType.FLOAT32 or not value.shape or not is_static(value.shape) for value in values):
        return None
    if node.op == "LayerNormalization":
        return _layer_norm(editor, node) if any(node.outputs[1:]) else None
    constant = all(editor.constant(name) is not None for name in node.inputs[1:])
    return None if constant or node.integer("training_mode") else _batch_norm(editor, node)


def _batch_norm(editor: GraphEditor, node: Node) -> Rewrite:
    sketch, x = Sketch(editor, node), node.inputs[0]
    shape = sketch.shape(x)
    column = (shape[1], *(1,) * (len(shape) - 2))
    scale, shift, mean, variance = (sketch.reshape(name, column) for name in node.inputs[1:5])
    bounded = sketch.node("Add", (variance, _number(sketch, node.real("epsilon", _EPSILON))), column)
    factor = sketch.node("Div", (scale, sketch.node("Sqrt", (bounded,), column)), column)
    scaled = sketch.node("Mul", (sketch.node("Sub", (x, mean), shape), factor), shape)
    return sketch.finish(sketch.node("Add", (scaled, shift), shape))


def _layer_norm(editor: GraphEditor, node: Node) -> Rewrite:
    """The first output alone; the others only where somebody wants them."""
    first = replace(node, outputs=node.outputs[:1])
    wanted = {index: name for index, name in enumerate(node.outputs) if index and name and editor.uses_of(name)}
    if not wanted:
        return Rewrite(drop=(node,), add=(first,))
    sketch, x = Sketch(editor, node), node.inputs[0]
    shape = sketch.shape(x)
    rank = len(shape)
    axes = sketch.constant(np.arange(node.integer("axis", -1) % rank, rank))
    column = sketch.shape(next(iter(wanted.values())))
    mean = sketch.node("ReduceMean", (x, axes), column, keepdims=1)
    centred = sketch.node("Sub", (x, mean), shape)
    variance = sketch.node("ReduceMean", (sketch.node("Mul", (centred, centred), shape), axes), column, keepdims=1)
    bounded = sketch.node("Add", (variance, _number(sketch, node.real("epsilon", _EPSILON))), column)
    root = sketch.node("Sqrt", (bounded,), column)
    inverse = sketch.node("Div", (_number(sketch, 1.0), root), column)
    rewrite = sketch.finish(inverse)
    names = {mean: wanted.get(1, mean), node.output: wanted.get(2, inverse)}
    made = tuple(_renamed(one, names) for one in rewrite.add)
    return replace(rewrite, add=(first, *made))


def _renamed(node: Node, names: dict[str, str]) -> Node:
    inputs, outputs = (tuple(names.get(name, name) for name in side) for side in (node.inputs, node.outputs))
    return Node(node.op, inputs, outputs, MappingProxyType(dict(node.attributes)), node.name, node.domain)


def _number(sketch: Sketch, value: float) -> str:
    return sketch.constant(np.asarray(value, np.float32))
