"""Padding as an attribute of what follows.

    x -> Pad {0} -> Conv {pads=(0, 0, 0, 0)}   becomes   x -> Conv {pads=(1, 1, 1, 1)}

In: a Conv, MaxPool or AveragePool behind a Pad with constant amounts. Out: the node with larger `pads`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node

_POOLS = frozenset({"MaxPool", "AveragePool"})


def fold_pads(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Take over the border if the node's own padding means the same."""
    if node.domain or (node.op != "Conv" and node.op not in _POOLS) or node.text("auto_pad", "NOTSET") != "NOTSET":
        return None
    pad = editor.producer_of(node.inputs[0])
    if pad is None or pad.kind != ("", "Pad") or pad.text("mode", "constant") != "constant":
        return None
    border = _border(editor, pad)
    if border is None or not _means_the_same(editor, node, pad):
        return None
    rank = len(border) // 2
    own = node.ints("pads") or (0,) * len(border)
    pads = tuple(mine + more for mine, more in zip(own, border, strict=True))
    if node.op in _POOLS and not _touches_all(node, pads, rank):
        return None
    wider = replace(node.with_attributes(pads=pads), inputs=(pad.inputs[0], *node.inputs[1:]))
    if node.op == "AveragePool":
        wider = wider.with_attributes(count_include_pad=1)
    gone = (pad, node) if editor.uses_of(pad.output) == 1 else (node,)
    return Rewrite(drop=gone, add=(wider,))


def _border(editor: GraphEditor, pad: Node) -> tuple[int, ...] | None:
    """Amounts for the spatial axes, all begins and then all ends; None where others are padded, or some are cut."""
    shape, amounts = editor.value(pad.inputs[0]).shape, editor.constant(pad.inputs[1])
    if shape is None or len(shape) < 3 or amounts is None:  # noqa: PLR2004  batch, channels, one spatial axis
        return None
    axes: Sequence[int] = range(len(shape))
    if pad.input(3):
        given = editor.constant(pad.input(3))
        if given is None:
            return None
        axes = [int(axis) % len(shape) for axis in given]
    both = np.zeros((2, len(shape)), np.int64)
    both[:, axes] = np.asarray(amounts).reshape(2, len(axes))
    if (both < 0).any() or both[:, :2].any():
        return None
    return tuple(int(amount) for amount in both[:, 2:].reshape(-1))


def _means_the_same(editor: GraphEditor, node: Node, pad: Node) -> bool:
    fill = 0.0
    if pad.input(2):
        given = editor.constant(pad.input(2))
        if given is None:
            return False
        fill = float(given.reshape(()))
    if node.op == "Conv":
        return fill == 0
    if node.integer("ceil_mode") or len([name for name in node.outputs if name]) > 1:
        return False  # where windows hang over, and positions, count from the padded input
    if node.op == "MaxPool":
        return fill == -np.inf
    return fill == 0 and (not any(node.ints("pads")) or bool(node.integer("count_include_pad")))


def _touches_all(node: Node, pads: tuple[int, ...], rank: int) -> bool:
    """Whether every window of a pool still covers an element of its input, as ONNX wants."""
    kernel = node.ints("kernel_shape")
    return all(max(pads[axis], pads[axis + rank]) < kernel[axis] for axis in range(rank))
