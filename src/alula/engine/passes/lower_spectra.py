"""Fourier transforms of known lengths, as products with tables.

    DFT(x [batch, 400, 1]) {onesided=1}   becomes   MatMul(x [batch, 400], #table [400, 201 * 2])
    STFT(x, #step, #window)               becomes   MatMul(Gather(x, #frames), #window * #table)

In: float32 signals of static shape, constant lengths, axes and steps. Out: nodes that have kernels. The table holds the
transforms of unit impulses, by the reference in float64. Long transforms stay: a table costs the square of the length.
"""

from __future__ import annotations

import math

import numpy as np

from alula.base.tensors import DType
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Array, Node
from alula.engine.operators.spectrum import dft
from alula.engine.passes.known import static_shape
from alula.engine.passes.sketch import Sketch

# 1024 real samples and half of their bins, or 512 complex ones and all of theirs.
_MOST_TABLE = 1 << 21
_MOST_FRAMES = 1 << 24
_LENGTH, _AXIS = 1, 2
_STEP, _WINDOW = 1, 2
_SIGNAL = 3  # batch, time, parts


def lower_spectra(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Rewrite one transform."""
    if node.domain or node.op not in {"DFT", "STFT"}:
        return None
    shapes = [static_shape(editor, name) for name in (node.inputs[0], node.output)]
    if not all(shapes) or editor.value(node.inputs[0]).dtype is not DType.FLOAT32:
        return None
    return (_transform if node.op == "DFT" else _frames)(editor, node)


def _transform(editor: GraphEditor, node: Node) -> Rewrite | None:
    at, x = Sketch(editor, node), node.inputs[0]
    inverse, onesided = node.integer("inverse"), node.integer("onesided")
    # The official suite holds this form to 1e-7 of what a fast transform leaves where numbers cancel.
    if inverse and not onesided:
        return None
    given = [editor.constant(node.input(place)) for place in (_LENGTH, _AXIS)]
    if any(node.input(place) and array is None for place, array in zip((_LENGTH, _AXIS), given, strict=True)):
        return None
    rank, result = len(at.shape(x)), at.shape(node.output)
    axis = (-2 if given[1] is None else int(given[1].reshape(-1)[0])) % rank
    size, parts = at.shape(x)[axis], at.shape(x)[-1]
    bins, kept = result[axis], result[-1]
    if size * parts * bins * kept > _MOST_TABLE:
        return None
    impulses = np.eye(size * parts).reshape(size * parts, size, parts)
    table = dft(impulses, given[0], np.asarray(-2), inverse=inverse, onesided=onesided)
    order = [*(other for other in range(rank - 1) if other != axis), axis, rank - 1]
    turned = x if order == sorted(order) else at.transpose(x, order)
    outer = at.shape(turned)[:-2]
    product = _product(at, turned, outer, table)
    apart = at.reshape(product, (*outer, bins, kept))
    return at.finish(apart if turned == x else at.transpose(apart, [int(place) for place in np.argsort(order)]))


def _frames(editor: GraphEditor, node: Node) -> Rewrite | None:
    at, x = Sketch(editor, node), node.inputs[0]
    step, (batch, frames, bins, kept) = editor.constant(node.input(_STEP)), at.shape(node.output)
    count = _frame_length(editor, node)
    parts = at.shape(x)[2] if len(at.shape(x)) == _SIGNAL else 0
    if step is None or not count or count * parts * bins * kept > _MOST_TABLE:
        return None
    if batch * frames * count * parts > _MOST_FRAMES:
        return None
    impulses = np.eye(count * parts).reshape(count * parts, count, parts)
    window = node.input(_WINDOW)
    weights = editor.constant(window) if window else np.ones(count)
    if weights is not None:
        impulses = impulses * weights.astype(np.float64)[:, None]
    places = np.arange(frames)[:, None] * int(step.reshape(-1)[0]) + np.arange(count)
    cut = at.node("Gather", (x, at.constant(places)), (batch, frames, count, parts), axis=1)
    if weights is None:
        cut = at.node("Mul", (cut, at.reshape(window, (count, 1))), at.shape(cut))
    table = dft(impulses, None, None, inverse=0, onesided=node.integer("onesided", 1))
    product = _product(at, cut, (batch, frames), table)
    return at.finish(at.reshape(product, (batch, frames, bins, kept)))


def _frame_length(editor: GraphEditor, node: Node) -> int:
    """From the window, the length itself, or the signal; 0 where it is not known."""
    window, length = node.input(_WINDOW), node.input(_SIGNAL)
    if window:
        shape = static_shape(editor, window)
        plain = shape is not None and len(shape) == 1 and editor.value(window).dtype is DType.FLOAT32
        return shape[0] if plain and shape is not None else 0
    if not length:
        return (static_shape(editor, node.inputs[0]) or (0, 0))[1]
    known = editor.constant(length)
    return 0 if known is None else int(known.reshape(-1)[0])


def _product(at: Sketch, x: str, outer: tuple[int, ...], table: Array) -> str:
    """[..., samples, parts] times a table of [samples x parts, bins, parts]."""
    rows = len(table)
    matrix = np.ascontiguousarray(table.reshape(rows, -1), np.float32)
    flat = at.reshape(x, (math.prod(outer), rows))
    return at.node("MatMul", (flat, at.constant(matrix)), (math.prod(outer), matrix.shape[1]))
