"""Padding as numbers instead of words.

    Conv {auto_pad=SAME_UPPER, strides=(2, 2)}   becomes   Conv {pads=(0, 0, 1, 1), strides=(2, 2)}

In: a Conv, ConvTranspose or pool whose input has a static shape. Out: the same node with `pads`.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Any

from alula.engine.graph.dims import Shape, is_static, static
from alula.engine.graph.graph import GraphEditor, Rewrite
from alula.engine.graph.nodes import Node
from alula.engine.operators.window import Padding, output_sizes, padding_of, window_of

_SLIDING = frozenset({"Conv", "MaxPool", "AveragePool"})


def resolve_auto_pad(editor: GraphEditor, node: Node) -> Rewrite | None:
    """Write the padding out."""
    if node.domain or not (node.op in _SLIDING or node.op == "ConvTranspose") or not _has_words(node):
        return None
    x, y = editor.value(node.inputs[0]).shape, editor.value(node.output).shape
    if x is None or y is None or not is_static(x[2:]) or not is_static(y[2:]):
        return None
    kernel = _kernel(editor, node)
    if kernel is None:
        return None
    padding = _sliding(node, kernel, x) if node.op in _SLIDING else _transposed(node, kernel, x, y)
    if padding is None:
        return None
    pads = (*(before for before, _ in padding), *(after for _, after in padding))
    return Rewrite(drop=(node,), add=(_with_pads(node, pads),))


def _has_words(node: Node) -> bool:
    return node.text("auto_pad", "NOTSET") not in {"NOTSET", ""} or bool(node.ints("output_shape"))


def _kernel(editor: GraphEditor, node: Node) -> tuple[int, ...] | None:
    kernel = node.ints("kernel_shape")
    if kernel:
        return kernel
    weights = editor.value(node.input(1)).shape
    return static(weights[2:]) if weights is not None and is_static(weights[2:]) else None


def _attributes(node: Node) -> dict[str, Any]:
    return {**node.attributes, "auto_pad": node.text("auto_pad", "NOTSET")}


def _sliding(node: Node, kernel: tuple[int, ...], x: Shape) -> Padding:
    window = window_of(kernel, _attributes(node))
    sizes = static(x[2:])
    outputs = static(output_sizes(window, sizes))
    return padding_of(window, sizes, outputs)


def _transposed(node: Node, kernel: tuple[int, ...], x: Shape, y: Shape) -> Padding | None:
    """ONNX, ConvTranspose: total = stride (input - 1) + output_padding + span - output, shared between both ends."""
    window = window_of(kernel, _attributes(node))
    if window.auto == "VALID" and not node.ints("output_shape"):
        return ((0, 0),) * len(kernel)
    extra = node.ints("output_padding") or (0,) * len(kernel)
    rows = zip(static(x[2:]), static(y[2:]), window.strides, window.spans, extra, strict=True)
    totals = [stride * (size - 1) + more + span - out for size, out, stride, span, more in rows]
    if any(total < 0 for total in totals):  # larger than any padding makes it
        return None
    if window.auto == "SAME_UPPER":
        return tuple((total // 2, total - total // 2) for total in totals)
    return tuple((total - total // 2, total // 2) for total in totals)


def _with_pads(node: Node, pads: tuple[int, ...]) -> Node:
    gone = {"auto_pad", "output_shape"}
    if node.text("auto_pad").startswith("SAME"):
        gone.add("ceil_mode")  # the size is input / stride, rounded up, with and without it
    kept = {name: value for name, value in node.attributes.items() if name not in gone}
    return replace(node, attributes=MappingProxyType({**kept, "pads": pads}))
